package evidence

import (
	"crypto/subtle"
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// documentEvidence is the name under which the document of a bound bundle holds the
// claims of the hardware.
const documentEvidence = "evidence"

// BundleFormat is the media type of a bound bundle around evidence of a media type.
func BundleFormat(inner string) string {
	return attest.MediaType{Type: MediaBundle, Parameters: map[string]string{"format": inner}}.String()
}

// BindingDigest is what the nonce of evidence of the media type has to be for a bound
// bundle with the claims set: SHA-256, or SHA-512 where the format has 64 bytes for it.
func BindingDigest(inner string, claimsSet []byte) ([]byte, error) {
	media, err := attest.ParseMediaType(inner)
	if err != nil {
		return nil, err
	}
	f, ok := formatOf(media)
	if !ok || f.digest == nil {
		return nil, fmt.Errorf("%w: %.128s cannot be bound to a claims set", attest.ErrFormat, media)
	}
	return f.digest(claimsSet), nil
}

// EncodeBundle makes a bound bundle:
//
//	bound-evidence = [claims-set: bstr .cbor eat-claims-set, evidence: bstr]
func EncodeBundle(claimsSet, evidence []byte) ([]byte, error) {
	return cosekit.Marshal([]any{claimsSet, evidence})
}

// readBundle reads a bound bundle and finds the inner evidence to commit to the claims
// set. The claims set names a key and a device, for it is there for nothing else.
func readBundle(media attest.MediaType, payload []byte) (*Reading, error) {
	innerFormat, err := attest.ParseMediaType(media.Parameters["format"])
	if err != nil {
		return nil, fmt.Errorf("format of the inner evidence: %w", err)
	}
	f, ok := formatOf(innerFormat)
	if !ok || f.digest == nil {
		return nil, fmt.Errorf("%w: %.128s in a bound bundle", attest.ErrFormat, innerFormat)
	}
	claimsSet, evidence, err := cutBundle(payload)
	if err != nil {
		return nil, err
	}
	claims, err := attest.DecodeClaims(claimsSet)
	if err != nil {
		return nil, err
	}
	if claims.Confirmation.Key == nil && claims.Confirmation.KeyID == nil || claims.UEID == nil {
		return nil, fmt.Errorf("%w: the claims set of the bundle needs cnf (8) and ueid (256)", attest.ErrProfile)
	}
	inner, err := f.reading(innerFormat, evidence)
	if err != nil {
		return nil, err
	}
	digest := f.digest(claimsSet)
	if subtle.ConstantTimeCompare(inner.Claims.Nonce, digest) != 1 {
		return nil, fmt.Errorf("%w: the nonce of the %s is not the digest of the claims set beside it", attest.ErrNonce, f.name)
	}
	return &Reading{
		Claims: claims, Hardware: inner.Hardware, said: bundled{claims, inner},
		Inner: &Inner{attest.Evidence{Format: innerFormat.String(), Payload: evidence, Challenge: digest}, inner},
	}, nil
}

// bundled is what a bound bundle says.
type bundled struct {
	claims *attest.Claims
	inner  *Reading
}

// Document keeps the claims that the hardware itself made apart from those that software on
// it chose, under the name evidence.
func (b bundled) Document() map[string]any {
	document := b.claims.Document()
	document[documentEvidence] = b.inner.Document()
	return document
}

func cutBundle(payload []byte) (claimsSet, evidence []byte, err error) {
	if err := cosekit.Validate(payload); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	parts, err := cosekit.Elements(payload)
	if err != nil || len(parts) != 2 {
		return nil, nil, fmt.Errorf("%w: want an array of claims set and evidence", attest.ErrToken)
	}
	if claimsSet, err = cosekit.Bytes(parts[0]); err == nil {
		evidence, err = cosekit.Bytes(parts[1])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	return claimsSet, evidence, nil
}
