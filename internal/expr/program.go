package expr

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// Selector is a checked text that says of a device whether it is selected.
type Selector struct{ program *program }

// NewSelector checks a text over the variable device that returns a bool. Groups are
// selectors by name. A fault is an [*Error].
func NewSelector(text string, groups map[string]string) (*Selector, error) {
	p, err := compile(selection, text, groups)
	if err != nil {
		return nil, err
	}
	return &Selector{p}, nil
}

// NewGroup checks the selector of a group, which refers to no other one.
func NewGroup(text string) (*Selector, error) {
	tree, err := parse(selection, text, nil)
	if err != nil {
		return nil, err
	}
	p, err := check(selection, text, tree)
	if err != nil {
		return nil, err
	}
	return &Selector{p}, nil
}

// Matches reports whether the device is selected. An error is ErrEvaluate.
func (s *Selector) Matches(d *Device, b *Budget) (bool, error) {
	value, err := s.program.eval(&input{device: d}, b)
	if err != nil {
		return false, err
	}
	return value == types.True, nil
}

// Rule is a checked text that decides about a device and a result.
type Rule struct {
	program *program
	uses    map[string]bool // fields of result; nil for all
}

// NewAppraisal checks a text over device, result, claims and now that returns a decision
// or a bool. A fault is an [*Error].
func NewAppraisal(text string, groups map[string]string) (*Rule, error) {
	return newRule(appraisal, text, groups)
}

// NewAdmission is the same for new devices, which may be left pending.
func NewAdmission(text string, groups map[string]string) (*Rule, error) {
	return newRule(admission, text, groups)
}

func newRule(k kind, text string, groups map[string]string) (*Rule, error) {
	p, err := compile(k, text, groups)
	if err != nil {
		return nil, err
	}
	return &Rule{p, resultFields(p.tree)}, nil
}

// Uses reports whether the rule may look at a field of the result. Those at which it
// does not need no value.
func (r *Rule) Uses(field string) bool { return r.uses == nil || r.uses[field] }

// resultFields are the fields of result in a text; nil where it has the whole of it.
func resultFields(tree *ast.AST) map[string]bool {
	uses := map[string]bool{}
	whole := 0
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case path(e) == "result":
			whole++
		case e.Kind() == ast.SelectKind && path(e.AsSelect().Operand()) == "result":
			uses[e.AsSelect().FieldName()] = true
			whole--
		}
	}))
	if whole != 0 {
		return nil
	}
	return uses
}

// Input is what a rule decides about.
type Input struct {
	Device *Device
	Result *Result
	Claims map[string]any
	Now    time.Time
}

// Decide evaluates the rule. A bool accepts or rejects. An error is ErrEvaluate.
func (r *Rule) Decide(in Input, b *Budget) (Decision, error) {
	value, err := r.program.eval(&input{in.Device, in.Result, in.Claims, in.Now}, b)
	if err != nil {
		return Decision{}, err
	}
	switch v := value.(type) {
	case decision:
		return v.Decision, nil
	case types.Bool:
		if v {
			return Decision{Verb: Accept}, nil
		}
		return Decision{Verb: Reject, Reason: "the policy does not hold"}, nil
	}
	return Decision{}, fmt.Errorf("%w: it returned a %s", ErrEvaluate, value.Type().TypeName())
}

// input resolves the variables.
type input struct {
	device *Device
	result *Result
	claims map[string]any
	now    time.Time
}

// ResolveName implements cel.Activation.
func (in *input) ResolveName(name string) (any, bool) {
	switch name {
	case "device":
		return in.device, true
	case "result":
		return in.result, in.result != nil
	case "claims":
		return in.claims, true
	case "now":
		return in.now, !in.now.IsZero()
	}
	return nil, false
}

// Parent implements cel.Activation.
func (in *input) Parent() cel.Activation { return nil }

type program struct {
	kind    kind
	tree    *ast.AST
	program cel.Program
}

func compile(k kind, text string, groups map[string]string) (*program, error) {
	if groups == nil {
		groups = map[string]string{}
	}
	tree, err := parse(k, text, groups)
	if err != nil {
		return nil, err
	}
	return check(k, text, tree)
}

// parse reads a text. Without groups it is itself the text of one.
func parse(k kind, text string, groups map[string]string) (*cel.Ast, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, &Error{Text: "there is no expression"}
	case len(text) > MaxText:
		return nil, &Error{Text: fmt.Sprintf("%d bytes, at most %d are read", len(text), MaxText)}
	case !utf8.ValidString(text):
		return nil, &Error{Text: "not valid UTF-8"}
	}
	env, err := environments[k]()
	if err != nil {
		return nil, err
	}
	tree, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, firstIssue(text, k, issues)
	}
	return tree, shape(text, tree.NativeRep(), groups)
}

func check(k kind, text string, tree *cel.Ast) (*program, error) {
	env, err := environments[k]()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Check(tree)
	if issues.Err() != nil {
		return nil, firstIssue(text, k, issues)
	}
	if err := checkType(k, text, checked); err != nil {
		return nil, err
	}
	estimate, err := cost.Cost(checked.NativeRep(), estimator{})
	if err != nil {
		return nil, err
	}
	if estimate.Max > maxEstimate {
		return nil, &Error{
			Text: "it may cost too much to evaluate",
			Hint: "do not go over one list within another; compare with literals rather than with other values",
		}
	}
	p, err := env.Program(checked,
		cel.EvalOptions(cel.OptOptimize),
		cel.OptimizeRegex(matching(overloads.Matches), matching(overloads.MatchesString)),
		cel.CostTracking(estimator{}))
	if err != nil {
		return nil, &Error{Text: err.Error()}
	}
	return &program{k, checked.NativeRep(), p}, nil
}

func checkType(k kind, text string, checked *cel.Ast) error {
	got := checked.OutputType()
	if got.IsExactType(cel.BoolType) || k != selection && got.IsExactType(decisionType) {
		return nil
	}
	want, hint := "a bool", `as in device.labels["site"] == "hall-3"`
	if k != selection {
		want, hint = "a decision or a bool", `as in result.status == "affirming" ? accept() : reject("not affirming")`
	}
	return fault(text, common.NewLocation(1, 0), hint, "it returns a %s, not %s", typeNames(got.String()), want)
}

// eval evaluates at the expense of a budget.
func (p *program) eval(in *input, b *Budget) (ref.Val, error) {
	frame, err := interpreter.NewExecutionFrame(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvaluate, err)
	}
	defer frame.Close()
	frame.SetCostTracker(b.tracker)
	value, _, err := p.program.Eval(frame)
	if err == nil {
		return value, nil
	}
	var cancelled interpreter.EvalCancelledError
	var at *types.Err
	switch {
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return nil, ErrSpent
	case errors.As(err, &at):
		if place := p.tree.SourceInfo().GetStartLocation(at.NodeID()); place.Line() > 0 {
			return nil, fmt.Errorf("%w: line %d, column %d: %s", ErrEvaluate, place.Line(), place.Column()+1, plain(err.Error()))
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrEvaluate, plain(err.Error()))
}
