package tam

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// FuzzEvaluate reads manifests that nobody signed: whatever comes, each image is of
// a component that the manifest names, and has a digest and an origin.
func FuzzEvaluate(f *testing.F) {
	uri := "https://example.com/a"
	own := manifestOf(nil, nil, sequence(override(suit.Parameters{ImageDigest: &imageA, URI: &uri}), command(suit.DirectiveFetch)))
	e, err := suit.NewEnvelope(own, nil)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := e.Encode(true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	if root := os.Getenv("TEEP_VECTORS"); root == "" {
		f.Log("TEEP_VECTORS is not set: no published examples among the seeds")
	} else {
		files, err := filepath.Glob(filepath.Join(root, "suit-*", "*.cbor"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no published examples in %s: %v", root, err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := suit.Decode(data)
		if err != nil {
			return
		}
		m, err := e.UnverifiedManifest()
		if err != nil {
			return
		}
		images, err := evaluateAlone(m)
		if err != nil {
			if _, refused := RefusalCode(err); !refused {
				t.Errorf("no reason that an operator can read: %v", err)
			}
			return
		}
		for _, img := range images {
			table, _ := m.Common.Table()
			named := func(e suit.TableEntry) bool { return e.ID.Equal(img.Component) && !e.Dependency }
			if !slices.ContainsFunc(table, named) || img.ImageDigest.IsZero() || img.URI == "" && img.content == nil && !img.known {
				t.Errorf("image %+v", img)
			}
		}
	})
}
