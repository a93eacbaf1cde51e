package tam

import (
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// crowd is a store where many manifests install into the component that is the
// manifest component id of the last one.
type crowd struct {
	ManifestReader
	component suit.ComponentID
	others    int
	last      bool
}

func (c crowd) ManifestsFor(_ suit.ComponentID, limit int) ([]Manifest, error) {
	var list []Manifest
	for range min(c.others, limit) {
		list = append(list, Manifest{Component: suit.ComponentID{[]byte("other")}, Sequence: 1000})
	}
	if c.last && len(list) < limit {
		list = append(list, Manifest{Component: c.component, Sequence: 7})
	}
	return list, nil
}

func TestNewestSequence(t *testing.T) {
	id := suit.ComponentID{[]byte("app"), []byte("suit")}
	for _, c := range []struct {
		name    string
		others  int
		last    bool
		want    uint64
		found   bool
		refused bool
	}{
		{"none", 0, false, 0, false, false},
		{"first", 0, true, 7, true, false},
		{"only others", 3, false, 0, false, false},
		{"behind a few", 4, true, 7, true, false},
		{"behind many", 999, true, 7, true, false},
		{"cannot tell", 1000, true, 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found, err := newest(crowd{component: id, others: c.others, last: c.last}, id)
			if got != c.want || found != c.found || errors.Is(err, ErrSequenceNotAbove) != c.refused {
				t.Errorf("newest: %d, %t, %v", got, found, err)
			}
		})
	}
}
