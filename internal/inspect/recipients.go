package inspect

import "github.com/tamarack-tam/tamarack/internal/cosekit"

const maxRecipients = 16

// direct is the algorithm of a recipient whose key is the one of the MAC (RFC 9053
// section 6.1.1).
const direct = -6

// macKeysFor returns the keys that a COSE_Mac can have been made with, and whether a
// recipient says in a way that is read here how to come by one.
func macKeysFor(recipients item, given []*cosekit.SecretKey) (keys []*cosekit.SecretKey, readable bool) {
	for i, one := range recipients.items {
		if i == maxRecipients {
			break
		}
		if !one.isArray() || len(one.items) < 3 || !one.items[1].isMap() {
			continue
		}
		alg, _ := readHeaders(one.items[0], one.items[1]).algorithm()
		number, _ := alg.integer()
		wraps := cosekit.IsKeyWrap(cosekit.Algorithm(number))
		readable = readable || wraps || number == direct
		for _, key := range given {
			if number == direct {
				keys = append(keys, key)
			} else if unwrapped, err := key.UnwrapRaw(cosekit.Algorithm(number), one.items[2].content); err == nil {
				keys = append(keys, unwrapped)
			}
		}
	}
	return keys, readable
}
