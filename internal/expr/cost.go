package expr

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

const (
	// maxEstimate refuses a text whose evaluation might cost more over the largest
	// documents that are expected.
	maxEstimate = 1_000_000

	// What the estimate expects of a document, at most.
	expectedText   = 1024
	expectedItems  = 256
	expectedDepth  = 8
	expectedValues = 32 // of one reference

	zoneCost = 1000 // to look a time zone up, each time in a file

	// What a unit pays for.
	textUnit    = 10  // bytes that a function reads or copies
	matchUnit   = 8   // steps of a regular expression
	compareUnit = 256 // bytes that are compared
)

// estimator tells the estimate how large documents are expected to be.
type estimator struct{}

// EstimateSize implements cost.Estimator. Claims may be anything: texts, or lists in
// lists as deep as evidence has them.
func (estimator) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if node.ComputedSize() != nil || len(node.Path()) == 0 {
		return nil
	}
	switch node.Type().Kind() {
	case types.StringKind, types.BytesKind:
		return &cost.SizeEstimate{Max: expectedText}
	case types.DynKind:
		return expectedClaim
	case types.ListKind, types.MapKind, types.StructKind:
		if slices.Contains(node.Path(), "expected") {
			return &cost.SizeEstimate{Max: expectedValues}
		}
		return &cost.SizeEstimate{Max: expectedItems}
	}
	return nil
}

var expectedClaim = func() *cost.SizeEstimate {
	var inner *cost.SizeEstimate
	for range expectedDepth {
		inner = &cost.SizeEstimate{Max: expectedItems, Elem: inner}
	}
	return inner
}()

// EstimateCallCost implements cost.Estimator for what CEL takes for cheap.
func (estimator) EstimateCallCost(function, _ string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if target == nil || !zoned(function, 1+len(args)) {
		return nil
	}
	return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(zoneCost)}
}

// CallCost implements cost.ActualCostEstimator. It prices every call by what it goes
// over: CEL does so only where types are known before, which those of claims are not.
func (estimator) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	price := unit
	switch function {
	case overloads.Matches:
		price += matchPrice(args)
	case operators.Equals, operators.NotEquals:
		price += comparePrice(args[0], args[1])
	case operators.In:
		price += searchPrice(args[0], args[1])
	case operators.Add:
		price += joinPrice(args)
	}
	if zoned(function, len(args)) {
		price += zoneCost
	}
	if function != overloads.Matches {
		for _, arg := range args {
			price += length(arg) / textUnit
		}
	}
	if price == unit {
		return &unit
	}
	dear := price
	return &dear
}

// unit is what most calls cost; it is shared, since CEL takes a pointer.
var unit uint64 = 1

// length is that of a text in bytes, 0 for what is none.
func length(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	}
	return 0
}

// matchPrice is for the steps of a match: each instruction at each byte, at most. A text
// that is too long is not matched.
func matchPrice(args []ref.Val) uint64 {
	if p, ok := args[1].(pattern); ok && length(args[0]) <= MaxMatched {
		return p.size * length(args[0]) / matchUnit
	}
	return 0
}

// comparePrice is for what a comparison of two lists or maps goes over, with all that is
// in them. What is of another kind is different at once.
func comparePrice(a, b ref.Val) uint64 {
	if !aggregate(a) || !aggregate(b) {
		return 0
	}
	return volume(a) + volume(b)
}

// searchPrice is for the comparisons with the elements of a list. The keys of a map are
// not gone through.
func searchPrice(sought, in ref.Val) uint64 {
	list, ok := in.(traits.Lister)
	if !ok {
		return 0
	}
	if aggregate(sought) {
		return volume(list)
	}
	elements := uint64(list.Size().(types.Int))
	return elements + elements*length(sought)/compareUnit
}

// joinPrice is for two lists that are made one: to join them takes no time, but every
// look into what was joined many times does. A loop only appends to its own list.
func joinPrice(args []ref.Val) (price uint64) {
	if _, appends := args[0].(traits.MutableLister); appends {
		return 0
	}
	for _, arg := range args {
		if list, ok := arg.(traits.Lister); ok {
			price += uint64(list.Size().(types.Int))
		}
	}
	return price
}

// volume counts what is in a value, however deep. What no budget pays for, it does not
// count to the end.
func volume(v ref.Val) uint64 { return uint64(volumes.AggregateSize(v)) }

var volumes = types.NewSizeCalculator(types.SizeCalculatorStringUnitLength(textUnit),
	types.SizeCalculatorMaxDepth(maxNesting), types.SizeCalculatorMaxTraversal(PerAppraisal))

func aggregate(v ref.Val) bool {
	switch v.(type) {
	case types.String, types.Bytes, types.Int, types.Uint, types.Double, types.Bool, types.Null, types.Timestamp, types.Duration:
		return false
	}
	return true
}

// zoned reports whether a function takes a time zone: now.getHours("Europe/Berlin").
func zoned(function string, arguments int) bool {
	return arguments == 2 && strings.HasPrefix(function, "get")
}
