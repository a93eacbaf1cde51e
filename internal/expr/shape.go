package expr

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// shaper goes over a syntax tree before its types are checked. It puts the groups into
// their places, makes indexes into device.labels forgiving, and refuses what types alone
// do not.
type shaper struct {
	text   string
	info   *ast.SourceInfo
	groups map[string]string // nil inside a group
	next   int64             // id of the last node that was added
	nodes  int
	uses   int // of groups
	// patterns counts regular expressions: to compile one takes as long as a hundred nodes.
	patterns int
	err      error
}

// shape changes the tree in its place.
func shape(text string, tree *ast.AST, groups map[string]string) error {
	s := &shaper{text: text, info: tree.SourceInfo(), groups: groups, next: ast.MaxID(tree), nodes: ast.NodeCount(tree)}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(s.visit))
	return s.err
}

func (s *shaper) refuse(e ast.Expr, hint, format string, args ...any) {
	if s.err == nil {
		s.err = fault(s.text, s.info.GetStartLocation(e.ID()), hint, format, args...)
	}
}

func (s *shaper) visit(e ast.Expr) {
	if s.err != nil {
		return
	}
	switch e.Kind() {
	case ast.StructKind:
		s.refuse(e, "", "an expression does not make a %s", typeNames(e.AsStruct().TypeName()))
	case ast.ComprehensionKind:
		loop := e.AsComprehension()
		if name := loop.IterVar(); slices.Contains(variables, name) {
			s.refuse(e, "give it another name", "the variable of a macro would hide %q", name)
		}
		s.toll(loop.LoopCondition())
	case ast.SelectKind:
		sel := e.AsSelect()
		s.index(e, sel.Operand(), types.String(sel.FieldName()), nil, sel.IsTestOnly())
	case ast.CallKind:
		s.call(e, e.AsCall())
	}
}

// toll makes each round of a loop cost something: of filter and exists_one, the condition
// to go on is a literal, which is free, as their predicate may be.
func (s *shaper) toll(condition ast.Expr) {
	if condition.Kind() != ast.LiteralKind {
		return
	}
	factory := ast.NewExprFactory()
	s.next++
	literal := factory.NewLiteral(s.next, condition.AsLiteral())
	condition.SetKindCase(factory.NewCall(condition.ID(), operators.NotStrictlyFalse, literal))
}

var variables = []string{"device", "result", "claims", "now"}

func (s *shaper) call(e ast.Expr, call ast.CallExpr) {
	args := call.Args()
	switch name := call.FunctionName(); {
	case name == "group" && !call.IsMemberFunction():
		s.group(e, args)
	case name == operators.Index && len(args) == 2:
		var key ref.Val
		if args[1].Kind() == ast.LiteralKind {
			key = args[1].AsLiteral()
		}
		s.index(e, args[0], key, args[1], false)
	case (name == operators.Equals || name == operators.NotEquals) && len(args) == 2:
		s.compare(args[0], args[1])
		s.compare(args[1], args[0])
	case name == operators.In && len(args) == 2 && args[1].Kind() == ast.ListKind:
		for _, item := range args[1].AsList().Elements() {
			s.compare(args[0], item)
		}
	case name == overloads.Matches && len(args) > 0:
		s.pattern(args[len(args)-1])
	case call.IsMemberFunction() && len(args) == 1 && strings.HasPrefix(name, "get"):
		s.literal(args[0], "a time zone")
	}
}

// literal wants an argument to be in the text: what a device says would choose the cost.
func (s *shaper) literal(arg ast.Expr, what string) (string, bool) {
	if arg.Kind() == ast.LiteralKind {
		if text, ok := arg.AsLiteral().Value().(string); ok {
			return text, true
		}
	}
	s.refuse(arg, `write it in quotes`, "%s is not taken from a value", what)
	return "", false
}

func (s *shaper) pattern(arg ast.Expr) {
	text, ok := s.literal(arg, "a regular expression")
	if !ok {
		return
	}
	if len(text) > MaxPattern {
		s.refuse(arg, "", "a regular expression of %d bytes, at most %d", len(text), MaxPattern)
		return
	}
	if s.countPattern(arg); s.err != nil {
		return
	}
	p, err := newPattern(text)
	switch {
	case err != nil:
		s.refuse(arg, "", "not a regular expression: %v", err)
	case p.size > maxPatternSize:
		s.refuse(arg, "repeat less in it", "a regular expression of %d instructions, at most %d", p.size, maxPatternSize)
	}
}

