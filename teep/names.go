package teep

// MessageKind returns the message that a type number stands for, for those who show
// messages rather than act on them.
func (n Numbering) MessageKind(number uint64) (Kind, bool) {
	if n.check() != nil {
		return 0, false
	}
	return n.kind(number)
}

// OptionName returns the name of a message option, or of a member of
// requested-tc-info, by its number.
func (n Numbering) OptionName(number uint64) (string, bool) {
	if n.check() != nil {
		return "", false
	}
	for l := range labelDataItems {
		if l.number(n) == number {
			return l.String(), true
		}
	}
	return "", false
}

// ErrorCode returns the error that an err-code stands for.
func (n Numbering) ErrorCode(number uint64) ErrorCode { return ErrorCode(n.errorCode(number)) }
