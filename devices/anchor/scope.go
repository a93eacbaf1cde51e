package anchor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// Scope is a component-id prefix with the commands and parameters that a signer may use
// there: the third model of draft-ietf-suit-manifest-37 section 9. An empty list does not
// narrow; one of the two is not empty.
//
// Commands are the directives that act on a component: fetch, copy, write, swap, invoke,
// wait, unlink, process-dependency and those of the private range. Conditions need no
// grant, for they change nothing, nor do the directives that order a sequence or set
// parameters: what may be set is in Parameters. There soft-failure and strict-order need
// none, which belong to a sequence and to no component.
type Scope struct {
	Prefix     suit.ComponentID     `cbor:"1,keyasint"`
	Commands   []suit.CommandCode   `cbor:"2,keyasint,omitempty"`
	Parameters []suit.ParameterCode `cbor:"3,keyasint,omitempty"`
}

// The fields of a scope in its text form.
const (
	commandsField   = "commands="
	parametersField = "parameters="
)

// ParseScope reads the form that String writes: a prefix and, with spaces between them,
// commands=a,b and parameters=c,d, of which either may be missing, or both: then it is a
// prefix and nothing more.
func ParseScope(text string) (Scope, error) {
	prefix, rest, _ := strings.Cut(text, " ")
	var s Scope
	var err error
	if s.Prefix, err = suit.ParseComponentID(prefix); err != nil {
		return Scope{}, err
	}
	for _, field := range strings.Fields(rest) {
		if names, ok := strings.CutPrefix(field, commandsField); ok && s.Commands == nil {
			s.Commands, err = parseAll(names, suit.ParseCommandCode)
		} else if names, ok := strings.CutPrefix(field, parametersField); ok && s.Parameters == nil {
			s.Parameters, err = parseAll(names, suit.ParseParameterCode)
		} else {
			err = fmt.Errorf("%q: want %sNAME,… and %sNAME,… behind the prefix, each once", field, commandsField, parametersField)
		}
		if err != nil {
			return Scope{}, fmt.Errorf("component prefix %s: %w", prefix, err)
		}
	}
	return s, nil
}

func parseAll[C any](names string, parse func(string) (C, error)) ([]C, error) {
	var list []C
	for name := range strings.SplitSeq(names, ",") {
		c, err := parse(name)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// String returns the form that ParseScope reads.
func (s Scope) String() string {
	text := s.Prefix.String()
	if len(s.Commands) > 0 {
		text += " " + commandsField + strings.Join(s.CommandNames(), ",")
	}
	if len(s.Parameters) > 0 {
		text += " " + parametersField + strings.Join(s.ParameterNames(), ",")
	}
	return text
}

// CommandNames returns the names of the commands, of those without a name the numbers.
func (s Scope) CommandNames() []string { return namesOf(s.Commands) }

// ParameterNames returns the names of the parameters, of those without a name the numbers.
func (s Scope) ParameterNames() []string { return namesOf(s.Parameters) }

func namesOf[C fmt.Stringer](list []C) []string {
	names := make([]string, len(list))
	for i, c := range list {
		name := c.String()
		names[i] = name[strings.LastIndexByte(name, ' ')+1:] // "command -300"
	}
	return names
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Admit adds a prefix with what is allowed there: to Components where that is everything,
// else to Scopes.
func (c *Constraints) Admit(s Scope) {
	if len(s.Commands)+len(s.Parameters) == 0 {
		c.Components = append(c.Components, s.Prefix)
		return
	}
	c.Scopes = append(c.Scopes, s)
}

// Everywhere reports whether no component is out of reach.
func (c Constraints) Everywhere() bool { return len(c.Components)+len(c.Scopes) == 0 }

// needsGrant reports whether a list of commands is about the command.
func needsGrant(c suit.CommandCode) bool {
	switch c {
	case suit.DirectiveSetComponentIndex, suit.DirectiveTryEach, suit.DirectiveRunSequence,
		suit.DirectiveSetParameters, suit.DirectiveOverrideParameters, suit.DirectiveOverrideMultiple, suit.DirectiveCopyParams:
		return false
	}
	return !c.IsCondition()
}

// ofSequence reports whether a parameter belongs to the sequence that sets it.
func ofSequence(c suit.ParameterCode) bool {
	return c == suit.ParameterSoftFailure || c == suit.ParameterStrictOrder
}

// allows reports whether the lists of the scope have the command and the parameter, each
// zero for none.
func (s Scope) allows(command suit.CommandCode, parameter suit.ParameterCode) bool {
	switch {
	case command != 0 && len(s.Commands) > 0 && needsGrant(command) && !slices.Contains(s.Commands, command):
		return false
	case parameter != 0 && len(s.Parameters) > 0 && !ofSequence(parameter) && !slices.Contains(s.Parameters, parameter):
		return false
	}
	return true
}

// fault refuses a scope that allows what it does not seem to.
func (s Scope) fault() error {
	switch {
	case len(s.Prefix) == 0:
		return fmt.Errorf("commands or parameters without a component prefix")
	case len(s.Commands)+len(s.Parameters) == 0:
		return fmt.Errorf("neither commands nor parameters under %s; it is a component prefix then", s.Prefix)
	case len(s.Commands) > MaxList, len(s.Parameters) > MaxList:
		return fmt.Errorf("more than %d commands or parameters under %s", MaxList, s.Prefix)
	}
	for i, c := range s.Commands {
		switch _, err := suit.ParseCommandCode(c.String()); {
		case err != nil:
			return err
		case !needsGrant(c):
			return fmt.Errorf("%s is allowed wherever a component may be touched; leave it out of the commands under %s", c, s.Prefix)
		case slices.Contains(s.Commands[:i], c):
			return fmt.Errorf("%s twice under %s", c, s.Prefix)
		}
	}
	for i, c := range s.Parameters {
		switch _, err := suit.ParseParameterCode(c.String()); {
		case err != nil:
			return err
		case ofSequence(c):
			return fmt.Errorf("%s is allowed wherever a component may be touched; leave it out of the parameters under %s", c, s.Prefix)
		case slices.Contains(s.Parameters[:i], c):
			return fmt.Errorf("%s twice under %s", c, s.Prefix)
		}
	}
	return nil
}

// checkScopes refuses one that widens another, and one under a prefix without lists,
// which it could not narrow.
func (c Constraints) checkScopes() error {
	for i, s := range c.Scopes {
		if err := s.fault(); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Scopes[:i], func(other Scope) bool { return other.Prefix.Equal(s.Prefix) }) {
			return fmt.Errorf("component prefix %s twice", s.Prefix)
		}
		if slices.ContainsFunc(c.Components, s.Prefix.HasPrefix) {
			return fmt.Errorf("commands or parameters under %s narrow nothing: every one is allowed there besides", s.Prefix)
		}
	}
	return nil
}
