package testvectors_test

import (
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// sentinels are the errors that stand for a reason in our packages: one of them.
var sentinels = map[testvectors.Reason][]error{
	testvectors.ReasonMalformed:       {cosekit.ErrMalformed, teep.ErrMalformed},
	testvectors.ReasonUnknownType:     {teep.ErrUnknownType},
	testvectors.ReasonWrapper:         {teep.ErrWrapper},
	testvectors.ReasonAlgorithm:       {cosekit.ErrAlgorithm},
	testvectors.ReasonCriticalHeader:  {cosekit.ErrCritical},
	testvectors.ReasonSignature:       {cosekit.ErrSignature, ear.ErrSignature},
	testvectors.ReasonKey:             {cosekit.ErrKey},
	testvectors.ReasonNotSigned:       {suit.ErrNoAuthentication, suit.ErrUnprotected, corim.ErrUnsigned},
	testvectors.ReasonUnknownSigner:   {suit.ErrUnknownSigner, corim.ErrSigner},
	testvectors.ReasonBlock:           {suit.ErrNoSignature},
	testvectors.ReasonDigest:          {suit.ErrDigest},
	testvectors.ReasonDigestAlgorithm: {suit.ErrDigestAlgorithm},
	testvectors.ReasonLimit:           {suit.ErrLimit},
	testvectors.ReasonNotEAT:          {attest.ErrToken},
	testvectors.ReasonClaims:          {attest.ErrClaims},
	testvectors.ReasonClaimsMissing:   {attest.ErrProfile},
	testvectors.ReasonNonce:           {attest.ErrNonce},
	testvectors.ReasonEvidenceTime:    {attest.ErrExpired, attest.ErrNotYetValid, corim.ErrValidity},
	testvectors.ReasonCnfMismatch:     {attest.ErrKeyBinding},
	testvectors.ReasonMAC:             {cosekit.ErrMAC},
	testvectors.ReasonSignatureRule:   {suit.ErrSignatureRule},
	testvectors.ReasonDecryption:      {cosekit.ErrDecrypt, cosekit.ErrNoDecryptionKey},
	testvectors.ReasonNotResult:       {ear.ErrResult},
	testvectors.ReasonNotAffirmed:     {attest.ErrNotAffirmed},
}

// hasReason reports whether err is a refusal for that reason.
func hasReason(err error, reason testvectors.Reason) bool {
	if reason == testvectors.ReasonProtocol {
		var fault *teep.ProtocolError
		return errors.As(err, &fault)
	}
	var failure *processor.Failure
	if errors.As(err, &failure) {
		return failure.Reason.String() == string(reason)
	}
	for _, sentinel := range sentinels[reason] {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func TestEveryVectorIsJudgedAsTheIndexSays(t *testing.T) {
	index := load(t)
	for _, v := range index.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			for _, j := range judges(t, index, v) {
				err := j.verdict()
				switch {
				case v.Outcome == testvectors.Valid && err != nil:
					t.Errorf("%s: refused: %v", v.Covers, err)
				case v.Outcome == testvectors.Refused && err == nil:
					t.Errorf("%s: accepted", v.Covers)
				case v.Outcome == testvectors.Refused && !hasReason(err, v.Reason):
					t.Errorf("%s: refused, but not as %s: %v", v.Covers, v.Reason, err)
				}
			}
		})
	}
}

func load(t *testing.T) *testvectors.Index {
	t.Helper()
	index, err := testvectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// judges returns one recipient for each key of a vector.
func judges(t *testing.T, index *testvectors.Index, v testvectors.Vector) []judge {
	t.Helper()
	j := judge{index: index, vector: v, legacy: cosekit.LegacyPolicy(v.Legacy)}
	if v.Kind == testvectors.KindCOSEKey {
		return []judge{j}
	}
	for _, name := range v.DecryptionKeys {
		if secret := secretKey(t, index, name); secret != nil {
			j.decrypt.Secrets = append(j.decrypt.Secrets, secret)
		} else {
			key, err := cosekit.NewAgreementKeyFromCOSEKey(index.Keys[name].Private)
			if err != nil {
				t.Fatalf("key %s: %v", name, err)
			}
			j.decrypt.Agreements = append(j.decrypt.Agreements, key)
		}
	}
	var all []judge
	for _, name := range v.Keys {
		if v.Rule == "" {
			j.ring = suit.KeyRing{}
		}
		if j.secret = secretKey(t, index, name); j.secret != nil {
			j.key = nil
			j.ring.SecretList = append(j.ring.SecretList, j.secret)
		} else {
			j.key = publicKey(t, index, name)
			j.ring.KeyList = append(j.ring.KeyList, j.key)
		}
		all = append(all, j)
	}
	if v.Rule != "" { // one recipient with all keys
		return all[len(all)-1:]
	}
	if all == nil {
		t.Fatal("no key to judge it with")
	}
	return all
}

// secretKey returns a key of the index that has no public part, or nil where it has one.
func secretKey(t *testing.T, index *testvectors.Index, name string) *cosekit.SecretKey {
	t.Helper()
	stated, ok := index.Keys[name]
	if !ok {
		t.Fatalf("no key %q in the index", name)
	}
	if stated.Public != nil {
		return nil
	}
	key, err := cosekit.ParseSecretKey(stated.Private)
	if err != nil {
		t.Fatalf("key %s: %v", name, err)
	}
	return key
}

func publicKey(t *testing.T, index *testvectors.Index, name string) *cosekit.PublicKey {
	t.Helper()
	key, err := cosekit.ParseManifestKey(index.Keys[name].Public)
	if err != nil {
		t.Fatalf("key %s: %v", name, err)
	}
	return key
}
