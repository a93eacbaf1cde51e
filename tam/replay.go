package tam

import (
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// replayed is a report in words: what it says of each command, and the failure.
type replayed struct {
	Lines   []string
	Failure string
}

// replay holds a report against the manifest that it is about, which was published
// here, and against those that this one depends on.
func replay(r ManifestReader, report *suit.Report) (replayed, error) {
	l := library{r: r}
	return replayed{Failure: failureWords(report.Failure)}, l.fault
}

// library finds the manifests of a published tree.
type library struct {
	r     ManifestReader
	known []*suit.Envelope // that were opened; dependencies may be inside
	fault error
}

// envelope returns the envelope of a manifest; nil where it is not at hand.
func (l *library) envelope(digest suit.Digest) *suit.Envelope {
	for _, e := range l.known {
		for _, name := range e.IntegratedNames() {
			payload, _ := e.UnverifiedIntegrated(name)
			if inner, err := suit.Decode(payload); err == nil && inner.Digest().Equal(digest) {
				return l.keep(inner)
			}
		}
	}
	raw, err := l.r.Envelope(digest)
	if err != nil {
		if !errors.Is(err, ErrNotFound) {
			l.fault = err
		}
		return nil
	}
	e, err := suit.Decode(raw)
	if err != nil {
		l.fault = fmt.Errorf("published envelope %s: %w", digest, err)
		return nil
	}
	return l.keep(e)
}

func (l *library) keep(e *suit.Envelope) *suit.Envelope {
	l.known = append(l.known, e)
	return e
}

// dependency returns the manifest at a path of dependency indices from the root; nil
// where it cannot be told.
func (l *library) dependency(root *suit.Manifest, dependencies []Dependency, path []uint64) *suit.Manifest {
	at := root
	for _, index := range path {
		table, err := at.Common.Table()
		if err != nil || index >= uint64(len(table)) || !table[index].Dependency {
			return nil
		}
		var found *suit.Digest
		for i, d := range dependencies {
			if !d.Component.Equal(table[index].ID) {
				continue
			}
			if found != nil {
				return nil // the device has chosen one of them
			}
			found = &dependencies[i].Digest
		}
		if found == nil {
			return nil
		}
		e := l.envelope(*found)
		if e == nil {
			return nil
		}
		if at, err = e.UnverifiedManifest(); err != nil {
			return nil
		}
	}
	return at
}

func failureWords(f *suit.ReportFailure) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s in %s at byte %d, component %d", f.Reason, f.Record.Section, f.Record.Offset, f.Record.ComponentIndex)
}
