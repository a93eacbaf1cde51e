package teep

// UnverifiedError returns an Error that nobody has verified. A TAM reads it to ask an
// agent that it does not know yet once more, for what the agent says it supports.
// That is harmless as [Envelope.UnverifiedToken] is: the token is the TAM's own, and
// nothing is believed but what the next question is made of.
func (e *Envelope) UnverifiedError() (*Error, bool) {
	m, ok := e.message.(*Error)
	return m, ok
}
