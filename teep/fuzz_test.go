package teep

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// FuzzDecode: what decodes encodes, decodes to an equal value, and its encoding is
// a fixpoint, in both numberings.
func FuzzDecode(f *testing.F) {
	for family, n := range vectorFamilies {
		for _, payload := range vectorPayloads(f, family) {
			f.Add(uint8(n), payload)
		}
		for _, m := range append(fullMessages(), emptyMessages()...) {
			payload, err := Encode(n, m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(n), payload)
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, payload []byte) {
		n := Numbering(number % numberings)
		m, err := Decode(n, payload)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownType) {
				t.Fatalf("refused without a sentinel: %v", err)
			}
			return
		}
		checkRoundTrip(t, n, m)
	})
}

// FuzzOpen: whatever opens answers its questions and gives nothing out for a key
// that nobody signed with.
func FuzzOpen(f *testing.F) {
	p256, ed := newSigner(f, cosekit.ESP256), newSigner(f, cosekit.Ed25519)
	for _, n := range bothNumberings {
		for _, m := range fullMessages() {
			f.Add(uint8(n), seal(f, n, m, p256))
		}
		wire, err := SealFor(n, offer(), []cosekit.Signer{p256, ed})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(n), wire)
	}
	f.Add(uint8(PreIANA), sealLegacy(f, p256))
	stranger := newSigner(f, cosekit.Ed25519).PublicKey()
	f.Fuzz(func(t *testing.T, number uint8, wire []byte) {
		e, err := Open(Numbering(number%numberings), wire)
		if err != nil {
			return
		}
		if _, ok := e.UnverifiedEvidence(); ok && e.Kind() != KindQueryResponse {
			t.Fatalf("evidence in a %s", e.Kind())
		}
		if e.UnverifiedToken() != nil && e.Kind() != KindQueryResponse {
			t.Fatalf("token of a %s", e.Kind())
		}
		if _, named := e.KeyID(); named && e.signed.Multi {
			t.Fatal("a COSE_Sign names one key")
		}
		if m, err := e.Verify(stranger, cosekit.AllowLegacy); err == nil || m != nil {
			t.Fatal("verified under a key that nobody signed with")
		}
	})
}

func TestAnyMessageRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom(bothNumberings).Draw(t, "numbering")
		checkRoundTrip(t, n, drawMessage(t))
	})
}

func drawMessage(t *rapid.T) Message {
	switch rapid.IntRange(1, 5).Draw(t, "kind") {
	case 1:
		return &QueryRequest{
			Token: drawBytes(t, 8, 64), FreshnessMechanisms: drawMechanisms(t, 0), Challenge: drawBytes(t, 8, 512),
			Versions: drawUint32s(t), Attestation: drawAttestation(t), SUITReports: drawBlobs(t),
			CipherSuites: drawSuites(t, 1), COSEProfiles: drawProfiles(t, 1),
			DataItems: DataItems(rapid.Uint64().Draw(t, "data items")), Unknown: drawUnknown(t),
		}
	case 2:
		return &QueryResponse{
			Token: drawBytes(t, 8, 64), SelectedVersion: rapid.Uint32().Draw(t, "version"), Attestation: drawAttestation(t),
			SUITReports: drawBlobs(t), TCList: drawList(t, 0, drawClaims), RequestedTCs: drawList(t, 0, drawRequested),
			UnneededManifests: drawList(t, 0, drawComponent), Extensions: drawUint32s(t), Unknown: drawUnknown(t),
		}
	case 3:
		return &Update{
			Token: drawBytes(t, 8, 64), UnneededManifests: drawList(t, 0, drawComponent), Manifests: drawBlobs(t),
			Attestation: drawAttestation(t), ErrCode: ErrorCode(rapid.Uint64().Draw(t, "code")),
			ErrMsg: drawText(t, 128), ErrLang: drawText(t, 35), Unknown: drawUnknown(t),
		}
	case 4:
		return &Success{Token: drawBytes(t, 8, 64), Msg: drawText(t, 128), SUITReports: drawBlobs(t), Unknown: drawUnknown(t)}
	}
	return &Error{
		Token: drawBytes(t, 8, 64), Code: ErrorCode(rapid.Uint64Min(1).Draw(t, "code")), ErrMsg: drawText(t, 128),
		ErrLang: drawText(t, 35), CipherSuites: drawSuites(t, 0), FreshnessMechanisms: drawMechanisms(t, 0),
		COSEProfiles: drawProfiles(t, 0), Challenge: drawBytes(t, 8, 512), Versions: drawUint32s(t),
		SUITReports: drawBlobs(t), Unknown: drawUnknown(t),
	}
}

