package teep

import (
	"bytes"
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Envelope is a TEEP message in its COSE wrapper (section 4): decoded, but by
// nobody yet. Its message comes out through [Envelope.Verify] only; the few things
// that must be read before a key is known have methods of their own.
type Envelope struct {
	signed  *cosekit.Signed
	message Message
}

// Open reads a COSE_Sign1 or COSE_Sign, tagged or not, with a TEEP message as its
// payload. Both are decoded strictly and neither is trusted. COSE_Sign is for
// QueryRequests: they are sent before a cipher suite is agreed on (section 8.1).
//
// The caller bounds the size of wire; Open allocates in proportion to it.
func Open(n Numbering, wire []byte) (*Envelope, error) {
	signed, err := cosekit.Parse(wire)
	if err != nil {
		return nil, fmt.Errorf("TEEP message: %w", err)
	}
	if signed.Payload == nil {
		return nil, fmt.Errorf("%w: detached payload", ErrWrapper)
	}
	m, err := Decode(n, signed.Payload)
	if err != nil {
		return nil, err
	}
	if signed.Multi && m.Kind() != KindQueryRequest {
		return nil, fmt.Errorf("%w: %s in a COSE_Sign, want COSE_Sign1", ErrWrapper, m.Kind())
	}
	return &Envelope{signed: signed, message: m}, nil
}

// Kind returns the type of the message.
func (e *Envelope) Kind() Kind { return e.message.Kind() }

// Algorithm returns the algorithm that a COSE_Sign1 names, as it names it: that
// may be ES256 or EdDSA. A COSE_Sign has several, and the answer is 0.
func (e *Envelope) Algorithm() cosekit.Algorithm {
	if e.signed.Multi {
		return 0
	}
	return e.signed.Signatures[0].Algorithm
}

// KeyID returns the key that a COSE_Sign1 names in its kid, if that is a COSE Key
// Thumbprint (RFC 9679). The standard requires none: a message without one, or with
// a kid of another kind, is found a key for by other means, or refused.
func (e *Envelope) KeyID() (cosekit.Thumbprint, bool) {
	if e.signed.Multi {
		return cosekit.Thumbprint{}, false
	}
	return e.signed.Thumbprint()
}

// UnverifiedEvidence returns the attestation-payload of a QueryResponse that
// nobody has verified. It is the one door to first contact: the key that an unknown
// agent signs with stands in its evidence. Take a candidate key from it, [Envelope.Verify]
// with that key, and believe neither before a Verifier has appraised the evidence
// and the binding of the key has been checked.
func (e *Envelope) UnverifiedEvidence() (*AttestationPayload, bool) {
	response, ok := e.message.(*QueryResponse)
	if !ok || response.Attestation == nil {
		return nil, false
	}
	return &AttestationPayload{
		Format:  response.Attestation.Format,
		Payload: bytes.Clone(response.Attestation.Payload),
	}, true
}

// UnverifiedToken returns the token of a QueryResponse, nil where it has none. A
// TAM reads it to answer an unknown agent, which has shown no evidence yet, with
// a challenge. That is harmless: the token is the TAM's own value under its own
// MAC, it names no device, and the answer is the one that anybody gets who asks.
func (e *Envelope) UnverifiedToken() []byte {
	response, ok := e.message.(*QueryResponse)
	if !ok {
		return nil
	}
	return bytes.Clone(response.Token)
}

// Verify returns the message if a signature of the wrapper is by key. The caller
// owns the message then.
func (e *Envelope) Verify(key *cosekit.PublicKey, legacy cosekit.LegacyPolicy) (Message, error) {
	if key != nil && !key.SignsTEEP() {
		return nil, fmt.Errorf("%s: %w: %s signs no TEEP message", e.Kind(), cosekit.ErrAlgorithm, cosekit.AlgorithmName(key.Algorithm()))
	}
	if err := e.signed.Verify(key, legacy); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Kind(), err)
	}
	return e.message, nil
}

// Seal encodes a message and signs it as a tagged COSE_Sign1, the form of every
// message but the first QueryRequest (section 8.1).
func Seal(n Numbering, m Message, s cosekit.Signer) ([]byte, error) {
	if !s.PublicKey().SignsTEEP() {
		return nil, fmt.Errorf("%s: %w: %s signs no TEEP message", m.Kind(), cosekit.ErrAlgorithm, cosekit.AlgorithmName(s.Algorithm()))
	}
	payload, err := Encode(n, m)
	if err != nil {
		return nil, err
	}
	wire, err := cosekit.Sign1(s, payload, cosekit.Form{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Kind(), err)
	}
	return wire, nil
}

// SealFor signs a QueryRequest for an agent whose cipher suite is not known: a
// tagged COSE_Sign with one signature for each algorithm of the suites that the
// request offers (section 8.1). The signers must be of exactly these algorithms.
func SealFor(n Numbering, m *QueryRequest, signers []cosekit.Signer) ([]byte, error) {
	if err := matchSigners(m.CipherSuites, signers); err != nil {
		return nil, err
	}
	payload, err := Encode(n, m)
	if err != nil {
		return nil, err
	}
	wire, err := cosekit.Sign(signers, payload, cosekit.Form{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Kind(), err)
	}
	return wire, nil
}

func matchSigners(suites []CipherSuite, signers []cosekit.Signer) error {
	offered := make(map[cosekit.Algorithm]bool)
	for _, suite := range suites {
		for _, op := range suite {
			offered[op.Algorithm] = false
		}
	}
	for _, s := range signers {
		signed, ok := offered[s.Algorithm()]
		if !ok || signed {
			return fmt.Errorf("%w: a second or unasked signature with %s", ErrWrapper, cosekit.AlgorithmName(s.Algorithm()))
		}
		offered[s.Algorithm()] = true
	}
	for algorithm, signed := range offered {
		if !signed {
			return fmt.Errorf("%w: %s is offered and no signer has it", ErrWrapper, cosekit.AlgorithmName(algorithm))
		}
	}
	return nil
}
