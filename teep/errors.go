package teep

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The faults of this package; those of the COSE wrapper are cosekit's. Each is
// wrapped with what was found.
var (
	// ErrMalformed: not a TEEP message, or one that breaks a rule of its type.
	ErrMalformed = errors.New("malformed TEEP message")
	// ErrUnknownType: a message type that the numbering does not have.
	ErrUnknownType = errors.New("unknown TEEP message type")
	// ErrNumbering: not one of the numberings.
	ErrNumbering = errors.New("unknown TEEP numbering")
	// ErrWrapper: a COSE wrapper that this message may not have.
	ErrWrapper = errors.New("TEEP message in the wrong COSE wrapper")
)

// ProtocolError is a fault that the peer is told of: the err-code and err-msg of
// an Error (section 4.6) or of an Update (section 4.4).
type ProtocolError struct {
	Code ErrorCode
	Msg  string // of any length; see [DiagnosticText]
}

func (e *ProtocolError) Error() string {
	if e.Msg == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Msg
}

// protocolErrorf makes a ProtocolError with a formatted message.
func protocolErrorf(code ErrorCode, format string, args ...any) *ProtocolError {
	return &ProtocolError{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// maxText is the size in bytes of err-msg and msg.
const maxText = 128

// DiagnosticText makes s fit for err-msg and msg: valid UTF-8 of at most 128
// bytes, cut between characters.
func DiagnosticText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