func (s *shaper) countPattern(at ast.Expr) {
	if s.patterns++; s.patterns > maxPatterns {
		s.refuse(at, "write several as one: a|b", "more than %d regular expressions", maxPatterns)
	}
}

// index makes device.labels forgiving and knows the keys of the trust vector.
func (s *shaper) index(e, operand ast.Expr, key ref.Val, keyExpr ast.Expr, test bool) {
	switch path(operand) {
	case "device.labels":
		if test {
			return
		}
		factory := ast.NewExprFactory()
		if keyExpr == nil {
			s.next++
			keyExpr = factory.NewLiteral(s.next, key)
		}
		e.SetKindCase(factory.NewCall(e.ID(), label, operand, keyExpr))
	case "result.vector", "result.tiers":
		name, ok := key.(types.String)
		if ok && !slices.Contains(Elements[:], string(name)) {
			s.refuse(e, didYouMean(string(name), Elements[:], "the elements are "), "the trust vector has no element %q", name)
		}
	}
}

// path writes a chain of fields that starts at a variable; other nodes have none. An
// element's tier is written as the status, whose words it has.
func path(e ast.Expr) string {
	var owner ast.Expr
	var field string
	switch e.Kind() {
	case ast.IdentKind:
		return strings.TrimPrefix(e.AsIdent(), ".")
	case ast.SelectKind:
		owner, field = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case ast.CallKind:
		if call := e.AsCall(); call.FunctionName() == operators.Index {
			owner, field = call.Args()[0], "[]"
		}
	}
	if owner == nil {
		return ""
	}
	switch head := path(owner); head {
	case "":
		return ""
	case "result.tiers":
		return "result.status"
	default:
		return head + "." + field
	}
}

// words are the values of the fields that have few.
var words = map[string][]string{
	"device.state":  {"pending", "accepted", "quarantined", "rejected", "retired"},
	"result.status": {"affirming", "warning", "contraindicated", "none"},
}

// compare refuses a comparison that can never hold.
func (s *shaper) compare(field, value ast.Expr) {
	known, ok := words[path(field)]
	if !ok || value.Kind() != ast.LiteralKind {
		return
	}
	text, ok := value.AsLiteral().(types.String)
	if ok && !slices.Contains(known, string(text)) {
		s.refuse(value, didYouMean(string(text), known, "it is one of "), "%s is never %q", path(field), text)
	}
}

// group puts the selector of a group where it is named.
func (s *shaper) group(e ast.Expr, args []ast.Expr) {
	if len(args) != 1 {
		s.refuse(e, `as in group("edge")`, "group takes the name of a group")
		return
	}
	name, ok := s.literal(args[0], "the name of a group")
	if !ok {
		return
	}
	text, known := s.groups[name]
	s.uses++
	switch {
	case s.groups == nil:
		s.refuse(e, "write out what it selects", "a group does not refer to another one")
		return
	case !known:
		s.refuse(args[0], didYouMean(name, sortedKeys(s.groups), "there are "), "there is no group %q", name)
		return
	case s.uses > maxGroups:
		s.refuse(e, "", "more than %d groups are named", maxGroups)
		return
	}
	if _, err := NewGroup(text); err != nil {
		s.refuse(e, "", "group %q: %v", name, err)
		return
	}
	tree, err := parse(selection, text, nil) // anew, since checking changes it
	if err != nil {
		s.refuse(e, "", "group %q: %v", name, err)
		return
	}
	s.insert(e, tree.NativeRep())
}

// insert puts a tree where e stands, with ids of its own.
func (s *shaper) insert(e ast.Expr, tree *ast.AST) {
	if s.nodes += ast.NodeCount(tree); s.nodes > maxNodes {
		s.refuse(e, "", "with its groups it has more than %d nodes", maxNodes)
		return
	}
	place, _ := s.info.GetOffsetRange(e.ID())
	inner := tree.Expr()
	ast.PostOrderVisit(inner, ast.NewExprVisitor(func(node ast.Expr) {
		if node.Kind() == ast.CallKind && node.AsCall().FunctionName() == overloads.Matches {
			s.countPattern(e)
		}
	}))
	fresh := map[int64]int64{}
	inner.RenumberIDs(func(old int64) int64 {
		if _, seen := fresh[old]; !seen {
			s.next++
			fresh[old] = s.next
			s.info.SetOffsetRange(s.next, place)
		}
		return fresh[old]
	})
	e.SetKindCase(inner)
}
