package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// applyUpdate handles an Update (draft-ietf-teep-protocol-26 section 7.2.2). It is
// remembered before anything of it is done, because unlinking has no sequence number
// that would stop a second time. Trust anchor messages will come first, then what is
// to be unlinked, and only if all of it is gone, the manifests. It is answered once:
// with Success if everything was done, with an Error if not.
func (a *Agent) applyUpdate(ctx context.Context, u *teep.Update, key *cosekit.PublicKey) ([]byte, error) {
	a.observe(StepUpdate, "%s", summary(u))
	var told error
	if u.ErrCode != 0 {
		told = &TAMError{u.ErrCode, u.ErrMsg}
		a.observe(StepRefused, "%v", told)
		told = errors.Join(told, a.passportRefused(u.ErrCode))
	}
	passport := u.Attestation
	if !a.config.Passports || told != nil {
		passport = nil
	}
	if len(u.Manifests) == 0 && len(u.UnneededManifests) == 0 && passport == nil {
		if told != nil {
			return nil, told // the TAM has refused and waits for nothing
		}
		return a.succeed(&teep.Success{Token: u.Token})
	}
	if a.config.TAMAttestation != nil && !a.tamAttested(key) {
		answer, refusal := a.refuse(u.Token, &teep.ProtocolError{Code: teep.TemporaryError, Msg: "the TAM has to attest itself to this device first"})
		return answer, errors.Join(refusal, ErrTAMAttestation, told)
	}
	fresh, err := a.accept(u)
	if err != nil {
		answer, refusal := a.refuse(u.Token, &teep.ProtocolError{Code: teep.TemporaryError, Msg: "the device cannot keep its state now"})
		return answer, errors.Join(refusal, err, told)
	}
	if !fresh {
		a.observe(StepRefused, "%v", ErrReplayed)
		return nil, ErrReplayed
	}
	var notes []string
	if passport != nil {
		if note := a.takePassport(ctx, passport); note != "" {
			notes = append(notes, note)
		}
	}
	done := a.unlink(ctx, u.UnneededManifests)
	done.notes = append(notes, done.notes...)
	if done.faults == nil {
		var more []*suit.Report
		more, done.faults = a.install(ctx, u.Manifests)
		done.reports = append(done.reports, more...)
	}
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), told)
	}
	answer, err := a.answerUpdate(u.Token, done)
	return answer, errors.Join(err, told)
}

// outcome is what became of an Update.
type outcome struct {
	reports []*suit.Report
	notes   []string // of what was done otherwise than the manifests say
	faults  []error
}

// accept remembers the Update by its content. The bytes on the wire would not do:
// the unprotected header, and an ECDSA signature, can be changed by anybody.
func (a *Agent) accept(u *teep.Update) (fresh bool, err error) {
	content, err := teep.Encode(a.config.Numbering, u)
	if err != nil {
		return false, err
	}
	return a.config.Memory.AcceptUpdate(sha256.Sum256(content))
}

// install processes the manifests one by one. One that fails does not keep the
// others from being tried; the answer tells how each went.
func (a *Agent) install(ctx context.Context, manifests [][]byte) (reports []*suit.Report, faults []error) {
	for i, manifest := range manifests {
		report, err := a.installOne(ctx, manifest)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			a.observe(StepFailed, "manifest %d of %d: %v", i+1, len(manifests), err)
			faults = append(faults, &fault{ErrManifest, fmt.Sprintf("manifest %d of %d", i+1, len(manifests)), err})
		}
		if report != nil { // nil where there is not even a digest that it could refer to
			reports = append(reports, report)
		}
	}
	return reports, faults
}

// answerUpdate tells the TAM how everything went.
func (a *Agent) answerUpdate(token []byte, done outcome) ([]byte, error) {
	signed := a.signReports(token, done.reports)
	faults := done.faults
	if faults == nil {
		return a.succeed(&teep.Success{Token: token, Msg: teep.DiagnosticText(strings.Join(done.notes, "; ")), SUITReports: signed})
	}
	failed := a.errorFor(token, &teep.ProtocolError{Code: teep.ManifestProcessingFailed, Msg: words(faults[0])})
	failed.SUITReports = signed
	answer, err := a.seal(failed)
	a.observe(StepReport, "%s, %d failed", failed.Code, len(faults))
	return answer, errors.Join(errors.Join(faults...), err)
}

func (a *Agent) succeed(success *teep.Success) ([]byte, error) {
	answer, err := a.seal(success)
	if err == nil {
		a.observe(StepReport, "success")
	}
	return answer, err
}

// installOne takes one envelope through authentication, the rights of its signer and
// the Update procedure. The report is nil only for what is not an envelope.
func (a *Agent) installOne(ctx context.Context, data []byte) (*suit.Report, error) {
	envelope, err := suit.Decode(data)
	if err != nil {
		return nil, err
	}
	verified, rights, err := a.authority(envelope)
	if err != nil {
		return a.unauthenticated(envelope, err), err
	}
	if verified.Manifest().ComponentID == nil {
		return unnamed(verified), errUnnamed
	}
	outcome, err := a.processor.Update(ctx, verified, rights)
	if err != nil {
		if errors.Is(err, processor.ErrFetch) {
			err = errors.Join(err, a.askForPayload(verified.Manifest()))
		}
		return outcome.Report, err
	}
	for _, rule := range outcome.Bent {
		a.observe(StepBent, "%s", rule)
	}
	for _, c := range outcome.Components {
		a.observe(StepInstalled, "%s, sequence %d, %d bytes, %s %s", c.Component, verified.Manifest().SequenceNumber,
			*c.ImageSize, c.ImageDigest.Algorithm, brief(hex.EncodeToString(c.ImageDigest.Bytes)))
	}
	return outcome.Report, nil
}

// askForPayload takes back that the agent has the binary of a component: its image is
// not the one that the manifest asks for, and the manifest came without.
func (a *Agent) askForPayload(m *suit.Manifest) error {
	var faults []error
	for _, tc := range a.config.Memory.Requests() {
		if tc.HaveBinary && slices.ContainsFunc(m.Common.Components, tc.Component.Equal) {
			tc.HaveBinary = false
			_, err := a.config.Memory.Request(tc)
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// errUnnamed: an Update unlinks manifests by their manifest-component-ids, and the
// sequence numbers that stop a rollback are kept under them.
var errUnnamed = errors.New("manifest has no manifest-component-id, by which it could be unlinked")

// unnamed reports on a manifest without manifest-component-id, naming its key.
func unnamed(v *suit.Verified) *suit.Report {
	const keyComponentID suit.Section = 5
	return &suit.Report{
		Reference: suit.Reference{URI: v.Manifest().ReferenceURI, Digest: v.Digest()},
		Failure:   &suit.ReportFailure{Record: suit.Record{Section: keyComponentID}, Reason: suit.ReasonConditionFailed},
	}
}

// summary says what an Update carries.
func summary(u *teep.Update) string {
	size := 0
	for _, m := range u.Manifests {
		size += len(m)
	}
	text := fmt.Sprintf("manifests: %d to install (%d bytes), %d to unlink", len(u.Manifests), size, len(u.UnneededManifests))
	if u.Attestation != nil {
		text += "; an attestation result"
	}
	return text
}
