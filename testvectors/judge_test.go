package testvectors_test

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// judge is a recipient: it decodes a vector, verifies it under one of its keys, and
// applies the rules that need nothing but the message. An error is the refusal.
type judge struct {
	index  *testvectors.Index
	vector testvectors.Vector
	key    *cosekit.PublicKey // nil for a COSE_Key, and for a MAC
	secret *cosekit.SecretKey // for a MAC
	// ring has the key or the secret or, where the vector has a rule, all of its keys.
	ring    suit.KeyRing
	decrypt cosekit.DecryptionKeys
	mode    processor.Mode
	legacy  cosekit.LegacyPolicy
}

func (j judge) verdict() error {
	switch j.vector.Kind {
	case testvectors.KindTEEP:
		_, err := j.message()
		return err
	case testvectors.KindEvidence:
		return j.evidence()
	case testvectors.KindEnvelope:
		return j.envelope()
	case testvectors.KindUpdate:
		return j.update()
	case testvectors.KindReport:
		return j.report()
	case testvectors.KindEAT:
		_, err := j.eat(j.vector.Data, j.key)
		return err
	case testvectors.KindCOSEKey:
		return j.coseKey()
	}
	if known, err := j.attestation(); known {
		return err
	}
	return fmt.Errorf("kind %q is not known", j.vector.Kind)
}

func (j judge) message() (teep.Message, error) {
	var n teep.Numbering
	if err := n.UnmarshalText([]byte(j.vector.Numbering)); err != nil {
		return nil, err
	}
	envelope, err := teep.Open(n, j.vector.Data)
	if err != nil {
		return nil, err
	}
	m, err := envelope.Verify(j.key, j.legacy)
	if err != nil {
		return nil, err
	}
	if request, ok := m.(*teep.QueryRequest); ok {
		if err := request.Check(); err != nil {
			return nil, err
		}
	}
	return m, again(m, func() ([]byte, error) { return teep.Encode(n, m) },
		func(b []byte) (teep.Message, error) { return teep.Decode(n, b) })
}

func (j judge) evidence() error {
	m, err := j.message()
	if err != nil {
		return err
	}
	response, ok := m.(*teep.QueryResponse)
	if !ok || response.Attestation == nil || attest.IsResult(response.Attestation.Format) {
		return errors.New("no evidence in it")
	}
	attester, err := cosekit.ParsePublicKey(j.index.Keys[j.vector.Attester].Public)
	if err != nil {
		return err
	}
	claims, err := j.eat(response.Attestation.Payload, attester)
	if err != nil {
		return err
	}
	affirming := []attest.Element{{Name: attest.Hardware, Value: int8(attest.Affirming)}}
	return attest.Bind(&attest.Result{Status: attest.Affirming, Vector: affirming, Claims: claims},
		attest.Binding{Challenge: j.index.Challenge, Key: j.key, Now: j.index.Now})
}

func (j judge) eat(data []byte, key *cosekit.PublicKey) (*attest.Claims, error) {
	token, err := attest.ParseEAT(data)
	if err != nil {
		return nil, err
	}
	claims, err := token.Verify(key, j.legacy)
	if err != nil {
		return nil, err
	}
	for _, check := range []error{
		claims.CheckProfile(true),
		claims.CheckNonce(j.index.Challenge),
		claims.CheckTime(j.index.Now, 0),
	} {
		if check != nil {
			return nil, check
		}
	}
	return claims, again(claims, func() ([]byte, error) { return attest.EncodeClaims(claims) }, attest.DecodeClaims)
}

func (j judge) envelope() error {
	e, err := suit.Decode(j.vector.Data)
	if err != nil {
		return err
	}
	v, err := e.Verify(j.ring, j.legacy)
	if err != nil {
		return err
	}
	if j.vector.Rule != "" {
		rule, err := suit.ParseSignatureRule(j.vector.Rule)
		if err != nil {
			return err
		}
		if err := v.Satisfies(rule); err != nil {
			return err
		}
	}
	return again(e, func() ([]byte, error) { return e.Encode(e.Tagged()) }, suit.Decode)
}

func (j judge) report() error {
	r, err := j.openReport()
	if err != nil {
		return err
	}
	return again(r, r.Encode, suit.DecodeReport)
}

func (j judge) openReport() (*suit.Report, error) {
	signed, err := suit.OpenReport(j.vector.Data)
	if err != nil {
		return nil, err
	}
	signed = signed.WithKeys(j.decrypt)
	if j.secret != nil {
		return signed.VerifyMAC(j.secret)
	}
	return signed.Verify(j.key, j.legacy)
}

func (j judge) coseKey() error {
	k, err := cosekit.ParsePublicKey(j.vector.Data)
	if err != nil {
		return err
	}
	if t := k.Thumbprint(); string(t[:]) != string(j.vector.Thumbprint) {
		return fmt.Errorf("thumbprint %s, the index has %x", t, []byte(j.vector.Thumbprint))
	}
	return again(k.Thumbprint(), k.MarshalCBOR, func(b []byte) (cosekit.Thumbprint, error) {
		k, err := cosekit.ParsePublicKey(b)
		if err != nil {
			return cosekit.Thumbprint{}, err
		}
		return k.Thumbprint(), nil
	})
}

// again encodes what was decoded, and decodes it to the same.
func again[T any](v T, encode func() ([]byte, error), decode func([]byte) (T, error)) error {
	data, err := encode()
	if err != nil {
		return fmt.Errorf("accepted and not encoded: %w", err)
	}
	back, err := decode(data)
	if err != nil {
		return fmt.Errorf("accepted, encoded and not decoded: %w", err)
	}
	if !reflect.DeepEqual(v, back) {
		return fmt.Errorf("encoded and decoded, it is another: %+v, was %+v", back, v)
	}
	return nil
}
