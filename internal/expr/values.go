package expr

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// Value is what a text refers to, as it was for one device.
type Value struct {
	Name  string `json:"name"`  // as one may write it: device.labels["site"]
	Value string `json:"value"` // for people
	There bool   `json:"there"` // false where the device, or the result, does not have it
}

// Values are what the selector refers to. It costs far more than to evaluate it.
func (s *Selector) Values(d *Device) []Value { return s.program.values(&input{device: d}) }

// Values are what the rule refers to. It costs far more than to evaluate it.
func (r *Rule) Values(in Input) []Value {
	return r.program.values(&input{in.Device, in.Result, in.Claims, in.Now})
}

// values evaluates each name in the text by itself.
func (p *program) values(in *input) []Value {
	var list []Value
	for _, name := range names(p.tree) {
		value := Value{Name: name}
		if shown, err := show(p.kind, name, in); err == nil {
			value.Value, value.There = shown, shown != ""
		}
		list = append(list, value)
	}
	return list
}

func show(k kind, name string, in *input) (string, error) {
	tree, err := parse(k, name, map[string]string{})
	if err != nil {
		return "", err
	}
	env, err := environments[k]()
	if err != nil {
		return "", err
	}
	checked, issues := env.Check(tree)
	if issues.Err() != nil {
		return "", issues.Err()
	}
	p, err := env.Program(checked, cel.CostTracking(estimator{}))
	if err != nil {
		return "", err
	}
	value, err := (&program{k, checked.NativeRep(), p}).eval(in, NewBudget(PerAppraisal))
	if err != nil {
		return "", err
	}
	return plain(fmt.Sprint(value.Value())), nil
}

// names lists the fields that a text refers to, in the order of the text, without those
// that only lead to others.
func names(tree *ast.AST) []string {
	var list []string
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if name, ok := written(e); ok && strings.ContainsAny(name, ".[") && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}))
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool {
		return slices.ContainsFunc(list, func(other string) bool {
			rest, leads := strings.CutPrefix(other, name)
			return leads && rest != "" && (rest[0] == '.' || rest[0] == '[')
		})
	})
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// written writes a chain of fields and literal keys that starts at a variable.
func written(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		name := strings.TrimPrefix(e.AsIdent(), ".")
		return name, slices.Contains(variables, name)
	case ast.SelectKind:
		owner, ok := written(e.AsSelect().Operand())
		if field := e.AsSelect().FieldName(); identifier.MatchString(field) {
			return owner + "." + field, ok
		}
		return owner + "[" + strconv.Quote(e.AsSelect().FieldName()) + "]", ok
	case ast.CallKind:
		call := e.AsCall()
		if name := call.FunctionName(); name != operators.Index && name != label {
			return "", false
		}
		owner, ok := written(call.Args()[0])
		if key := call.Args()[1]; ok && key.Kind() == ast.LiteralKind {
			switch k := key.AsLiteral().(type) {
			case types.String:
				return owner + "[" + strconv.Quote(string(k)) + "]", true
			case types.Int:
				return fmt.Sprintf("%s[%d]", owner, k), true
			}
		}
	}
	return "", false
}