// drawList returns nil for an empty list, as a decoder does.
func drawList[T any](t *rapid.T, least int, draw func(*rapid.T) T) []T {
	var list []T
	for range rapid.IntRange(least, 4).Draw(t, "length") {
		list = append(list, draw(t))
	}
	return list
}

// drawBytes returns nil for an absent value.
func drawBytes(t *rapid.T, least, most int) []byte {
	if rapid.Bool().Draw(t, "absent") {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), least, most).Draw(t, "bytes")
}

func drawText(t *rapid.T, most int) string {
	return rapid.StringN(0, -1, most).Draw(t, "text")
}

func drawBlobs(t *rapid.T) [][]byte {
	return drawList(t, 0, func(t *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "blob") })
}

func drawUint32s(t *rapid.T) []uint32 {
	return drawList(t, 0, func(t *rapid.T) uint32 { return rapid.Uint32().Draw(t, "number") })
}

func drawMechanisms(t *rapid.T, least int) []FreshnessMechanism {
	return drawList(t, least, func(t *rapid.T) FreshnessMechanism {
		return FreshnessMechanism(rapid.Uint64().Draw(t, "mechanism"))
	})
}

func drawSuites(t *rapid.T, least int) []CipherSuite {
	return drawList(t, least, func(t *rapid.T) CipherSuite {
		return drawList(t, 1, func(t *rapid.T) Operation {
			return Operation{
				COSEType:  rapid.Uint64().Draw(t, "type"),
				Algorithm: cosekit.Algorithm(rapid.Int64().Draw(t, "algorithm")),
			}
		})
	})
}

func drawProfiles(t *rapid.T, least int) []suit.COSEProfile {
	return drawList(t, least, func(t *rapid.T) (p suit.COSEProfile) {
		for i := range p {
			p[i] = rapid.Int64().Draw(t, "algorithm")
		}
		return p
	})
}

func drawAttestation(t *rapid.T) *AttestationPayload {
	payload := drawBytes(t, 0, 100)
	if payload == nil {
		return nil
	}
	return &AttestationPayload{Format: drawText(t, 60), Payload: payload}
}

func drawComponent(t *rapid.T) suit.ComponentID {
	return append(suit.ComponentID{}, drawBlobs(t)...)
}

func drawClaims(t *rapid.T) suit.PropertyClaims {
	c := suit.PropertyClaims{Component: drawComponent(t)}
	if rapid.Bool().Draw(t, "digest") {
		digest := suit.SumSHA256(rapid.SliceOf(rapid.Byte()).Draw(t, "image"))
		c.ImageDigest = &digest
	}
	if size := rapid.Uint64().Draw(t, "size"); c.ImageDigest == nil || size%2 == 0 {
		c.ImageSize = &size
	}
	if rapid.Bool().Draw(t, "other") {
		label := suit.ParameterCode(rapid.Int64Range(50, 100).Draw(t, "label"))
		c.Other.Other = map[suit.ParameterCode]cosekit.RawMessage{label: drawItem(t)}
	}
	return c
}

func drawRequested(t *rapid.T) RequestedTC {
	r := RequestedTC{Component: drawComponent(t)}
	if rapid.Bool().Draw(t, "sequence") {
		r.MinSequence = ptr(rapid.Uint64().Draw(t, "number"))
		r.HaveBinary = rapid.Bool().Draw(t, "have-binary")
	}
	return r
}

// drawUnknown draws labels that no numbering has.
func drawUnknown(t *rapid.T) Options {
	if rapid.Bool().Draw(t, "no unknown") {
		return nil
	}
	return Options{rapid.Uint64Min(24).Draw(t, "label"): drawItem(t)}
}

func drawItem(t *rapid.T) cosekit.RawMessage {
	return cosekit.MustMarshal(rapid.SampledFrom([]any{nil, true, -7, "text", []byte{1}, []int{1, 2}, map[string]any{"a": 1.5}}).Draw(t, "item"))
}
