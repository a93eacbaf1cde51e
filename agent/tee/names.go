package tee

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// A file name is a prefix, the hash of an identifier, and a number that makes it
// new: no byte of a component id ever reaches the file system.
const (
	imagePrefix    = "image-"
	envelopePrefix = "manifest-"
)

func fileName(prefix string, id suit.ComponentID, serial uint64, temp int) string {
	sum := sha256.Sum256([]byte(id.Key()))
	return fmt.Sprintf("%s%s-%d-%d", prefix, hex.EncodeToString(sum[:16]), serial, temp)
}

// ownFile reports whether the store may remove a file of this name. Others that
// somebody put into the directory are left alone.
func ownFile(name string) bool { return name == indexTemp || validFile(name) }

// validFile reports whether the index may name the file.
func validFile(name string) bool {
	rest, image := strings.CutPrefix(name, imagePrefix)
	if !image {
		var envelope bool
		if rest, envelope = strings.CutPrefix(name, envelopePrefix); !envelope {
			return false
		}
	}
	return strings.Trim(rest, "0123456789abcdef-") == ""
}
