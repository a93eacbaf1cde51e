package tam

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// image is a target with where its payload comes from.
type image struct {
	Target
	content []byte  // what a manifest itself carries and writes, nil for a fetch
	from    *member // the manifest that says so
	sealed  bool    // the digest is of what decryption makes of the payload
	known   bool    // the device may have it already, and then gets no payload
}

// tree is a manifest with all that it depends on, and what it installs.
type tree struct {
	members      []*member // the root first
	dependencies []Dependency
	images       []image
	ids          []suit.ComponentID
}

// find gets a dependency of a manifest: by the digest of its manifest, and the URI
// that it is fetched from, nil for none.
type findDependency func(parent *member, digest suit.Digest, uri *string) (*suit.Verified, error)

// evaluate finds what a manifest with its dependencies installs. v may be nil for one
// that is not verified.
func evaluate(v *suit.Verified, manifest *suit.Manifest, digest suit.Digest, find findDependency) (*tree, error) {
	w := &walk{find: find, numbers: map[string]int{}, dependency: map[int]bool{}, seed: maphash.MakeSeed()}
	root, err := w.add(v, manifest, digest)
	if err != nil {
		return nil, err
	}
	if len(root.table) == 0 {
		return nil, fmt.Errorf("%w: it names no component", ErrNoTarget)
	}
	states, err := w.update(root)
	if err != nil {
		return nil, err
	}
	t := &tree{members: w.members, dependencies: w.dependencies, ids: w.ids}
	for number := range w.ids {
		if err := t.add(w, number, states); err != nil {
			return nil, err
		}
	}
	if len(t.images) == 0 {
		return nil, fmt.Errorf("%w: nothing is fetched, written or copied in an Update", ErrNoTarget)
	}
	return t, nil
}

// add lists the images that a component can end with. One that is written on one way
// and left on another, as whatever it was, could never be confirmed.
func (t *tree) add(w *walk, number int, states []state) error {
	var written *held
	for _, st := range states {
		if c := st[number]; c.image.written {
			written = &c.image
			break
		}
	}
	id := w.ids[number]
	switch {
	case written == nil:
		return nil
	case w.dependency[number]:
		if !slices.ContainsFunc(t.dependencies, func(d Dependency) bool { return d.Component.Equal(id) }) {
			return unsupported("%s: dependency %s is never processed", written.place, id)
		}
		return nil
	}
	for _, st := range states {
		h := st[number].image
		if err := w.spend(1 + len(t.images)); err != nil {
			return err
		}
		switch {
		case !h.written && !h.matched:
			return unsupported("%s: component %s is installed there, and on another way left as it was", written.place, id)
		case h.digest == nil:
			return fmt.Errorf("%w: %s: component %s is installed without an image digest", ErrNoTarget, h.place, id)
		case h.sealed && !h.matched:
			return unsupported("%s: component %s is decrypted, and no image-match tells to what", h.place, id)
		}
		t.images = appendImage(t.images, newImage(id, h))
		if len(t.images) > maxImages {
			return unsupported("more than %d images to choose from", maxImages)
		}
	}
	return nil
}

func newImage(id suit.ComponentID, h held) image {
	img := image{Target: Target{Component: id, ImageDigest: *h.digest}, from: h.from, sealed: h.sealed}
	img.known = !h.written || h.uri == nil && h.content == nil
	if h.size != nil {
		img.ImageSize = *h.size
	}
	if h.uri != nil {
		img.URI = *h.uri
	}
	if h.content != nil {
		img.content = h.content.Content
	}
	return img
}

// appendImage adds an image that is not in the list. One that the device has
// already needs no entry where it may also be fetched.
func appendImage(list []image, img image) []image {
	for i, other := range list {
		switch {
		case !other.Component.Equal(img.Component) || !other.ImageDigest.Equal(img.ImageDigest):
		case other.known:
			list[i] = img
			return list
		case img.known, other.samePayload(img):
			return list
		}
	}
	return append(list, img)
}

// samePayload reports whether two ways lead to the same image by the same payload. Each
// payload that differs is checked: a device may take any of them.
func (img image) samePayload(other image) bool {
	return img.URI == other.URI && img.ImageSize == other.ImageSize && img.from == other.from &&
		img.sealed == other.sealed && bytes.Equal(img.content, other.content)
}
