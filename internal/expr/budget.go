package expr

import (
	"fmt"
	"sync"

	"cel.dev/cel-go/common/cost"
)

// What evaluations may cost together. A unit of cost is about the comparison of two
// numbers, or a few tens of nanoseconds.
const (
	// PerAppraisal ends the appraisal of one device, by all policies that are asked.
	PerAppraisal = 30_000
	// PerSearch ends one page of a search through many devices.
	PerSearch = 5_000_000
)

// ErrSpent: an evaluation came to no value, for its [Budget] is used up. It is ErrEvaluate
// too.
var ErrSpent = fmt.Errorf("%w: it goes over more than it may", ErrEvaluate)

// Budget is what evaluations may cost together: what one has spent is gone for those
// after it. It is for one goroutine.
type Budget struct{ tracker *cost.Tracker }

var unlimited = sync.OnceValues(func() (*cost.Tracker, error) { return cost.NewTracker(estimator{}) })

// NewBudget makes a budget of so many units.
func NewBudget(units uint64) *Budget {
	template, err := unlimited()
	if err != nil {
		panic(err) // no option, no fault
	}
	tracker := *template
	tracker.Limit = &units
	return &Budget{&tracker}
}

// Spent is what was spent, all of it by an evaluation that went over it.
func (b *Budget) Spent() uint64 { return min(b.tracker.ActualCost(), b.Limit()) }

// Limit is what it was made of.
func (b *Budget) Limit() uint64 { return *b.tracker.Limit }
