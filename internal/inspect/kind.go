package inspect

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Kind is what an object is.
type Kind string

// The kinds that Inspect knows.
const (
	KindTEEP         Kind = "teep-message"
	KindEnvelope     Kind = "suit-envelope"
	KindManifest     Kind = "suit-manifest"
	KindReport       Kind = "suit-report"
	KindDigest       Kind = "suit-digest"
	KindParameters   Kind = "suit-parameters"
	KindText         Kind = "suit-text"
	KindVersion      Kind = "suit-version"
	KindVersionMatch Kind = "suit-version-match"
	KindEAT          Kind = "eat"
	KindBundle       Kind = "eat-bundle"
	KindEAR          Kind = "ear"
	KindJWT          Kind = "jwt"
	KindBound        Kind = "bound-evidence"
	KindPlatform     Kind = "platform-claims"
	KindTPM          Kind = "tpm2-quote"
	KindSNP          Kind = "sev-snp"
	KindTDX          Kind = "tdx"
	KindCoRIM        Kind = "corim"
	KindCoSWID       Kind = "coswid"
	KindKey          Kind = "cose-key"
	KindKDFContext   Kind = "cose-kdf-context"
	KindSign1        Kind = "cose-sign1"
	KindSign         Kind = "cose-sign"
	KindMac0         Kind = "cose-mac0"
	KindMac          Kind = "cose-mac"
	KindEncrypt0     Kind = "cose-encrypt0"
	KindEncrypt      Kind = "cose-encrypt"
	KindCBOR         Kind = "cbor"
)

// kindInfo is one row of the table of kinds.
type kindInfo struct {
	title, section string
	tags           []uint64
	looks          func(item) bool // of the item behind the tags; nil where only a tag tells
	show           shape
	strict         func(n teep.Numbering, data []byte) error // Tamarack's own decoder; nil for none
}

// kinds is filled in init because the shapes of objects hold objects again.
var (
	kinds     map[Kind]kindInfo
	kindByTag map[uint64]Kind
)

// order is the order of detection: the first kind that an item looks like.
var order = []Kind{
	KindTEEP, KindSign1, KindSign, KindMac0, KindMac, KindEncrypt0, KindEncrypt,
	KindTPM, KindSNP, KindTDX, KindManifest, KindEnvelope, KindCoRIM, KindCoSWID, KindReport, KindEAR, KindPlatform, KindEAT, KindBound, KindKey, KindText,
	KindDigest, KindKDFContext, KindVersionMatch, KindVersion,
}

func init() {
	kinds = map[Kind]kindInfo{
		KindTEEP:         {"TEEP message", secTEEPMessages, nil, looksTEEP, teepMessage, strictTEEP},
		KindEnvelope:     {"SUIT_Envelope", secSUITEnvelope, []uint64{107}, looksEnvelope, envelope, strictEnvelope},
		KindManifest:     {"SUIT_Manifest", secSUITManifest, []uint64{1070}, looksManifest, manifest, strictManifest},
		KindReport:       {"SUIT_Report", secReport, nil, looksReport, report, strictReport},
		KindDigest:       {"SUIT_Digest", secSUITDigest, nil, looksDigest, digest, nil},
		KindParameters:   {"SUIT_Parameters", secSUITParameters, nil, nil, parameters, nil},
		KindText:         {"SUIT_Text", secSUITText, nil, looksText, suitText, nil},
		KindVersion:      {"SUIT version", secVersion, nil, looksVersion, version, nil},
		KindVersionMatch: {"SUIT version match", secVersion, nil, looksVersionMatch, versionMatch, nil},
		KindEAT:          {"EAT claims", secEAT, []uint64{601}, looksEAT, eat, strictEAT},
		KindEAR:          {"EAR attestation result", secEAR, nil, looksEAR, claims, nil},
		KindBundle:       {"detached EAT bundle", secBundle, []uint64{602}, nil, bundle, nil},
		KindBound:        {"bound evidence bundle", secBound, nil, looksBound, bound, nil},
		KindPlatform:     {"PSA or CCA claims", "RFC 9783 section 4", []uint64{tagCCACollection, tagCCARecords}, looksPlatform, claims, nil},
		KindTPM:          {"TPM 2.0 quote", secHardware, nil, looksTPM, tpmQuote, nil},
		KindSNP:          {"SEV-SNP report", secHardware, nil, looksSNP, snpReport, nil},
		KindTDX:          {"TDX quote", secHardware, nil, looksTDX, tdxQuote, nil},
		KindCoRIM:        {"CoRIM", secCoRIM, []uint64{tagCoRIM, tagOldCoRIM}, looksCoRIM, corimMap, nil},
		KindJWT:          {"JWT", "RFC 7519 section 3", nil, nil, nil, nil},
		KindCoSWID:       {"CoSWID", secCoSWID, []uint64{1398229316}, looksCoSWID, coswid, nil},
		KindKey:          {"COSE_Key", secKey, nil, looksKey, coseKey, strictKey},
		KindKDFContext:   {"COSE_KDF_Context", secKDF, nil, looksKDFContext, kdfContext, nil},
		KindSign1:        {"COSE_Sign1", "RFC 9052 section 4.2", []uint64{18}, looksCOSE(KindSign1), sign1, strictSigned},
		KindSign:         {"COSE_Sign", "RFC 9052 section 4.1", []uint64{98}, looksCOSE(KindSign), sign, strictSigned},
		KindMac0:         {"COSE_Mac0", "RFC 9052 section 6.2", []uint64{17}, looksCOSE(KindMac0), mac0, strictMAC},
		KindMac:          {"COSE_Mac", "RFC 9052 section 6.1", []uint64{97}, looksCOSE(KindMac), mac, strictMAC},
		KindEncrypt0:     {"COSE_Encrypt0", "RFC 9052 section 5.2", []uint64{16}, looksCOSE(KindEncrypt0), encrypt0, strictEncrypted},
		KindEncrypt:      {"COSE_Encrypt", "RFC 9052 section 5.1", []uint64{96}, looksCOSE(KindEncrypt), encrypt, strictEncrypted},
		KindCBOR:         {"CBOR", "RFC 8949 section 3", nil, nil, plain, nil},
	}
	kindByTag = map[uint64]Kind{}
	for kind, info := range kinds {
		for _, tag := range info.tags {
			kindByTag[tag] = kind
		}
	}
}

