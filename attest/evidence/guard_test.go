package evidence

import (
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
)

// A library that panics does not take the TAM with it.
func TestPanicIsARefusal(t *testing.T) {
	f := format{name: "test", read: func(attest.MediaType, []byte) (*Reading, error) { panic("index out of range") }}
	if r, err := f.reading(attest.MediaType{}, nil); !errors.Is(err, attest.ErrClaims) || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
