package ear

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
)

// Faults of a result; each is wrapped with what was found.
var (
	// ErrResult: not a signed Attestation Result in a form that is read here.
	ErrResult = errors.New("not an attestation result")
	// ErrSignature: not signed by a verifier that is trusted.
	ErrSignature = errors.New("attestation result not signed by a trusted verifier")
)

// MaxSize caps a result in bytes: evidence of attest.MaxTokenSize in base64, and as much
// said about it.
const MaxSize = 256 << 10

// Options bound what Verify accepts.
type Options struct {
	Keys []Key
	Now  time.Time
	Skew time.Duration
	// Nonce, where it is not nil, is what the result itself must echo: the nonce of the
	// session with its Verifier. The nonce of the evidence is for attest.Bind.
	Nonce []byte
}

// Verify reads a result of a media type (one that attest.ResultFormOf knows; empty: the EAT
// profile of TEEP in CBOR) and returns it after the signature of a trusted key, the profile and the times have been
// checked. The result is affirming only if each submodule says so and its vector bears it
// out.
//
// Claims are there if the identity of each submodule was affirmed. Claims.Nonce is the
// nonce of the appraised evidence where the result tells it, else that of the result.
// Document holds the claims that the result has about the device by name, and under
// "ear" all of the result.
//
// Besides the errors of this package test for attest.ErrFormat, attest.ErrTooLarge,
// attest.ErrExpired, attest.ErrNotYetValid and attest.ErrNonce.
func Verify(format string, data []byte, o Options) (*attest.Result, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: result of %d bytes, at most %d", attest.ErrTooLarge, len(data), MaxSize)
	}
	media, err := parseFormat(format)
	if err != nil {
		return nil, err
	}
	form, ok := attest.ResultFormOf(media)
	if !ok {
		return nil, fmt.Errorf("%w: %s is no media type of a result", attest.ErrFormat, media)
	}
	r, err := readers[form](data, media.Parameters["eat_profile"], o)
	if err != nil {
		return nil, err
	}
	r.Raw = bytes.Clone(data)
	return r, nil
}

var readers = map[attest.ResultForm]func(data []byte, profile string, o Options) (*attest.Result, error){
	attest.ResultJWT:    readJWT,
	attest.ResultCWT:    readCWT,
	attest.ResultBundle: readBundle,
}

func parseFormat(format string) (attest.MediaType, error) {
	if format == "" {
		format = MediaTypeTEEP
	}
	media, err := attest.ParseMediaType(format)
	if err != nil {
		return attest.MediaType{}, fmt.Errorf("%w: %w", attest.ErrFormat, err)
	}
	return media, nil
}

// The media types of the results that [Issuer] makes.
const (
	MediaTypeTEEP = `application/eat+cwt; eat_profile="` + attest.ProfileTEEP + `"`
	MediaTypeCWT  = `application/eat+cwt; eat_profile="` + attest.ProfileEAR03 + `"`
	MediaTypeJWT  = `application/eat+jwt; eat_profile="` + attest.ProfileEAR03 + `"`
)

func readJWT(data []byte, profile string, o Options) (*attest.Result, error) {
	payload, key, err := openJWT(data, o.Keys)
	if err != nil {
		return nil, err
	}
	tree, err := readJSON(payload)
	if err != nil {
		return nil, err
	}
	set := claimsSet{tree: tree, json: true}
	d, err := set.dialect(profile, attest.ProfileEARVeraison, attest.ProfileEAR03)
	if err != nil {
		return nil, err
	}
	return d.result(set, key, o, "application/eat+jwt")
}

func readCWT(data []byte, profile string, o Options) (*attest.Result, error) {
	payload, key, err := openCWT(data, o.Keys)
	if err != nil {
		return nil, err
	}
	if profile == attest.ProfileTEEP {
		return readTEEP(payload, key, o)
	}
	set, err := readSet(payload)
	if err != nil {
		return nil, err
	}
	d, err := set.dialect(profile, attest.ProfileEAR03)
	if err != nil {
		return nil, err
	}
	return d.result(set, key, o, "application/eat+cwt")
}
