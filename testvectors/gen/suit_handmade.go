package main

import (
	"bytes"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Keys of a SUIT_Envelope, SUIT_Manifest and SUIT_Common
// (draft-ietf-suit-manifest-37 section 11).
const (
	keyAuthentication int64 = 2
	keyManifest       int64 = 3

	keyVersion    int64 = 1
	keySequence   int64 = 2
	keyCommon     int64 = 3
	keyValidate   int64 = 7
	keyInstall    int64 = 20
	keyText       int64 = 23
	keyComponents int64 = 2
	keyShared     int64 = 4
)

var tagEnvelope = []byte{0xd8, 107}

// elements returns the values of a map with integer keys, encoded.
func elements(encoded []byte) map[int64]cosekit.RawMessage {
	out := map[int64]cosekit.RawMessage{}
	for _, p := range must(cosekit.Pairs(encoded)) {
		if n, err := cosekit.Int(p.Key); err == nil {
			out[n] = p.Value
		}
	}
	return out
}

// elementOf returns the content of an element of an envelope.
func elementOf(envelope []byte, key int64) []byte {
	return must(cosekit.Bytes(elements(bytes.TrimPrefix(envelope, tagEnvelope))[key]))
}

// severed cuts everything severable off an envelope.
func severed(envelope []byte) []byte {
	parts := elements(bytes.TrimPrefix(envelope, tagEnvelope))
	return slices.Concat(tagEnvelope, mapOf(keyAuthentication, parts[keyAuthentication], keyManifest, parts[keyManifest]))
}

// changedMap returns a map with values changed or, where the new one is nil, left out.
func changedMap(encoded []byte, change map[int64]any) []byte {
	out := map[int64]any{}
	for key, value := range elements(encoded) {
		out[key] = value
	}
	for key, value := range change {
		out[key] = value
		if value == nil {
			delete(out, key)
		}
	}
	return cosekit.MustMarshal(out)
}

// envelope is a SUIT_Envelope in its parts.
type envelope struct {
	digest   []byte // an encoded SUIT_Digest
	blocks   []any
	manifest []byte
	more     []any // further keys and values
}

// newEnvelope has a good block by the publisher over the right digest.
func newEnvelope(manifest []byte) envelope {
	e := envelope{digest: digestOf(manifest), manifest: manifest}
	e.blocks = []any{e.block(publisherKey, nil)}
	return e
}

// digestOf returns the SUIT_Digest over the manifest in its byte string.
func digestOf(manifest []byte) []byte {
	return must(suit.SumSHA256(cosekit.MustMarshal(manifest)).MarshalCBOR())
}

// block returns an authentication block: a COSE_Sign1 over the detached digest.
func (e envelope) block(k cosekit.Signer, change func(*frame)) []byte {
	f := newFrame(k, e.digest)
	f.carried = null
	if change != nil {
		change(&f)
	}
	return f.sign1(k)
}

func (e envelope) authentication() []byte {
	return array(append([]any{e.digest}, e.blocks...)...)
}

func (e envelope) encode() []byte {
	items := append([]any{keyAuthentication, e.authentication(), keyManifest, e.manifest}, e.more...)
	return slices.Concat(tagEnvelope, mapOf(items...))
}
