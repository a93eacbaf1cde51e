package attest

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Binding is what a Result is held against: the TEEP message that it came with, and
// what the TAM knows.
type Binding struct {
	// Challenge is what we sent; nil under timestamp freshness, where iat is
	// required instead.
	Challenge []byte
	// Key is the key that the TEEP message was verified with.
	Key *cosekit.PublicKey
	// Registered says that Key was known before this message.
	Registered bool
	// UEID and AttestationKey are those of the device's record; zero at first contact,
	// or where they are not known.
	UEID           []byte
	AttestationKey cosekit.Thumbprint
	// Now is the time; MaxAge the greatest age of iat, zero for none; Skew what
	// clocks may differ by.
	Now    time.Time
	MaxAge time.Duration
	Skew   time.Duration
}

// Bind decides whether a result is about the sender of a TEEP message. It checks, in
// this order: that the claims were verified, that the evidence is fresh, that it vouches
// for the key that signed the message, and that it is about the device on record. The
// first fault is the one returned; see the errors of this package. Whether what the
// result says is good enough is another question: [Result.Affirmed], or policy.
func Bind(r *Result, b Binding) error {
	if r == nil || r.Claims == nil {
		if r != nil && r.Status != Affirming {
			return r.notAffirmed()
		}
		return errNoClaims
	}
	if b.Key == nil {
		return fmt.Errorf("%w: the message has no verified key", ErrKeyBinding)
	}
	if err := b.checkFresh(r.Claims); err != nil {
		return err
	}
	if !r.Expires.IsZero() && !b.Now.Before(r.Expires.Add(b.Skew)) {
		return fmt.Errorf("%w: the attestation result, at %s", ErrExpired, r.Expires.Format(time.RFC3339))
	}
	if err := b.checkKey(r.Claims.Confirmation); err != nil {
		return err
	}
	return b.checkDevice(r)
}

var errNoClaims = fmt.Errorf("%w: no verified claims", ErrNotAffirmed)

func (r *Result) notAffirmed() error {
	return fmt.Errorf("%w: %s: %s", ErrNotAffirmed, worse(r.Status, StatusOf(r.Vector)), r.Reason())
}

func (b Binding) checkFresh(c *Claims) error {
	if b.Challenge != nil {
		if err := c.CheckNonce(b.Challenge); err != nil {
			return err
		}
	} else if c.IssuedAt.IsZero() {
		return fmt.Errorf("%w: no iat, and no challenge to answer", ErrStale)
	}
	if b.MaxAge > 0 && !c.IssuedAt.IsZero() {
		if age := b.Now.Sub(c.IssuedAt); age > b.MaxAge+b.Skew {
			return fmt.Errorf("%w: made %s ago, at most %s allowed", ErrStale, age.Round(time.Second), b.MaxAge)
		}
	}
	return c.CheckTime(b.Now, b.Skew)
}

// CheckNonce checks that eat_nonce is the challenge.
func (c *Claims) CheckNonce(challenge []byte) error {
	if c.Nonce == nil {
		return fmt.Errorf("%w: no eat_nonce", ErrNonce)
	}
	if subtle.ConstantTimeCompare(c.Nonce, challenge) != 1 {
		return ErrNonce
	}
	return nil
}

// CheckTime checks exp, nbf and iat, each where it is present.
func (c *Claims) CheckTime(now time.Time, skew time.Duration) error {
	if !c.Expires.IsZero() && !now.Before(c.Expires.Add(skew)) {
		return fmt.Errorf("%w: at %s", ErrExpired, c.Expires.Format(time.RFC3339))
	}
	if !c.NotBefore.IsZero() && now.Add(skew).Before(c.NotBefore) {
		return fmt.Errorf("%w: not before %s", ErrNotYetValid, c.NotBefore.Format(time.RFC3339))
	}
	if !c.IssuedAt.IsZero() && now.Add(skew).Before(c.IssuedAt) {
		return fmt.Errorf("%w: issued at %s", ErrNotYetValid, c.IssuedAt.Format(time.RFC3339))
	}
	return nil
}

// checkKey wants every way in which cnf names a key to name this one
// (draft-ietf-teep-protocol-26 section 7.1.1.1). A kid names it by its thumbprint.
// Evidence that binds no key is good for a registered one only, whose device
// checkDevice compares.
func (b Binding) checkKey(cnf Confirmation) error {
	thumbprint := b.Key.Thumbprint()
	switch {
	case cnf.Key == nil && cnf.KeyID == nil && !b.Registered:
		return fmt.Errorf("%w: no cnf", ErrKeyNotCarried)
	case cnf.Key != nil && !cnf.Key.Equal(b.Key):
		return fmt.Errorf("%w: cnf has key %s, the message is signed with %s", ErrKeyBinding, cnf.Key.Thumbprint(), thumbprint)
	case cnf.KeyID != nil && !bytes.Equal(cnf.KeyID, thumbprint[:]):
		return fmt.Errorf("%w: cnf names key %x, the message is signed with %s", ErrKeyBinding, cnf.KeyID, thumbprint)
	case cnf.Key == nil && !b.Registered:
		return ErrKeyNotCarried
	}
	return nil
}

// checkDevice compares the ueid, or, where the evidence has none, the hardware that made
// it: one of the two must be on record, unless the device is new and has a ueid.
func (b Binding) checkDevice(r *Result) error {
	ueid := r.Claims.UEID
	switch {
	case ueid == nil && r.AttestationKey == (cosekit.Thumbprint{}):
		return fmt.Errorf("%w: neither ueid nor the key that signed it", ErrDevice)
	case ueid == nil && r.AttestationKey != b.AttestationKey:
		return fmt.Errorf("%w: no ueid, and made by %s, on record is %s", ErrDevice, r.AttestationKey, b.AttestationKey)
	case ueid != nil && b.UEID != nil && !bytes.Equal(ueid, b.UEID):
		return fmt.Errorf("%w: ueid %x, on record is %x", ErrDevice, ueid, b.UEID)
	}
	return nil
}
