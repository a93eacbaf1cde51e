package inspect

// Node is one item of the tree. Its JSON is a stable shape: members may be added,
// none changes its meaning (docs/inspect.md).
type Node struct {
	// Name is what the standard calls the item: a label, an option, a command, or
	// the part of an array. Empty where it has none.
	Name string `json:"name,omitempty"`
	// Key is the map key in diagnostic notation.
	Key string `json:"key,omitempty"`
	// Kind is set where the item is an object that Inspect knows.
	Kind Kind `json:"kind,omitempty"`
	// Tags are the CBOR tags in front of the item, from the outside in.
	Tags []uint64 `json:"tags,omitempty"`
	// Encoded says that the item stands encoded in a byte string.
	Encoded bool `json:"encoded,omitempty"`
	// Type is the type of the item: integer, bytes, text, array, map, boolean, null,
	// undefined, float, simple; json inside a JWT; computed for what the object does
	// not carry itself.
	Type string `json:"type"`
	// Value is a number, a text, a boolean, or the hexadecimal digits of a byte
	// string. An item that an array or a map is too long or too deep for has none.
	Value any `json:"value,omitempty"`
	// Text says what the value means: a name, a path, a time, a UUID.
	Text string `json:"text,omitempty"`
	// Items are the elements of an array and the values of a map, in their order.
	Items []Node `json:"items,omitempty"`

	raw   []byte // of an object, for its strict decoder
	path  string
	holds Kind // what a JWT or the payload of a COSE structure should be; empty where nobody says
}

// child returns the item of that name.
func (n *Node) child(name string) *Node {
	for i := range n.Items {
		if n.Items[i].Name == name {
			return &n.Items[i]
		}
	}
	return nil
}
