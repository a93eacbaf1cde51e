package tee

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// A file name is a prefix, hashes of what the file holds, and numbers that make it
// new: no byte of a component id ever reaches the file system.
const (
	imagePrefix    = "image-"
	envelopePrefix = "manifest-"
	payloadPrefix  = "payload-"
)

var prefixes = []string{imagePrefix, envelopePrefix, payloadPrefix}

func fileName(prefix string, id suit.ComponentID, serial uint64, temp int) string {
	return fmt.Sprintf("%s%s-%d-%d", prefix, hashed(id.Key()), serial, temp)
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// ownFile reports whether the store may remove a file of this name. Others that
// somebody put into the directory are left alone.
func ownFile(name string) bool { return name == indexTemp || name == papersTemp || validFile(name) }

// validFile reports whether the index may name the file.
func validFile(name string) bool {
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return strings.Trim(rest, "0123456789abcdef-") == ""
		}
	}
	return false
}

// payload is what the name of a file says that receives a payload over several
// transactions. It needs no entry in the index: what is in its name was so when the file
// got it, and as long as no index names the file nobody takes it for an image.
type payload struct {
	component string // the hash of its id
	want      string // the hash of the digest that the payload is to have
	serial    uint64 // of the index, when the file last grew
	temp      int
	size      uint64 // so many bytes are on the disk; what follows them is not to be relied on
}

func newPayload(id suit.ComponentID, want suit.Digest) payload {
	return payload{component: hashed(id.Key()), want: hashed(string(cosekit.MustMarshal([]any{want.Algorithm, want.Bytes})))}
}

func (p payload) name() string {
	return fmt.Sprintf("%s%s-%s-%d-%d-%d", payloadPrefix, p.component, p.want, p.serial, p.temp, p.size)
}

// parsePayload reads the name of a payload; ok is false for any other.
func parsePayload(name string) (p payload, ok bool) {
	parts := strings.Split(strings.TrimPrefix(name, payloadPrefix), "-")
	if len(parts) != 5 {
		return payload{}, false
	}
	p.component, p.want = parts[0], parts[1]
	_, err := fmt.Sscanf(strings.Join(parts[2:], " "), "%d %d %d", &p.serial, &p.temp, &p.size)
	return p, err == nil && validFile(name) && p.name() == name
}

// before reports whether p last grew before other.
func (p payload) before(other payload) bool {
	return p.serial < other.serial || p.serial == other.serial && p.temp < other.temp
}
