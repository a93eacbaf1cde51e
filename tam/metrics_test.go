package tam_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// Whoever adds a reason must add it to the list that bounds the metrics.
func TestReasonsAreAllThereAre(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := map[tam.Reason]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Reason" {
			for _, v := range spec.Values {
				text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				written[tam.Reason(text)] = true
			}
		}
		return true
	})
	if len(written) == 0 {
		t.Fatal("no reasons found in reasons.go")
	}
	listed := tam.Reasons()
	for reason := range written {
		if !slices.Contains(listed, reason) {
			t.Errorf("%s is not in Reasons", reason)
		}
	}
	for i, reason := range listed {
		if !written[reason] && !strings.HasPrefix(string(reason), "device-") {
			t.Errorf("%s is in Reasons and not in reasons.go", reason)
		}
		if slices.Contains(listed[:i], reason) {
			t.Errorf("%s is in Reasons twice", reason)
		}
	}
}

type observations struct {
	mu   sync.Mutex
	list []tam.Observation
}

func (o *observations) MessageProcessed(one tam.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, one)
}

func TestObserver(t *testing.T) {
	seen := &observations{}
	w := newWorld(t, func(c *tam.Config) { c.Observer = seen })
	d := w.device(cosekit.ESP256)
	seen.list = nil
	d.poll()
	w.process([]byte("not TEEP"))
	want := []tam.Observation{
		{Endpoint: "/tam", Message: tam.MessageConnect, Reply: teep.KindQueryRequest},
		{Endpoint: "/tam", Message: "QueryResponse", Reply: teep.KindQueryRequest, Reason: tam.ReasonAttestationWanted},
		{Endpoint: "/tam", Message: "QueryResponse", Reason: "device-pending"},
		{Endpoint: "/tam", Message: tam.MessageUnreadable, Reason: tam.ReasonMalformed},
	}
	if !slices.Equal(seen.list, want) {
		t.Errorf("observed %+v,\nwant %+v", seen.list, want)
	}
}

// breakable is a store that fails once it is broken.
type breakable struct {
	tam.Store
	broken bool
}

func (b *breakable) View(ctx context.Context, fn func(tam.Reader) error) error {
	if b.broken {
		return tam.ErrUnavailable
	}
	return b.Store.View(ctx, fn)
}

// A fault of the TAM has neither answer nor reason. Time is that of the clock.
func TestObserverOfFaults(t *testing.T) {
	seen := &observations{}
	s := &breakable{}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *tam.Config) {
		s.Store = c.Store
		c.Store, c.Observer = s, seen
		c.Clock = func() time.Time { now = now.Add(time.Second); return now }
	})
	s.broken = true
	if _, err := w.tam.ProcessTeepMessage(t.Context(), w.ep, w.device(cosekit.Ed25519).seal(&teep.Success{Token: make([]byte, 32)})); err == nil {
		t.Fatal("no fault")
	}
	want := []tam.Observation{{Endpoint: "/tam", Message: "Success", Fault: true, Took: time.Second}}
	if !slices.Equal(seen.list, want) {
		t.Errorf("observed %+v, want %+v", seen.list, want)
	}
}
