package suit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Keys is where Verify finds the public keys that may have signed.
type Keys interface {
	// Lookup returns the key of that thumbprint, or false.
	Lookup(cosekit.Thumbprint) (*cosekit.PublicKey, bool)
	// All returns every key. Each of them is tried for a signature that names none.
	All() []*cosekit.PublicKey
}

// KeyList is a few keys at hand.
type KeyList []*cosekit.PublicKey

// Lookup implements Keys.
func (l KeyList) Lookup(t cosekit.Thumbprint) (*cosekit.PublicKey, bool) {
	for _, k := range l {
		if k.Thumbprint() == t {
			return k, true
		}
	}
	return nil, false
}

// All implements Keys.
func (l KeyList) All() []*cosekit.PublicKey { return l }

// SecretKeys is implemented by Keys that also have keys for MACs. A MAC shows that its
// maker knows the key, which whoever checks it does too: such a key is for one author
// and one device.
type SecretKeys interface {
	Secrets() []*cosekit.SecretKey
}

// KeyRing is a few keys at hand, public and secret.
type KeyRing struct {
	KeyList
	SecretList []*cosekit.SecretKey
}

// Secrets implements SecretKeys.
func (r KeyRing) Secrets() []*cosekit.SecretKey { return r.SecretList }

// errBlock: an authentication block that cannot be checked here.
var errBlock = errors.New("authentication block not supported")

// Block is one SUIT_Authentication_Block (draft-ietf-suit-manifest-37 section 8.3).
type Block struct {
	// Structure is the name of the COSE structure, "COSE_Sign1".
	Structure string
	// Signatures says what each signature names: algorithm and key. Empty for a MAC.
	Signatures []cosekit.Signature
	// MAC says what a COSE_Mac0 or COSE_Mac names; nil for signatures.
	MAC *cosekit.MACed
	// Signers are the acceptable keys under which the block verifies.
	Signers []cosekit.Thumbprint
	// Err says why there are none.
	Err error

	signed *cosekit.Signed
	keys   []*cosekit.PublicKey // those of Signers
}

// String tells each signature or MAC: "ML-DSA-65 by 3f0c1d9a52be…". Nothing of it is
// verified.
func (b Block) String() string {
	var said []string
	tell := func(alg cosekit.Algorithm, keyID []byte) {
		name := cosekit.AlgorithmName(alg)
		if len(keyID) == len(cosekit.Thumbprint{}) {
			name += fmt.Sprintf(" by %x…", keyID[:6])
		}
		said = append(said, name)
	}
	for _, sig := range b.Signatures {
		tell(sig.Algorithm, sig.KeyID)
	}
	if b.MAC != nil {
		tell(b.MAC.Algorithm, slices.Concat(b.MAC.KeyIDs...))
	}
	if len(said) == 0 {
		return b.Structure
	}
	return strings.Join(said, " and ")
}

// Verified is the content of an envelope whose authentication has been checked. Only
// [Envelope.Verify] makes one. It says who signed; what they may do is for the
// caller to decide.
type Verified struct {
	envelope *Envelope
	manifest *Manifest
	blocks   []Block
	signers  []cosekit.Thumbprint
	keys     []*cosekit.PublicKey
}

// Manifest returns the manifest, with every severed section that the envelope
// carries in its place. It must not be changed.
func (v *Verified) Manifest() *Manifest { return v.manifest }

// Digest returns the digest of the manifest, which is its identity in a SUIT_Report.
func (v *Verified) Digest() Digest { return v.envelope.digest }

// Signers returns the thumbprints of the keys whose signature or MAC over the manifest
// has been verified, one at least.
func (v *Verified) Signers() []cosekit.Thumbprint { return slices.Clone(v.signers) }

// Keys returns the public keys among the signers.
func (v *Verified) Keys() []*cosekit.PublicKey { return slices.Clone(v.keys) }

// Blocks returns what was found out about each authentication block.
func (v *Verified) Blocks() []Block { return slices.Clone(v.blocks) }

// Integrated returns the integrated payload of that name, which is the text of a
// fetch's URI (section 7.5). The manifest's image digest vouches for it, not the
// signature. It must not be changed.
func (v *Verified) Integrated(name string) ([]byte, bool) {
	payload, ok := v.envelope.integrated[name]
	return payload, ok
}

// Envelope returns the envelope that was verified.
func (v *Verified) Envelope() *Envelope { return v.envelope }

// UnverifiedBlocks describes the authentication blocks for people. Signers is empty
// everywhere.
func (e *Envelope) UnverifiedBlocks() []Block {
	blocks := make([]Block, len(e.blocks))
	for i, raw := range e.blocks {
		blocks[i] = parseBlock(raw)
	}
	return blocks
}

