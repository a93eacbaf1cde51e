package suit

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseCommandCode reads what [CommandCode.String] writes: a registered name, or the
// number of a command of the private range, with or without the word before it.
func ParseCommandCode(s string) (CommandCode, error) {
	for c, info := range commands {
		if info.name == s {
			return c, nil
		}
	}
	if n, ok := parseCustom("command", s); ok {
		return CommandCode(n), nil
	}
	return 0, fmt.Errorf("no command is called %q; want a registered name such as fetch, or a number of %d and below", s, lastCustom)
}

// ParseParameterCode reads what [ParameterCode.String] writes, as [ParseCommandCode] does.
func ParseParameterCode(s string) (ParameterCode, error) {
	for c, name := range parameterNames {
		if name == s {
			return c, nil
		}
	}
	if n, ok := parseCustom("parameter", s); ok {
		return ParameterCode(n), nil
	}
	return 0, fmt.Errorf("no parameter is called %q; want a registered name such as uri, or a number of %d and below", s, lastCustom)
}

// parseCustom reads a code of the private range, written in the one way.
func parseCustom(kind, s string) (int64, bool) {
	digits := strings.TrimPrefix(s, kind+" ")
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n <= lastCustom && strconv.FormatInt(n, 10) == digits
}
