package agent

import (
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// Why a message came to nothing; test with errors.Is on the error of
// ProcessTeepMessage.
var (
	// ErrUntrustedTAM: no signature by a TAM key in the anchor store. Nothing is sent.
	ErrUntrustedTAM = errors.New("message is not signed by a TAM that this device trusts")
	// ErrTAMAttestation: the TAM is trusted, and has not shown what the device demands of
	// it. It is not told anything.
	ErrTAMAttestation = errors.New("the TAM has not attested itself")
	// ErrPassport: the TAM did not take the passport, which is dropped. The next session
	// has evidence.
	ErrPassport = errors.New("passport not taken")
	// ErrReplayed: an Update that was accepted before. Nothing is sent: its token
	// may still wait for the real answer.
	ErrReplayed = errors.New("update was accepted before")
	// ErrRefused: the message was answered with an Error.
	ErrRefused = errors.New("message refused")
	// ErrNumbering: the message would be one in the other numbering. It was refused.
	ErrNumbering = errors.New("numbering mismatch")
	// ErrManifest: at least one manifest of an Update was not installed.
	ErrManifest = errors.New("manifest not installed")
	// ErrUnlink: a manifest that the TAM has listed was not unlinked, and no manifest
	// of the Update was processed.
	ErrUnlink = errors.New("manifest not unlinked")
	// ErrInvoke: the application of an installed manifest did not run to a good end.
	ErrInvoke = errors.New("manifest not invoked")
)

// TAMError is what a TAM says in an Update instead of sending manifests
// (draft-ietf-teep-protocol-26 section 4.4, err-code).
type TAMError struct {
	Code teep.ErrorCode
	Msg  string
}

func (e *TAMError) Error() string {
	if e.Msg == "" {
		return fmt.Sprintf("the TAM answers %s", e.Code)
	}
	return fmt.Sprintf("the TAM answers %s: %q", e.Code, e.Msg)
}

// fault is a part of an Update that was not done.
type fault struct {
	kind error // ErrManifest or ErrUnlink
	what string
	err  error
}

func (f *fault) Error() string   { return fmt.Sprintf("%v: %s: %v", f.kind, f.what, f.err) }
func (f *fault) Unwrap() []error { return []error{f.kind, f.err} }

// words are for err-msg, which has 128 bytes: why it was. Where in the manifest it was
// stands in the report.
func words(err error) string {
	var f *fault
	if !errors.As(err, &f) {
		return err.Error()
	}
	return f.what + ": " + reason(f.err)
}

// reason leaves out where in a manifest a procedure ended, but for the command.
func reason(err error) string {
	var f *processor.Failure
	switch {
	case !errors.As(err, &f):
		return err.Error()
	case f.Command == 0:
		return f.Err.Error()
	}
	return f.Command.String() + ": " + f.Err.Error()
}
