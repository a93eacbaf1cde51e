package testvectors_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// standardKey is the key in the type of the standard library.
func (j judge) standardKey() (crypto.PublicKey, error) {
	block, _ := pem.Decode(j.key.PEM())
	return x509.ParsePKIXPublicKey(block.Bytes)
}

func (j judge) decrypted() ([]byte, error) {
	message, err := cosekit.ParseEncrypted(j.vector.Data)
	if err != nil {
		return nil, err
	}
	return message.Open(j.decrypt, cosekit.EATEncryption)
}

func (j judge) encryptedEAT() error {
	token, err := j.decrypted()
	if err != nil {
		return err
	}
	_, err = j.eat(token, j.key)
	return err
}

// bundle judges a bound bundle: what binds it together, the signature of the PSA token in
// it, and the claims set, which is about an agent that answers our challenge.
func (j judge) bundle() error {
	reading, err := evidence.Read(j.vector.MediaType, j.vector.Data)
	if err != nil {
		return err
	}
	token, err := evidence.ParsePSA(reading.Inner.Reading.Media, reading.Inner.Evidence.Payload)
	if err != nil {
		return err
	}
	key, err := j.standardKey()
	if err == nil {
		err = token.Verify(key)
	}
	if err != nil {
		return err
	}
	agent, err := cosekit.ParsePublicKey(j.index.Keys[j.vector.Agent].Public)
	if err != nil {
		return err
	}
	affirming := []attest.Element{{Name: attest.Hardware, Value: int8(attest.Affirming)}}
	return attest.Bind(&attest.Result{Status: attest.Affirming, Vector: affirming, Claims: reading.Claims},
		attest.Binding{Challenge: j.index.Challenge, Key: agent, Registered: true, Now: j.index.Now})
}

func (j judge) result() error {
	key, err := ear.ParseKey(j.key.PEM())
	if err != nil {
		return err
	}
	result, err := ear.Verify(j.vector.MediaType, j.vector.Data, ear.Options{Keys: []ear.Key{key}, Now: j.index.Now})
	if err != nil {
		return err
	}
	if err := result.Affirmed(); err != nil {
		return err
	}
	return result.Claims.CheckNonce(j.index.Challenge)
}

func (j judge) corim() error {
	file, err := corim.Read(j.vector.Data)
	if err != nil {
		return err
	}
	key, err := j.standardKey()
	if err == nil {
		err = file.Verify(j.index.Now, key)
	}
	return err
}

// attestation judges the kinds of this file.
func (j judge) attestation() (known bool, err error) {
	switch j.vector.Kind {
	case testvectors.KindEncryptedEAT:
		return true, j.encryptedEAT()
	case testvectors.KindBundle:
		return true, j.bundle()
	case testvectors.KindResult:
		return true, j.result()
	case testvectors.KindCoRIM:
		return true, j.corim()
	}
	return false, nil
}
