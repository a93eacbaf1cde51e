package wasm

import (
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Bounds of the arguments of one run.
const (
	MaxArguments     = 64
	MaxArgumentBytes = 4 << 10 // of one
)

// ParseArguments reads invoke-args as this platform has them: a CBOR array of text
// strings. draft-ietf-suit-manifest-37 leaves the parameter to the platform. nil gives
// none.
func ParseArguments(invokeArgs []byte) ([]string, error) {
	if invokeArgs == nil {
		return nil, nil
	}
	var items []cosekit.RawMessage
	if err := cosekit.Unmarshal(invokeArgs, &items); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArguments, err)
	}
	switch {
	case items == nil:
		return nil, fmt.Errorf("%w: null", ErrArguments)
	case len(items) > MaxArguments:
		return nil, fmt.Errorf("%w: %d, at most %d", ErrArguments, len(items), MaxArguments)
	}
	args := make([]string, len(items))
	for i, item := range items {
		if cosekit.Major(item) != cosekit.MajorText {
			return nil, fmt.Errorf("%w: number %d is no text", ErrArguments, i+1)
		}
		if err := cosekit.UnmarshalValid(item, &args[i]); err != nil {
			return nil, fmt.Errorf("%w: number %d: %w", ErrArguments, i+1, err)
		}
		switch arg := args[i]; {
		case len(arg) > MaxArgumentBytes:
			return nil, fmt.Errorf("%w: number %d has %d bytes, at most %d", ErrArguments, i+1, len(arg), MaxArgumentBytes)
		case strings.Contains(arg, "\x00"):
			return nil, fmt.Errorf("%w: number %d has a zero byte", ErrArguments, i+1)
		}
	}
	return args, nil
}

// FormatArguments is the reverse of ParseArguments.
func FormatArguments(args ...string) []byte { return cosekit.MustMarshal(args) }
