package corim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/veraison/go-cose"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// signature is what Verify needs of a COSE_Sign1.
type signature struct {
	message   *cosekit.Signed
	structure []byte // Sig_structure (RFC 9052 section 4.4)
	value     []byte
}

// Protected header parameters of a signed CoRIM (draft-ietf-rats-corim section 4.2).
const (
	headerContentType = 3
	headerMeta        = 8
	headerCWTClaims   = 15
	headerPayloadHash = 258
)

// readSigned reads a COSE_Sign1-corim and returns its payload. Only a payload that the file
// carries itself is read, no hash envelope.
func (f *File) readSigned(item []byte) ([]byte, error) {
	message, err := cosekit.Parse(item)
	if err != nil {
		return nil, err
	}
	if message.Multi {
		return nil, fmt.Errorf("%w: COSE_Sign, want a COSE_Sign1", ErrMalformed)
	}
	if message.Tagged {
		_, item, _ = tagged(item)
	}
	parts, err := cosekit.Elements(item)
	if err != nil {
		return nil, err
	}
	protected, err := cosekit.Bytes(parts[0])
	if err != nil {
		return nil, err
	}
	if err := f.readHeader(protected); err != nil {
		return nil, err
	}
	if message.Payload == nil {
		return nil, fmt.Errorf("%w: the payload is detached", ErrMalformed)
	}
	value, err := cosekit.Bytes(parts[3])
	if err != nil {
		return nil, err
	}
	structure, err := cosekit.Marshal([]any{"Signature1", protected, []byte{}, message.Payload})
	if err != nil {
		return nil, err
	}
	f.signature = &signature{message, structure, value}
	return message.Payload, nil
}

// readHeader reads the protected header: the content type, and who signs for how long, as
// corim-meta or as CWT Claims.
func (f *File) readHeader(protected []byte) error {
	if len(protected) == 0 {
		return fmt.Errorf("%w: no protected header", ErrMalformed)
	}
	h, err := readFields(protected)
	if err != nil {
		return err
	}
	if h[headerPayloadHash] != nil {
		return fmt.Errorf("%w: a hash envelope, whose payload is somewhere else: get the CoRIM itself", ErrMalformed)
	}
	contentType, there, err := optional(h, headerContentType, "content type", cosekit.Text)
	if err != nil {
		return err
	}
	if !there || contentType != ContentType {
		return fmt.Errorf("%w: content type %q, want %q", ErrMalformed, contentType, ContentType)
	}
	meta, claims := h[headerMeta], h[headerCWTClaims]
	if meta == nil && claims == nil {
		return fmt.Errorf("%w: neither corim-meta nor CWT Claims say who signs", ErrMalformed)
	}
	if claims != nil {
		if err := f.readClaims(claims); err != nil {
			return within("CWT Claims", err)
		}
	}
	if meta != nil {
		return within("corim-meta", f.readMeta(meta))
	}
	return nil
}

// readMeta reads bstr .cbor { 0 => { 0 => name, ? 1 => uri }, ? 1 => validity-map }.
func (f *File) readMeta(item []byte) error {
	inner, err := cosekit.Bytes(item)
	if err != nil {
		return err
	}
	if err := cosekit.Validate(inner); err != nil {
		return err
	}
	m, err := readFields(inner)
	if err != nil {
		return err
	}
	if m[0] == nil {
		return fmt.Errorf("%w: no signer", ErrMalformed)
	}
	signer, err := readFields(m[0])
	if err != nil {
		return err
	}
	if signer[0] == nil {
		return fmt.Errorf("%w: signer without a name", ErrMalformed)
	}
	if f.SignerName, err = name(signer[0]); err != nil {
		return err
	}
	if validity, ok := m[1]; ok {
		return f.readValidity(validity)
	}
	return nil
}

// readClaims reads { 1 => iss, ? 2 => sub, ? 4 => exp, ? 5 => nbf }.
func (f *File) readClaims(item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if m[1] == nil {
		return fmt.Errorf("%w: no issuer", ErrMalformed)
	}
	if f.SignerName, err = name(m[1]); err != nil {
		return err
	}
	return f.limit(m, 5, 4)
}

// readValidity reads { ? 0 => not-before, 1 => not-after }.
func (f *File) readValidity(item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if m[1] == nil {
		return fmt.Errorf("%w: no not-after", ErrMalformed)
	}
	return f.limit(m, 0, 1)
}

// limit narrows the validity of the file: the period of the signature and that of its
// content both have to be on.
func (f *File) limit(m fields, begin, end int64) error {
	from, there, err := optional(m, begin, "beginning", moment)
	if err != nil {
		return err
	}
	if there && from.After(f.NotBefore) {
		f.NotBefore = from
	}
	to, there, err := optional(m, end, "end", moment)
	if err != nil {
		return err
	}
	if there && (f.NotAfter.IsZero() || to.Before(f.NotAfter)) {
		f.NotAfter = to
	}
	if !f.NotAfter.IsZero() && f.NotAfter.Before(f.NotBefore) {
		return fmt.Errorf("%w: ends before it begins", ErrMalformed)
	}
	return nil
}

