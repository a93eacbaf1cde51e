package teep

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Decode reads the payload of a TEEP message: one of the five types of section 4,
// every field within its bounds, nothing behind it. What it returns shares no
// memory with payload. For what comes off the wire call [Open].
func Decode(n Numbering, payload []byte) (Message, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if err := cosekit.Validate(payload); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	parts, err := cosekit.Elements(payload)
	if err != nil || len(parts) < 2 {
		return nil, fmt.Errorf("%w: not an array of type and options", ErrMalformed)
	}
	number, err := cosekit.Uint(parts[0])
	if err != nil {
		return nil, fmt.Errorf("%w: type: %w", ErrMalformed, err)
	}
	kind, ok := n.kind(number)
	if !ok {
		return nil, fmt.Errorf("%w %d (numbering %s)", ErrUnknownType, number, n)
	}
	m := newMessage(kind)
	if err := m.layout().decode(n, m, parts[1:]); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, kind, err)
	}
	return m, nil
}

func newMessage(k Kind) Message {
	switch k {
	case KindQueryRequest:
		return new(QueryRequest)
	case KindQueryResponse:
		return new(QueryResponse)
	case KindUpdate:
		return new(Update)
	case KindSuccess:
		return new(Success)
	default:
		return new(Error)
	}
}

// decode fills the message from its options and the elements behind them.
func (l *layout) decode(n Numbering, m Message, parts []cosekit.RawMessage) error {
	elements := parts[1:]
	if len(elements) != len(l.elements) {
		return fmt.Errorf("%d elements behind the options, want %d", len(elements), len(l.elements))
	}
	options, err := cosekit.Pairs(parts[0])
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	for _, option := range options {
		number, err := cosekit.Uint(option.Key)
		if err != nil {
			return fmt.Errorf("option label: %w", err)
		}
		f, known := l.option(n, number)
		if !known {
			l.unknown(m).keep(number, option.Value)
			continue
		}
		if err := f.decode(n, m, option.Value); err != nil {
			return fmt.Errorf("%s: %w", f.label, err)
		}
	}
	for i, f := range l.elements {
		if err := f.decode(n, m, elements[i]); err != nil {
			return fmt.Errorf("%s: %w", f.label, err)
		}
	}
	return l.checkAttestation(m)
}

// checkAttestation refuses a format without a payload.
func (l *layout) checkAttestation(m Message) error {
	if l.attestation == nil {
		return nil
	}
	if p := *l.attestation(m); p != nil && p.Payload == nil {
		return fmt.Errorf("no %s", labelAttestationPayload)
	}
	return nil
}

// option finds the option that the message has under a number.
func (l *layout) option(n Numbering, number uint64) (*field, bool) {
	for i := range l.options {
		if f := &l.options[i]; f.label.number(n) == number {
			return f, true
		}
	}
	return nil, false
}

// Encode writes the payload of a message deterministically (RFC 8949 section
// 4.2.1). It refuses what [Decode] would refuse.
func Encode(n Numbering, m Message) ([]byte, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	l := m.layout()
	unknown := *l.unknown(m)
	options := make(map[uint64]any, len(l.options)+len(unknown))
	for _, f := range l.options {
		if v := f.encode(n, m); v != nil {
			options[f.label.number(n)] = v
		}
	}
	for number, value := range unknown {
		if f, known := l.option(n, number); known {
			return nil, fmt.Errorf("%w: %s: unknown option %d is %s", ErrMalformed, m.Kind(), number, f.label)
		}
		if len(value) == 0 {
			return nil, fmt.Errorf("%w: %s: unknown option %d without a value", ErrMalformed, m.Kind(), number)
		}
		options[number] = value
	}
	parts := []any{kinds[m.Kind()].numbers[n], options}
	for _, f := range l.elements {
		v := f.encode(n, m)
		if v == nil {
			return nil, fmt.Errorf("%w: %s: no %s", ErrMalformed, m.Kind(), f.label)
		}
		parts = append(parts, v)
	}
	if err := l.checkAttestation(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, m.Kind(), err)
	}
	payload, err := cosekit.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, m.Kind(), err)
	}
	// The rules stand in one place, the decoder.
	if _, err := Decode(n, payload); err != nil {
		return nil, err
	}
	return payload, nil
}
