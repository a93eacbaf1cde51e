package expr

import (
	"regexp"

	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// pattern is a regular expression of a text: compiled once, and as large as its program
// is, by which a match is priced.
type pattern struct {
	types.String
	compiled *regexp.Regexp
	size     uint64 // instructions
}

func newPattern(text string) (pattern, error) {
	compiled, err := regexp.Compile(text)
	if err != nil {
		return pattern{}, err
	}
	size, err := types.RegexProgramSize(text)
	return pattern{types.String(text), compiled, uint64(size)}, err
}

// matching puts compiled patterns into their places. It is named by overload, which goes
// before what CEL has for the function.
func matching(overload string) *interpreter.RegexOptimization {
	return &interpreter.RegexOptimization{
		Function: overloads.Matches, OverloadID: overload, RegexIndex: 1,
		Factory: func(call interpreter.InterpretableCall, text string) (interpreter.InterpretableCall, error) {
			p, err := newPattern(text)
			if err != nil {
				return nil, err
			}
			args := []interpreter.InterpretableV2{call.Args()[0], interpreter.NewConstValue(call.Args()[1].ID(), p)}
			return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), args, matches), nil
		},
	}
}

// matches takes a text and a pattern. What is matched is short: matching takes time in
// proportion to both.
func matches(args ...ref.Val) ref.Val {
	text, ok := args[0].(types.String)
	p, compiled := args[1].(pattern)
	switch {
	case !ok || !compiled:
		return types.MaybeNoSuchOverloadErr(args[0])
	case len(text) > MaxMatched:
		return types.NewErr("matches: a text of %d bytes, at most %d", len(text), MaxMatched)
	}
	return types.Bool(p.compiled.MatchString(string(text)))
}
