package suit

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Capabilities is a SUIT_Capability_Report (draft-ietf-suit-report-18 section 5): what
// a manifest processor can do. What the base specification makes mandatory may be left
// out. The first four lists have one element at least.
type Capabilities struct {
	Components []ComponentCapability
	Commands   []CommandCode
	Parameters []ParameterCode
	Algorithms []cosekit.Algorithm

	// The keys that are understood in each structure; nil for not reported.
	Envelope      []int64
	Manifest      []int64
	Common        []int64
	Text          []int64
	ComponentText []int64
	Dependency    []int64
	// Paths say the same of structures that have no list of their own.
	Paths      []PathCapability
	Extensions map[int64]cosekit.RawMessage
}

// ComponentCapability is a SUIT_Component_Capability: a component or, with Wildcard,
// every component that begins so.
type ComponentCapability struct {
	ID       ComponentID
	Wildcard bool
}

// PathCapability lists the keys that are understood in the structure at a path of keys,
// which begins in the envelope.
type PathCapability struct {
	Path []int64
	Keys []int64
}

// Matches reports whether the component is meant.
func (c ComponentCapability) Matches(id ComponentID) bool {
	return c.ID.Equal(id) || c.Wildcard && id.HasPrefix(c.ID)
}

// String writes the component id, with "/*" for a wildcard.
func (c ComponentCapability) String() string {
	switch {
	case !c.Wildcard:
		return c.ID.String()
	case len(c.ID) == 0:
		return "*"
	}
	return c.ID.String() + "/*"
}

// Keys of a SUIT_Capability_Report.
const (
	capabilityComponents    = 1
	capabilityCommands      = 2
	capabilityParameters    = 3
	capabilityAlgorithms    = 4
	capabilityEnvelope      = 5
	capabilityManifest      = 6
	capabilityCommon        = 7
	capabilityText          = 8
	capabilityComponentText = 9
	capabilityDependency    = 10
)

var capabilityStep = namer(map[int64]string{
	capabilityComponents: "components", capabilityCommands: "commands", capabilityParameters: "parameters",
	capabilityAlgorithms: "algorithms", capabilityEnvelope: "envelope", capabilityManifest: "manifest",
	capabilityCommon: "common", capabilityText: "text", capabilityComponentText: "component-text",
	capabilityDependency: "dependency",
})

// optional are the lists that need not be reported.
func (c *Capabilities) optional() map[int64]*[]int64 {
	return map[int64]*[]int64{
		capabilityEnvelope: &c.Envelope, capabilityManifest: &c.Manifest, capabilityCommon: &c.Common,
		capabilityText: &c.Text, capabilityComponentText: &c.ComponentText, capabilityDependency: &c.Dependency,
	}
}

func decodeCapabilities(raw []byte) (*Capabilities, error) {
	c := &Capabilities{}
	err := decodeMap(raw, false, func(key, value []byte) error {
		if cosekit.Major(key) == cosekit.MajorArray {
			return c.decodePath(key, value)
		}
		n, err := cosekit.Int(key)
		if err != nil {
			return malformed("map key that is neither an integer nor a path of them")
		}
		return at(capabilityStep(n), c.decodeElement(n, value))
	})
	if err != nil {
		return nil, err
	}
	// Reports may come in any order, and are compared as they are encoded.
	slices.SortFunc(c.Paths, func(a, b PathCapability) int {
		return bytes.Compare(cosekit.MustMarshal(a.Path), cosekit.MustMarshal(b.Path))
	})
	for key, missing := range map[int64]bool{
		capabilityComponents: c.Components == nil, capabilityCommands: c.Commands == nil,
		capabilityParameters: c.Parameters == nil, capabilityAlgorithms: c.Algorithms == nil,
	} {
		if missing {
			return nil, at(capabilityStep(key), malformed("missing"))
		}
	}
	return c, nil
}

func (c *Capabilities) decodeElement(key int64, value []byte) error {
	switch key {
	case capabilityComponents:
		list, err := decodeComponentCapabilities(value)
		return put(&c.Components, list, err)
	case capabilityCommands:
		list, err := decodeInts[CommandCode](value)
		return put(&c.Commands, list, err)
	case capabilityParameters:
		list, err := decodeInts[ParameterCode](value)
		return put(&c.Parameters, list, err)
	case capabilityAlgorithms:
		list, err := decodeInts[cosekit.Algorithm](value)
		return put(&c.Algorithms, list, err)
	}
	if dst, known := c.optional()[key]; known {
		list, err := decodeInts[int64](value)
		return put(dst, list, err)
	}
	keep(&c.Extensions, key, value)
	return nil
}

func (c *Capabilities) decodePath(key, value []byte) error {
	if len(c.Paths) == MaxCodes {
		return overLimit("more than %d paths", MaxCodes)
	}
	path, err := decodeInts[int64](key)
	if err != nil {
		return at("path", err)
	}
	keys, err := decodeInts[int64](value)
	c.Paths = append(c.Paths, PathCapability{path, keys})
	return at(fmt.Sprintf("path %v", path), err)
}

func decodeComponentCapabilities(raw []byte) ([]ComponentCapability, error) {
	items, err := cosekit.Elements(raw)
	switch {
	case err != nil:
		return nil, err
	case len(items) == 0:
		return nil, malformed("empty list")
	case len(items) > MaxCodes:
		return nil, overLimit("%d components, at most %d", len(items), MaxCodes)
	}
	list := make([]ComponentCapability, len(items))
	for i, item := range items {
		if list[i], err = decodeComponentCapability(item); err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
	}
	return list, nil
}

var cborTrue = []byte{0xf5}

func decodeComponentCapability(raw []byte) (ComponentCapability, error) {
	var c ComponentCapability
	parts, err := cosekit.Elements(raw)
	if err != nil {
		return c, err
	}
	if n := len(parts); n > 0 && bytes.Equal(parts[n-1], cborTrue) {
		c.Wildcard, parts = true, parts[:n-1]
	}
	c.ID, err = decodeComponentID(cosekit.MustMarshal(parts))
	return c, err
}

// MarshalCBOR encodes [*bstr, ?true].
func (c ComponentCapability) MarshalCBOR() ([]byte, error) {
	parts := make([]any, 0, len(c.ID)+1)
	for _, segment := range c.ID {
		parts = append(parts, segment)
	}
	if c.Wildcard {
		parts = append(parts, true)
	}
	return cosekit.Marshal(parts)
}

// MarshalCBOR encodes the map.
func (c Capabilities) MarshalCBOR() ([]byte, error) {
	known := map[int64]any{
		capabilityComponents: c.Components, capabilityCommands: c.Commands,
		capabilityParameters: c.Parameters, capabilityAlgorithms: c.Algorithms,
	}
	for key, list := range c.optional() {
		if *list != nil {
			known[key] = *list
		}
	}
	if err := addExtensions(known, c.Extensions); err != nil {
		return nil, err
	}
	out := make(map[itemKey]any, len(known)+len(c.Paths))
	for key, value := range known {
		out[intKey(key)] = value
	}
	for _, p := range c.Paths {
		key := itemKey(cosekit.MustMarshal(p.Path))
		if _, twice := out[key]; twice {
			return nil, malformed("path %v twice", p.Path)
		}
		out[key] = p.Keys
	}
	return cosekit.Marshal(out)
}
