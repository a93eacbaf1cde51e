package devices

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/tamarack-tam/tamarack/internal/expr"
)

// ErrSelector: a selector that cannot be compiled; wrapped with the place and the reason.
var ErrSelector = errors.New("selector not acceptable")

var groupName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Selector chooses devices by a CEL expression over their documents, see [Document].
type Selector struct{ compiled *expr.Selector }

// NewSelector compiles a selector; the empty one selects every device. Groups are
// selectors by name, which it may refer to.
func NewSelector(text string, groups map[string]string) (*Selector, error) {
	if text == "" {
		return &Selector{}, nil
	}
	compiled, err := expr.NewSelector(text, groups)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSelector, err)
	}
	return &Selector{compiled}, nil
}

// Matches reports whether the device is selected, at the expense of a budget. An error
// says why that cannot be told of this device; whoever asks decides what is safe then.
func (s *Selector) Matches(b *expr.Budget, d Device, agents ...Agent) (bool, error) {
	if s.compiled == nil {
		return true, nil
	}
	return s.compiled.Matches(Document(d, agents...), b)
}

// Compile checks the selector of a group, which refers to no other group.
func (g Group) Compile() (*Selector, error) {
	if !groupName.MatchString(g.Name) {
		return nil, fmt.Errorf("%w: group %q: a name is 1 to 64 of a-z, 0-9 and -", ErrSelector, g.Name)
	}
	if g.Selector == "" {
		return nil, fmt.Errorf("%w: group %q selects nothing: write true for every device", ErrSelector, g.Name)
	}
	compiled, err := expr.NewGroup(g.Selector)
	if err != nil {
		return nil, fmt.Errorf("%w: group %q: %w", ErrSelector, g.Name, err)
	}
	return &Selector{compiled}, nil
}

// Selectors are the texts of groups by name, as compilers want them.
func Selectors(groups []Group) map[string]string {
	texts := make(map[string]string, len(groups))
	for _, g := range groups {
		texts[g.Name] = g.Selector
	}
	return texts
}
