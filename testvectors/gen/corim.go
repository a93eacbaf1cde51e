package main

import (
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/testvectors"
)

func corimVector(name, covers string) testvectors.Vector {
	return testvectors.Vector{
		Name: "corim/" + name, Kind: testvectors.KindCoRIM, Covers: covers, Keys: []string{providerKey.name},
		MediaType: "application/rim+cose",
	}
}

// released are the reference values of the manifest that other vectors have, too.
func released() *corim.Unsigned {
	return must(corim.FromManifest(must(byURI().Encode(true)), corim.ManifestOptions{}))
}

// hardware are reference values and the attestation key of the device in the bound bundles.
func hardware() *corim.Unsigned {
	class := corim.Environment{ClassID: corim.ID{Kind: corim.KindImplID, Value: bytes32("implementation")}}
	device := class
	device.Instance = corim.ID{Kind: corim.KindUEID, Value: append([]byte{1}, thumbprint(attesterKey)...)}
	u := &corim.Unsigned{ID: "example/device", Version: 3, Replaces: []string{"example/prototype"}}
	u.References = []corim.Reference{{
		Environment: class, Key: "BL", Version: "1.4.0", Signer: bytes32("signer"),
		Digests: []corim.Digest{{Algorithm: "sha-256", Value: bytes32("bootloader")}},
	}}
	u.Keys = []corim.AttestKey{{Environment: device, Public: attesterKey.standard()}}
	return u
}

// corims are reference values that a provider has signed.
func (s *set) corims() {
	sign := func(u *corim.Unsigned, k key) []byte { return must(u.Sign(k, "Example")) }
	timed := func(from, until time.Time) *corim.Unsigned {
		u := released()
		u.NotBefore, u.NotAfter = from, until
		return u
	}
	good := sign(released(), providerKey)
	for _, e := range []struct {
		name, covers string
		data         []byte
	}{
		{"from-manifest", "the image digest that a manifest brings, and the digest of the manifest", good},
		{"psa", "a software component and the attestation key of a PSA device, in place of another tag", sign(hardware(), providerKey)},
		{"validity", "values with a beginning and an end", sign(timed(now.Add(-time.Hour), now.Add(time.Hour)), providerKey)},
	} {
		s.valid(corimVector(e.name, e.covers), payloadOf(e.data), e.data)
	}
	payload := payloadOf(good)
	protected := mapOf(headerAlg, providerKey.Algorithm(), 3, corim.ContentType, 8, []byte(mapOf(0, mapOf(0, "Example"))))
	frameOf := func(content []byte) frame {
		f := newFrame(providerKey, content)
		f.protected = protected
		return f
	}
	flipped, noMeta := frameOf(payload), frameOf(payload)
	flipped.signature = func(b []byte) []byte { b[0] ^= 1; return b }
	noMeta.protected = mapOf(headerAlg, providerKey.Algorithm(), 3, corim.ContentType)
	const tag = 3 // bytes of tag 501
	for _, e := range []struct {
		name, covers string
		reason       testvectors.Reason
		data         []byte
	}{
		{"unsigned", "values that nobody has signed", testvectors.ReasonNotSigned, payload},
		{"stranger", "values by somebody who is no provider", testvectors.ReasonUnknownSigner, sign(released(), strangerKey)},
		{"signature-flipped", "one bit of the signature flipped", testvectors.ReasonUnknownSigner, flipped.sign1(providerKey)},
		{"expired", "values that are good no more", testvectors.ReasonEvidenceTime, sign(timed(time.Time{}, now.Add(-time.Hour)), providerKey)},
		{"not-before", "values that are not good yet", testvectors.ReasonEvidenceTime, sign(timed(now.Add(time.Hour), now.Add(2*time.Hour)), providerKey)},
		{"no-meta", "a header that does not say who signs", testvectors.ReasonMalformed, noMeta.sign1(providerKey)},
		{"duplicate", "the same member twice", testvectors.ReasonMalformed,
			frameOf(slices.Concat(payload[:tag], []byte{payload[tag] + 1}, payload[tag+1:], []byte{0, 0x61, 'x'})).sign1(providerKey)},
		{"no-tags", "values without a tag", testvectors.ReasonMalformed,
			frameOf(slices.Concat(payload[:tag], mapOf(0, "empty", 1, array()))).sign1(providerKey)},
		{"trailing-byte", "a byte behind the file", testvectors.ReasonMalformed, append(slices.Clone(good), 0)},
	} {
		s.refused(corimVector("refused-"+e.name, e.covers), e.reason, e.data)
	}
}
