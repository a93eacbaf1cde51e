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

// A unit of cost is about the comparison of two numbers.
const (
	// maxEstimate refuses a text whose evaluation might cost more over the largest
	// documents that are expected; maxCost ends an evaluation.
	maxEstimate = 1_000_000
	maxCost     = 100_000

	// What the estimate expects of a document, at most.
	expectedText   = 1024
	expectedItems  = 256
	expectedDepth  = 8
	expectedValues = 32 // of one reference

	zoneCost = 1000 // to look a time zone up, each time in a file
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

// CallCost implements cost.ActualCostEstimator. CEL prices contains, matches, and the
// comparison of lists and maps, by what they go over; of other functions it prices only
// those whose types are known before, which those of claims are not.
func (estimator) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	price := unit
	switch function {
	case overloads.Contains, overloads.Matches:
		return nil
	case operators.Equals, operators.NotEquals:
		if aggregate(args[0]) && aggregate(args[1]) {
			return nil
		}
	case operators.In:
		if list, ok := args[1].(traits.Lister); ok {
			price += uint64(list.Size().(types.Int))
		}
	}
	if zoned(function, len(args)) {
		price += zoneCost
	}
	for _, arg := range args {
		switch v := arg.(type) {
		case types.String:
			price += uint64(len(v)) / 10
		case types.Bytes:
			price += uint64(len(v)) / 10
		}
	}
	if price == unit {
		return &unit
	}
	dear := price
	return &dear
}

func aggregate(v ref.Val) bool {
	switch v.(type) {
	case types.String, types.Bytes, types.Int, types.Uint, types.Double, types.Bool, types.Null, types.Timestamp, types.Duration:
		return false
	}
	return true
}

// unit is what most calls cost; it is shared, since CEL takes a pointer.
var unit uint64 = 1

// zoned reports whether a function takes a time zone: now.getHours("Europe/Berlin").
func zoned(function string, arguments int) bool {
	return arguments == 2 && strings.HasPrefix(function, "get")
}