// Kinds lists the kinds that [Options] can force.
func Kinds() []Kind { return append(slices.Clone(order), KindParameters, KindBundle, KindCBOR) }

// ParseKind reads the name of a kind.
func ParseKind(s string) (Kind, error) {
	if i := slices.Index(Kinds(), Kind(s)); i >= 0 {
		return Kind(s), nil
	}
	return "", fmt.Errorf("%w %q", ErrKind, s)
}

// isEncrypted reports whether nobody sees here what the structure is around.
func (k Kind) isEncrypted() bool { return k == KindEncrypt || k == KindEncrypt0 }

// isCOSE reports whether the kind is a COSE structure around something else.
func (k Kind) isCOSE() bool {
	return slices.Contains([]Kind{KindSign1, KindSign, KindMac0, KindMac, KindEncrypt0, KindEncrypt}, k)
}

// detect says what an item without tags looks like.
func detect(it item) (Kind, bool) {
	for _, kind := range order {
		if kinds[kind].looks(it) {
			return kind, true
		}
	}
	return "", false
}

// guess shows an item as what its tag says that it is, or what it looks like.
func guess(r *reader, it item) Node {
	kind, ok := kindOf(it)
	if !ok {
		return plain(r, it)
	}
	return r.object(kind, it)
}

func kindOf(it item) (Kind, bool) {
	inner, tags := it.untagged()
	if len(tags) == 0 {
		return detect(inner)
	}
	last := tags[len(tags)-1]
	if last == tagCWT || last == tagSelfDescribed {
		// RFC 8392 section 6 wants a COSE tag behind that of a CWT; some leave it out.
		return detect(inner)
	}
	if old, ok := oldTags[last]; ok {
		return old, true
	}
	kind, ok := kindByTag[last]
	return kind, ok
}

// as shows an item as an object of that kind, or as a COSE structure around one.
func as(kind Kind) shape {
	return func(r *reader, it item) Node {
		outer, ok := kindOf(it)
		if !ok || kind.isCOSE() || !outer.isCOSE() {
			return r.object(kind, it)
		}
		return r.cose(outer, it, coseContext{content: kind})
	}
}

// object shows an item as an object of that kind.
func (r *reader) object(kind Kind, it item) Node {
	return r.objectBy(kind, it, kinds[kind].show)
}

func (r *reader) objectBy(kind Kind, it item, show shape) Node {
	inner, tags := it.untagged()
	around := r.section
	r.section = kinds[kind].section
	r.lintTags(kind, tags)
	n := show(r, inner)
	r.section = around
	n.Kind, n.Tags, n.raw, n.path = kind, tags, it.raw, r.here()
	return n
}

// oldTags are those of SUIT drafts before -14.
var oldTags = map[uint64]Kind{48: KindEnvelope, 480: KindManifest}

