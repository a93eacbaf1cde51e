package expr

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds on what a text may be, and on what an evaluation may do. A text is written by
// an operator, but what it is evaluated over comes from devices.
const (
	MaxText    = 16 << 10 // bytes of a text
	MaxPattern = 256      // bytes of a regular expression
	MaxMatched = 1024     // bytes of what it is matched with
	MaxReason  = 512      // bytes of a reason, the rest is cut

	maxNodes       = 4096 // of the syntax tree, groups included
	maxNesting     = 64
	maxGroups      = 64  // how often groups are named
	maxPatterns    = 32  // regular expressions, groups included
	maxPatternSize = 256 // instructions of a compiled regular expression

)

// Elements are the elements of a trust vector, by which result.vector and result.tiers
// are indexed (draft-ietf-rats-ar4si section 2.3.4).
var Elements = [...]string{
	"instance-identity", "configuration", "executables", "file-system",
	"hardware", "runtime-opaque", "storage-opaque", "sourced-data",
}

// kind is what a text is for.
type kind int

const (
	selection kind = iota
	appraisal
	admission
)

var decisionType = types.NewObjectType("decision")

// macros are those of CEL, without map: it alone builds values that are larger than the
// text and the document together, by doubling.
var macros = []cel.Macro{cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.FilterMacro}

var environments = [...]func() (*cel.Env, error){
	selection: sync.OnceValues(func() (*cel.Env, error) { return newEnv() }),
	appraisal: sync.OnceValues(func() (*cel.Env, error) {
		return newEnv(append(policyVariables(), decisions(Accept, AcceptUntil, Quarantine, Reject)...)...)
	}),
	admission: sync.OnceValues(func() (*cel.Env, error) {
		return newEnv(append(policyVariables(), decisions(Accept, AcceptUntil, Quarantine, Reject, Pending)...)...)
	}),
}

func newEnv(more ...cel.EnvOption) (*cel.Env, error) {
	return cel.NewEnv(append([]cel.EnvOption{
		cel.ClearMacros(),
		cel.Macros(macros...),
		cel.Types(
			cel.NativeTypeFor[Device](types.ParseStructTag("json")),
			cel.NativeTypeFor[Result](types.ParseStructTag("json")),
		),
		cel.Variable("device", cel.ObjectType("expr.Device")),
		labelFunction,
		cel.CrossTypeNumericComparisons(true),
		cel.EnableIdentifierEscapeSyntax(),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(MaxText),
		cel.ExpressionNodeLimit(maxNodes),
		// The estimate takes a comparison for as dear as what it goes over, lists in lists
		// included, as the price does.
		cel.CostSizingStrategy(cost.AggregateSizingStrategy()),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
		),
	}, more...)...)
}

func policyVariables() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("result", cel.ObjectType("expr.Result")),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType),
	}
}

// label is what an index into device.labels becomes: a label that is not there is the
// empty text, so that the devices without it need no has() to be told apart.
const label = "@label"

var labelFunction = cel.Function(label, cel.Overload("label_map_string",
	[]*cel.Type{cel.MapType(cel.StringType, cel.StringType), cel.StringType}, cel.StringType,
	cel.BinaryBinding(func(labels, name ref.Val) ref.Val {
		if value, ok := labels.(traits.Mapper).Find(name); ok {
			return value
		}
		return types.String("")
	})))

// decisions declares the functions that decide.
func decisions(verbs ...Verb) []cel.EnvOption {
	var options []cel.EnvOption
	for _, v := range verbs {
		var parameters []*cel.Type
		switch v {
		case AcceptUntil:
			parameters = []*cel.Type{cel.TimestampType, cel.StringType}
		case Quarantine, Reject, Pending:
			parameters = []*cel.Type{cel.StringType}
		}
		options = append(options, cel.Function(string(v), cel.Overload(string(v)+"_decision", parameters, decisionType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val { return v.decide(args) }))))
	}
	return options
}

func (v Verb) decide(args []ref.Val) ref.Val {
	d := Decision{Verb: v}
	if v == AcceptUntil {
		d.Until = args[0].(types.Timestamp).Time
	}
	if n := len(args); n > 0 {
		d.Reason = plain(string(args[n-1].(types.String)))
	}
	return decision{d}
}