// moment reads seconds since 1970, under tag 1 or bare, with a fraction or without.
func moment(item []byte) (time.Time, error) {
	const tagEpoch = 1
	number, content, ok := tagged(item)
	if ok && number != tagEpoch {
		return time.Time{}, fmt.Errorf("%w: time under tag %d", ErrMalformed, number)
	}
	// The end of the year 9999, which is as far as times can be written down.
	const latest = 253402300799
	seconds, err := cosekit.Int(content)
	if err != nil {
		var fraction float64
		if cosekit.Major(content) != cosekit.MajorSimple || cosekit.UnmarshalValid(content, &fraction) != nil || math.IsNaN(fraction) || math.Abs(fraction) > latest {
			return time.Time{}, fmt.Errorf("%w: no time", ErrMalformed)
		}
		seconds = int64(math.Floor(fraction))
	}
	if seconds < 0 || seconds > latest {
		return time.Time{}, fmt.Errorf("%w: time %d is not between 1970 and 9999", ErrMalformed, seconds)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// Verify checks that one of keys, those of trusted reference-value providers, signed the
// file, and that now is within its validity. Keys are on P-256 or P-384, or Ed25519.
func (f *File) Verify(now time.Time, keys ...crypto.PublicKey) error {
	if f.signature == nil {
		return fmt.Errorf("CoRIM %q: %w", f.ID, ErrUnsigned)
	}
	signer, err := f.signature.signer(keys)
	if err != nil {
		return fmt.Errorf("CoRIM %q, signed as %q: %w", f.ID, f.SignerName, err)
	}
	f.Signer = signer
	return f.CheckValidity(now)
}

// CheckValidity says whether the file has begun and not ended.
func (f *File) CheckValidity(now time.Time) error {
	switch {
	case f.NotBefore.After(now):
		return fmt.Errorf("CoRIM %q: %w: valid from %s on", f.ID, ErrValidity, f.NotBefore.Format(time.RFC3339))
	case !f.NotAfter.IsZero() && now.After(f.NotAfter):
		return fmt.Errorf("CoRIM %q: %w: valid until %s", f.ID, ErrValidity, f.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Signed reports whether there is a signature, good or not.
func (f *File) Signed() bool { return f.signature != nil }

// signer finds the key that signed, and returns its thumbprint.
func (s *signature) signer(keys []crypto.PublicKey) (string, error) {
	fault := fmt.Errorf("%w: no key to verify with", ErrSigner)
	for _, key := range keys {
		err := s.verify(key)
		if err == nil {
			return Thumbprint(key)
		}
		if !errors.Is(err, ErrSigner) {
			err = fmt.Errorf("%w: %w", ErrSigner, err)
		}
		fault = err
	}
	return "", fault
}

func (s *signature) verify(key crypto.PublicKey) error {
	if k, ok := key.(*ecdsa.PublicKey); ok && k.Curve == elliptic.P384() {
		return s.verifyP384(k)
	}
	public, err := cosekit.NewPublicKey(key)
	if err != nil {
		return err
	}
	if !public.SignsTEEP() {
		return fmt.Errorf("%w: %s", cosekit.ErrAlgorithm, cosekit.AlgorithmName(public.Algorithm()))
	}
	// Most tools still sign under the older names, ES256 and EdDSA.
	return s.message.Verify(public, cosekit.AllowLegacy)
}

// verifyP384 is for the curve that cosekit has no keys on: ES384 (-35) or ESP384 (-51).
func (s *signature) verifyP384(key *ecdsa.PublicKey) error {
	const esp384 = -51
	if err := usable(key); err != nil {
		return err
	}
	if alg := s.message.Signatures[0].Algorithm; alg != cose.AlgorithmES384 && alg != esp384 {
		return fmt.Errorf("%w: signed with %s, the key is on P-384", cosekit.ErrAlgorithm, cosekit.AlgorithmName(alg))
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmES384, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := verifier.Verify(s.structure, s.value); err != nil {
		return fmt.Errorf("%w: %w", cosekit.ErrSignature, err)
	}
	return nil
}

// Thumbprint returns the name of a provider's key: its RFC 9679 thumbprint in hexadecimal
// digits.
func Thumbprint(key crypto.PublicKey) (string, error) {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P384() {
		public, err := cosekit.NewPublicKey(key)
		if err != nil {
			return "", err
		}
		return public.Thumbprint().String(), nil
	}
	point, err := k.Bytes()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	const ec2, p384, size = 2, 2, 48
	required := cosekit.MustMarshal(map[int]any{1: ec2, -1: p384, -2: point[1 : 1+size], -3: point[1+size:]})
	return cosekit.Thumbprint(sha256.Sum256(required)).String(), nil
}