// Verify checks the digest of the manifest and its signatures and MACs, and only then
// looks into the manifest (section 6.2). One by an acceptable key is enough; the
// result tells about all of them, and [Verified.Satisfies] asks for more. A signature
// that names its key by thumbprint is tried under that key only. MACs are checked where
// keys is a [SecretKeys]. The digests of severed elements are checked too.
func (e *Envelope) Verify(keys Keys, legacy cosekit.LegacyPolicy) (*Verified, error) {
	if len(e.blocks) == 0 {
		return nil, at("envelope.authentication-wrapper", ErrNoAuthentication)
	}
	if err := checkDigest(e.digest, e.manifest); err != nil {
		return nil, at("envelope.manifest", err)
	}
	v := &Verified{envelope: e, blocks: e.UnverifiedBlocks()}
	if n := unnamedSignatures(v.blocks); n > MaxUnnamedSignatures {
		return nil, at("envelope.authentication-wrapper",
			overLimit("%d signatures that name no key, at most %d; sign with kid", n, MaxUnnamedSignatures))
	}
	for i := range v.blocks {
		v.blocks[i].verify(e.signed, keys, legacy)
		for _, t := range v.blocks[i].Signers {
			if !slices.Contains(v.signers, t) {
				v.signers = append(v.signers, t)
			}
		}
		for _, key := range v.blocks[i].keys {
			if !slices.ContainsFunc(v.keys, key.Equal) {
				v.keys = append(v.keys, key)
			}
		}
	}
	if len(v.signers) == 0 {
		return nil, at("envelope.authentication-wrapper", refusal(v.blocks))
	}
	var err error
	v.manifest, err = e.UnverifiedManifest()
	if err != nil {
		return nil, err
	}
	return v, nil
}

func unnamedSignatures(blocks []Block) (n int) {
	for _, b := range blocks {
		for _, sig := range b.Signatures {
			if !named(sig) {
				n++
			}
		}
		if b.MAC != nil && len(b.MAC.KeyIDs) == 0 {
			n++
		}
	}
	return n
}

// named reports whether the signature names its key by thumbprint.
func named(sig cosekit.Signature) bool { return len(sig.KeyID) == len(cosekit.Thumbprint{}) }

// refusal tells why each block was of no use.
func refusal(blocks []Block) error {
	faults := make([]error, len(blocks))
	for i, b := range blocks {
		faults[i] = fmt.Errorf("block %d (%s): %w", i, b.Structure, b.Err)
	}
	return fmt.Errorf("%w: %w", ErrNoSignature, errors.Join(faults...))
}

func parseBlock(raw []byte) Block {
	b := Block{Structure: structure(raw)}
	switch b.Structure {
	case "COSE_Sign1", "COSE_Sign":
		b.parseSigned(raw)
	case "COSE_Mac0", "COSE_Mac":
		b.MAC, b.Err = cosekit.ParseMAC(raw)
	default:
		b.Err = fmt.Errorf("%w: %s", errBlock, b.Structure)
	}
	return b
}

func (b *Block) parseSigned(raw []byte) {
	signed, err := cosekit.Parse(raw)
	switch {
	case err != nil:
		b.Err = err
	case len(signed.Signatures) > MaxBlockSignatures:
		b.Err = overLimit("%d signatures in one block, at most %d", len(signed.Signatures), MaxBlockSignatures)
	default:
		b.signed, b.Signatures = signed, signed.Signatures
	}
}

// structure names a block by its tag, which section 8.3 makes mandatory.
func structure(raw []byte) string {
	var tag cosekit.Tag
	if cosekit.Major(raw) != cosekit.MajorTag || cosekit.Unmarshal(raw, &tag) != nil {
		return "untagged"
	}
	switch tag.Number {
	case cosekit.TagSign1:
		return "COSE_Sign1"
	case cosekit.TagSign:
		return "COSE_Sign"
	case cosekit.TagMAC0:
		return "COSE_Mac0"
	case cosekit.TagMAC:
		return "COSE_Mac"
	}
	return fmt.Sprintf("tag %d", tag.Number)
}

func (b *Block) verify(content []byte, keys Keys, legacy cosekit.LegacyPolicy) {
	if b.Err != nil {
		return
	}
	if b.MAC != nil {
		b.Err = b.verifyMAC(content, keys)
	} else {
		b.Err = b.verifySignatures(content, keys, legacy)
	}
}

// verifySignatures returns an error where no signature is by an acceptable key.
func (b *Block) verifySignatures(content []byte, keys Keys, legacy cosekit.LegacyPolicy) error {
	fault := ErrUnknownSigner
	for _, key := range b.candidates(keys) {
		if err := b.signed.VerifyDetached(content, key, legacy); err != nil {
			fault = err
			continue
		}
		b.Signers = append(b.Signers, key.Thumbprint())
		b.keys = append(b.keys, key)
	}
	if len(b.Signers) == 0 {
		return fault
	}
	return nil
}

// verifyMAC tries every secret key: one that the MAC does not name costs nothing.
func (b *Block) verifyMAC(content []byte, keys Keys) error {
	fault := ErrUnknownSigner
	with, ok := keys.(SecretKeys)
	if !ok {
		return fault
	}
	for _, key := range with.Secrets() {
		if err := b.MAC.VerifyDetached(content, key); err != nil {
			fault = err
			continue
		}
		b.Signers = append(b.Signers, key.Thumbprint())
	}
	if len(b.Signers) == 0 {
		return fault
	}
	return nil
}

// candidates returns the keys that the signatures of the block may be by, each once.
func (b *Block) candidates(keys Keys) []*cosekit.PublicKey {
	var out []*cosekit.PublicKey
	seen := map[cosekit.Thumbprint]bool{}
	for _, sig := range b.Signatures {
		if !named(sig) {
			return keys.All()
		}
		key, ok := keys.Lookup(cosekit.Thumbprint(sig.KeyID))
		if ok && !seen[key.Thumbprint()] {
			seen[key.Thumbprint()] = true
			out = append(out, key)
		}
	}
	return out
}