// lintTags looks at the tag in front of an object.
func (r *reader) lintTags(kind Kind, tags []uint64) {
	if len(tags) == 0 {
		return
	}
	last := tags[len(tags)-1]
	switch old, stale := oldTags[last]; {
	case stale && old == kind:
		r.lint(SeverityWarning, secSUITTags, "stale tag %d of drafts before -14, now %d", last, kinds[kind].tags[0])
	case last != tagCWT && last != tagSelfDescribed && !slices.Contains(kinds[kind].tags, last):
		r.lint(SeverityError, "", "tag %d is not that of a %s", last, kinds[kind].title)
	}
}

// The opinions of Tamarack's own decoders.

func strictTEEP(n teep.Numbering, data []byte) error {
	payload := data
	if !bareTEEP(data) {
		if _, err := teep.Open(n, data); err != nil {
			return err
		}
		signed, err := cosekit.Parse(data)
		if err != nil {
			return err
		}
		payload = signed.Payload
	}
	m, err := teep.Decode(n, payload)
	if err != nil {
		return err
	}
	return checkTEEP(m)
}

// bareTEEP tells a message from the COSE structure around one: both are arrays.
func bareTEEP(data []byte) bool {
	budget := maxItems
	it, err := parse(data, &budget, 0)
	return err == nil && it.isArray() && len(it.items) > 0 && it.items[0].isUint()
}

// checkTEEP is what the receiver of a message looks at beyond its encoding.
func checkTEEP(m teep.Message) error {
	if request, ok := m.(*teep.QueryRequest); ok {
		return request.Check()
	}
	return nil
}

func strictEnvelope(_ teep.Numbering, data []byte) error {
	e, err := suit.Decode(data)
	if err != nil {
		return err
	}
	if measured, err := e.MeasureDigest(); err != nil || !measured.Equal(e.Digest()) {
		return errors.Join(suit.ErrDigest, err)
	}
	if _, err = e.UnverifiedManifest(); err != nil {
		return err
	}
	return strictBlocks(data, e.UnverifiedBlocks())
}

// strictBlocks wants a block that can be judged: one is enough, as for a device. That
// the payload is detached shows only when a signature is judged, so it is looked at here.
func strictBlocks(data []byte, blocks []suit.Block) error {
	err := suit.ErrNoAuthentication
	for i, b := range blocks {
		switch {
		case b.Err != nil:
			err = b.Err
		case attached(data, i):
			err = fmt.Errorf("%w: block %d carries its payload, want it detached", suit.ErrMalformed, i+1)
		default:
			return nil
		}
	}
	return err
}

// attached reports whether a block of an envelope, which is well formed, carries its
// payload.
func attached(data []byte, block int) bool {
	budget := maxItems
	it, err := parseWhole(data, &budget, 0)
	if err != nil {
		return false
	}
	it, _ = it.untagged()
	wrapper, _ := it.get(keyAuthentication)
	elements, err := parseWhole(wrapper.content, &budget, 0)
	if err != nil || len(elements.items) <= block+1 { // the first one is the digest
		return false
	}
	signed, err := cosekit.Parse(elements.items[block+1].content)
	return err == nil && signed.Payload != nil
}

func strictManifest(_ teep.Numbering, data []byte) error {
	_, err := suit.DecodeManifest(data)
	return err
}

func strictReport(_ teep.Numbering, data []byte) error {
	report, err := suit.OpenReport(data)
	if err != nil {
		return err
	}
	if !report.Encrypted() {
		_, err = report.Unverified()
	}
	if err != nil || !report.Protected() {
		return err
	}
	carried, err := report.Key()
	if err != nil {
		return err
	}
	if named, ok := report.KeyID(); ok && carried != nil && carried.Thumbprint() != named {
		return fmt.Errorf("%w: the header carries another key than the signature names", cosekit.ErrKey)
	}
	return nil
}

func strictEAT(_ teep.Numbering, data []byte) error {
	if cosekit.Major(data) == cosekit.MajorMap {
		_, err := attest.DecodeClaims(data)
		return err
	}
	if _, err := cosekit.ParseEncrypted(data); err == nil {
		return nil // the TAM reads one that is encrypted to it
	}
	token, err := attest.ParseEAT(data)
	if err != nil {
		return err
	}
	// Freshness may be shown by a timestamp, so the nonce may be missing.
	return token.UnverifiedClaims().CheckProfile(false)
}

func strictKey(_ teep.Numbering, data []byte) error {
	_, err := cosekit.ParseManifestKey(data)
	return err
}

func strictSigned(_ teep.Numbering, data []byte) error {
	_, err := cosekit.Parse(data)
	return err
}

func strictMAC(_ teep.Numbering, data []byte) error {
	_, err := cosekit.ParseMAC(data)
	return err
}

func strictEncrypted(_ teep.Numbering, data []byte) error {
	_, err := cosekit.ParseEncrypted(data)
	return err
}
