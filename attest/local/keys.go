package local

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// maxCandidates bounds the keys of each signer of CoRIM files that one signature is checked
// with.
const maxCandidates = 8

// candidate is a key that is trusted to sign evidence, if it did.
type candidate struct {
	key    crypto.PublicKey
	source string // for people
	ueid   []byte // that a certificate names; nil for none
	// instance says that the key is endorsed for the one instance that the evidence names,
	// and not for a class of them.
	instance bool
	// class says that the key is endorsed, or certified by a CA that is, for devices of
	// the class that the evidence names.
	class bool
}

// signer is what evidence says about who signed it.
type signer struct {
	format anchor.Format // for which a registered key or CA has to be
	chain  [][]byte
	// thumbprints by which a registered key may be named, the likeliest first.
	thumbprints []cosekit.Thumbprint
	environment corim.Environment // by which endorsed keys may be found
}

// candidates returns the trusted keys that evidence may be signed with: registered ones,
// those of CoRIM files, and the one that certificates vouch for. Where there is none,
// refused says why. An error says that it could not be found out.
func (v *Verifier) candidates(ctx context.Context, base *corim.Base, s signer, now time.Time) (found []candidate, refused finding, err error) {
	refused = finding{notRecognized, "the evidence names no key: kid must be the thumbprint of a registered attestation key"}
	for _, thumbprint := range s.thumbprints {
		c, f, err := v.registered(ctx, thumbprint, s.format, now)
		if err != nil {
			return nil, finding{}, err
		}
		if c == nil {
			refused = worse(refused, f)
			continue
		}
		found = append(found, *c)
	}
	if s.chain != nil {
		c, err := v.certified(ctx, base, s, now)
		switch {
		case errors.Is(err, errChain):
			refused = finding{notRecognized, err.Error()}
		case err != nil:
			return nil, finding{}, err
		default:
			found = append(found, *c)
		}
	}
	return append(found, endorsed(base.Keys(s.environment), now)...), refused, nil
}

// endorsed picks the keys of CoRIM files, so many of each signer: one who names many keys
// for a device does not hide those of another.
func endorsed(keys []corim.AttestKey, now time.Time) (found []candidate) {
	count := map[string]int{}
	for _, k := range keys {
		if !endorses(k, now) || count[k.By] == maxCandidates {
			continue
		}
		count[k.By]++
		found = append(found, candidate{
			key: k.Public, source: "a key endorsed by " + k.Source,
			instance: !k.Environment.Instance.IsZero(), class: !k.Environment.ClassID.IsZero(),
		})
	}
	return found
}

// endorses reports whether a CoRIM file names the device's own key, as it is or in a
// certificate for now; the one of a CA does not sign evidence.
func endorses(k corim.AttestKey, now time.Time) bool {
	c := k.Certificate
	return c == nil || !c.IsCA && !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// worse keeps a refusal that says more: that a key is registered and may not be used.
func worse(old, f finding) finding {
	if old.value == notTrustworthy {
		return old
	}
	return f
}

// registered looks up a registered key, which must be for evidence of the format: what
// signs EATs in software must not pass for a root of trust. A nil candidate comes with the
// reason.
func (v *Verifier) registered(ctx context.Context, thumbprint cosekit.Thumbprint, format anchor.Format, now time.Time) (*candidate, finding, error) {
	a, err := v.trust.AttestationKey(ctx, thumbprint)
	switch {
	case errors.Is(err, anchor.ErrUnknown):
		return nil, finding{notRecognized, fmt.Sprintf("attestation key %s is not registered", thumbprint)}, nil
	case err != nil:
		return nil, finding{}, fmt.Errorf("look up attestation key %s: %w", thumbprint, err)
	}
	if err := a.Allows(anchor.Attester, now); err != nil {
		return nil, finding{notTrustworthy, err.Error()}, nil
	}
	if !a.Attests(format) {
		return nil, finding{notTrustworthy, fmt.Sprintf("attestation key %s is registered, and not for the format %s: see --format of tamctl attestation-anchor add", thumbprint, format)}, nil
	}
	key, err := standardKey(a.Key)
	if err != nil {
		return nil, finding{}, fmt.Errorf("attestation key %s: %w", thumbprint, err)
	}
	return &candidate{key: key, source: "registered attestation key " + thumbprint.String()}, finding{}, nil
}

// signedBy returns the candidate whose key verifies, or what it says of the Attester that
// none does.
func signedBy(candidates []candidate, refused finding, verify func(crypto.PublicKey) error) (*candidate, finding) {
	for _, c := range candidates {
		err := verify(c.key)
		if err == nil {
			return &c, finding{recognized, "signed by " + c.source}
		}
		refused = finding{notGenuine, fmt.Sprintf("%s: %v", c.source, err)}
	}
	return nil, refused
}

// standardKey returns the key in the type of the standard library.
func standardKey(k *cosekit.PublicKey) (crypto.PublicKey, error) {
	block, _ := pem.Decode(k.PEM())
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM", cosekit.ErrKey)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// thumbprint identifies the hardware by the key that signs: the COSE Key Thumbprint of
// RFC 9679 for keys on P-256, P-384 and P-521 and Ed25519 keys, and, for there is none
// of RSA keys in that RFC, the SHA-256 of the SubjectPublicKeyInfo.
func thumbprint(key crypto.PublicKey) (cosekit.Thumbprint, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		curve, ok := map[string]int{"P-256": 1, "P-384": 2, "P-521": 3}[key.Params().Name]
		if !ok {
			return cosekit.Thumbprint{}, fmt.Errorf("%w: curve %s", cosekit.ErrKey, key.Params().Name)
		}
		point, err := key.Bytes()
		if err != nil {
			return cosekit.Thumbprint{}, fmt.Errorf("%w: %w", cosekit.ErrKey, err)
		}
		size := len(point) / 2
		return digestKey(map[int]any{1: 2, -1: curve, -2: point[1 : 1+size], -3: point[1+size:]})
	case ed25519.PublicKey:
		return digestKey(map[int]any{1: 1, -1: 6, -2: []byte(key)})
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(key)
		return sha256.Sum256(der), err
	}
	return cosekit.Thumbprint{}, fmt.Errorf("%w: %T", cosekit.ErrKey, key)
}

func digestKey(members map[int]any) (cosekit.Thumbprint, error) {
	encoded, err := cosekit.Marshal(members)
	return sha256.Sum256(encoded), err
}
