package tam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Tokens and challenges are 32 bytes that the TAM recognizes without having
// stored anything:
//
//	key id 1 | purpose 1 | issue time 4 | random 12 | MAC 14
//
// The issue time is in seconds since 1970, big-endian. The MAC is HMAC-SHA-256,
// truncated, over the first 18 bytes and what the token is bound to: the path and
// the numbering of the endpoint and, in an answer to a message, the thumbprint of
// the sender's key. The thumbprint is input only: a token never tells who the
// device is (draft-ietf-teep-protocol-26 section 7.1).
const (
	tokenSize  = 32
	tokenHead  = 1 + 1 + 4 + 12
	macContext = "tamarack token 1"
)

// updateTokenSize is that of the tokens in Updates, which are plain randomness:
// the store knows them.
const updateTokenSize = 32

// purpose is the second byte of a token: the data items that its QueryRequest
// asked for in the low four bits, whether that was a retry after an Error, whether
// a thumbprint is under the MAC, whether the TAM attested itself. The last bit is zero.
type purpose byte

const (
	purposeItems     purpose = 0x0f
	purposeRetry     purpose = 0x10
	purposeAddressed purpose = 0x20
	// purposeSelfAttested: the QueryRequest had evidence of the TAM.
	purposeSelfAttested purpose = 0x40
)

func (p purpose) items() teep.DataItems { return teep.DataItems(p & purposeItems) }
func (p purpose) retried() bool         { return p&purposeRetry != 0 }

// challenge reports whether it stands in evidence as a nonce, instead of being
// echoed as a token.
func (p purpose) challenge() bool { return p.items().Has(teep.ItemAttestation) }

// token is a token or challenge whose MAC was right.
type token struct {
	raw     []byte
	purpose purpose
	issued  time.Time
	// spentUntil is when no replica takes the token any more.
	spentUntil time.Time
	// unasked says that this is no token of ours but stands for evidence that came
	// for its timestamp: raw is its digest, issued its iat.
	unasked bool
	// passport says that this stands for an Attestation Result that was issued at the time
	// and for no challenge of ours. There is nothing to spend: it may come again.
	passport bool
}

// nonce is what evidence must have as its nonce; nil where it has a timestamp.
func (t token) nonce() []byte {
	if t.unasked || t.passport {
		return nil
	}
	return t.raw
}

// mint issues tokens and recognizes them.
type mint struct {
	cfg  *Config
	rand lockedReader
	ring keyring
}

// issue makes a token for a QueryRequest. With a thumbprint it is good for that key only.
func (m *mint) issue(ep *Endpoint, p purpose, to *cosekit.Thumbprint) ([]byte, error) {
	if to != nil {
		p |= purposeAddressed
	}
	now := m.cfg.Clock()
	key := m.ring.signing(now)
	out := make([]byte, tokenHead, tokenSize)
	out[0], out[1] = key.ID, byte(p)
	binary.BigEndian.PutUint32(out[2:], uint32(now.Unix()))
	if _, err := io.ReadFull(m.rand, out[6:]); err != nil {
		return nil, fmt.Errorf("randomness for a token: %w", err)
	}
	return append(out, tokenMAC(key.Secret, out, ep, to)...), nil
}

// updateToken makes the token of an Update.
func (m *mint) updateToken() ([]byte, error) {
	out := make([]byte, updateTokenSize)
	if _, err := io.ReadFull(m.rand, out); err != nil {
		return nil, fmt.Errorf("randomness for a token: %w", err)
	}
	return out, nil
}

// open checks MAC, purpose and age, in this order; whether the token was spent is
// for the store to say. from is the key that sends it.
func (m *mint) open(raw []byte, ep *Endpoint, from *cosekit.Thumbprint, wantChallenge bool) (token, error) {
	if len(raw) != tokenSize {
		return token{}, refuse(ReasonTokenForeign, fmt.Errorf("%d bytes", len(raw)))
	}
	p := purpose(raw[1])
	if p&purposeAddressed == 0 {
		from = nil
	} else if from == nil {
		return token{}, refuse(ReasonTokenForeign, nil)
	}
	key, ok := m.ring.find(raw[0])
	if !ok || !hmac.Equal(raw[tokenHead:], tokenMAC(key.Secret, raw[:tokenHead], ep, from)) {
		return token{}, refuse(ReasonTokenForeign, nil)
	}
	if p.challenge() != wantChallenge {
		return token{}, refuse(ReasonTokenPurpose, nil)
	}
	policy := m.cfg.Policy
	lifetime := policy.TokenLifetime
	if p.challenge() {
		lifetime = policy.ChallengeLifetime
	}
	t := token{raw: raw, purpose: p, issued: time.Unix(int64(binary.BigEndian.Uint32(raw[2:])), 0).UTC()}
	age := m.cfg.Clock().Sub(t.issued)
	if age >= lifetime+time.Second || age < -policy.ClockSkew-time.Second {
		return token{}, refuse(ReasonTokenExpired, fmt.Errorf("issued %s ago, good for %s", age.Round(time.Second), lifetime))
	}
	t.spentUntil = t.issued.Add(lifetime + time.Second + policy.ClockSkew)
	return t, nil
}

func tokenMAC(secret, head []byte, ep *Endpoint, to *cosekit.Thumbprint) []byte {
	mac := hmac.New(sha256.New, secret)
	input := make([]byte, 0, 128)
	input = append(input, macContext...)
	input = append(input, head...)
	input = append(input, byte(ep.Numbering), byte(len(ep.Path)))
	input = append(input, ep.Path...)
	if to != nil {
		input = append(input, to[:]...)
	}
	mac.Write(input)
	return mac.Sum(nil)[:tokenSize-tokenHead]
}

// lockedReader lets many sessions share a source of randomness.
type lockedReader struct {
	mu *sync.Mutex
	r  io.Reader
}

func (l lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}
