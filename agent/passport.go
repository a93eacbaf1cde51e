package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/teep"
)

// Passport is an Attestation Result about this device, which a TAM passed back in an
// Update (draft-ietf-teep-protocol-26 section 4.4, RFC 9334 section 5.1).
type Passport struct {
	Format   string // media type; empty for the EAT profile of TEEP
	Payload  []byte
	Received time.Time
	Expires  time.Time // zero where that is not known
	// Verified says that a verifier which the device trusts has signed it. Else it is worth
	// as much as the word of the TAM that sent it.
	Verified bool
}

func (p *Passport) present(context.Context) (*teep.AttestationPayload, error) {
	return &teep.AttestationPayload{Format: p.Format, Payload: p.Payload}, nil
}

// passport returns the one that is still in time; nil for none.
func (a *Agent) passport() *Passport {
	if !a.config.Passports {
		return nil
	}
	p := a.papers.Passport
	if p == nil || !p.Expires.IsZero() && !a.config.Clock().Before(p.Expires) {
		return nil
	}
	return p
}

// takePassport keeps the result that came with an Update, in place of the one before. One
// that is of no use is no fault of the Update; the note says so.
func (a *Agent) takePassport(ctx context.Context, sent *teep.AttestationPayload) (note string) {
	p, err := a.examinePassport(ctx, sent)
	if err == nil {
		err = a.keep(func(papers *Papers) { papers.Passport = p })
	}
	if err != nil {
		note = "passport not kept: " + err.Error()
		a.observe(StepPassport, "%s", note)
		return note
	}
	until := "no time in it"
	if !p.Expires.IsZero() {
		until = "until " + p.Expires.Format(time.RFC3339)
	}
	a.observe(StepPassport, "kept, %d bytes, %s", len(p.Payload), until)
	return ""
}

// examinePassport verifies a result, where the device trusts a verifier. Else it stays
// unread, but for its end: who lies there harms nobody but the device whose TAM he is.
func (a *Agent) examinePassport(ctx context.Context, sent *teep.AttestationPayload) (*Passport, error) {
	switch {
	case len(sent.Payload) > attest.MaxTokenSize:
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(sent.Payload), attest.MaxTokenSize)
	case !attest.IsResult(sent.Format):
		return nil, fmt.Errorf("%w: %q is no attestation result", attest.ErrFormat, sent.Format)
	}
	p := &Passport{Format: sent.Format, Payload: sent.Payload, Received: a.config.Clock()}
	if a.config.Results == nil {
		if token, err := attest.ParseEAT(sent.Payload); err == nil {
			claims := token.UnverifiedClaims()
			if err := a.ownUEID(claims.UEID); err != nil {
				return nil, err
			}
			p.Expires = claims.Expires
		}
	} else {
		result, err := a.config.Results.Verify(ctx, sent.Format, sent.Payload)
		if err == nil {
			err = a.aboutUs(result)
		}
		if err != nil {
			return nil, err
		}
		p.Verified, p.Expires = true, sooner(result.Expires, result.Claims.Expires)
	}
	if !p.Expires.IsZero() && !a.config.Clock().Before(p.Expires) {
		return nil, fmt.Errorf("%w: at %s", attest.ErrExpired, p.Expires.Format(time.RFC3339))
	}
	return p, nil
}

// ownUEID refuses that of another device: a TAM must not make this one tell the next TAM of
// that. A result may name none.
func (a *Agent) ownUEID(named []byte) error {
	if own := a.config.UEID; own != nil && named != nil && !bytes.Equal(named, own) {
		return fmt.Errorf("%w: it is about another device, ueid %x", attest.ErrDevice, named)
	}
	return nil
}

// aboutUs wants a result that affirms, of the key and the device of this agent where it
// names them.
func (a *Agent) aboutUs(r *attest.Result) error {
	if r == nil {
		return errNoResult
	}
	if err := r.Affirmed(); err != nil {
		return err
	}
	cnf, own := r.Claims.Confirmation, a.config.Key.PublicKey().Thumbprint()
	if cnf.Key != nil && cnf.Key.Thumbprint() != own || cnf.KeyID != nil && !bytes.Equal(cnf.KeyID, own[:]) {
		return fmt.Errorf("%w: it is about another agent", attest.ErrKeyBinding)
	}
	return a.ownUEID(r.Claims.UEID)
}

var errNoResult = errors.New("no result")

// sooner is the earlier of two times that may be zero.
func sooner(x, y time.Time) time.Time {
	if x.IsZero() || !y.IsZero() && y.Before(x) {
		return y
	}
	return x
}

// passportRefused drops a passport that a TAM asks more than: without it the agent says
// that it has none, and is sent a challenge. It returns ErrPassport where that was so.
func (a *Agent) passportRefused(code teep.ErrorCode) error {
	if code != teep.AttestationRequired || !a.presented {
		return nil
	}
	a.presented = false
	if err := a.keep(func(p *Papers) { p.Passport = nil }); err != nil {
		a.papers.Passport = nil
		a.observe(StepPassport, "refused by the TAM; it cannot be removed: %v", err)
		return ErrPassport
	}
	a.observe(StepPassport, "refused by the TAM, and dropped")
	return ErrPassport
}

// readPapers takes over what an earlier process has kept. What cannot be read was lost
// before now, and starts anew.
func (a *Agent) readPapers() {
	if a.config.TAMAttestation == nil && !a.config.Passports {
		return
	}
	var err error
	if a.papers, err = a.config.Memory.Papers(); err != nil {
		a.papers = Papers{}
		a.observe(StepPassport, "what was kept of attestation is lost: %v", err)
	}
}

// keep changes the papers, if that can be made durable.
func (a *Agent) keep(change func(*Papers)) error {
	next := a.papers
	change(&next)
	err := a.config.Memory.KeepPapers(next)
	if err == nil {
		a.papers = next
	}
	return err
}
