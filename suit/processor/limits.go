package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

// Limits bound what one manifest, with its dependencies, can make a device do. A field
// that is zero allows nothing; start from DefaultLimits.
type Limits struct {
	Components      int    // of one manifest, dependencies included
	Manifests       int    // the root and all that it depends on
	DependencyDepth int    // manifests on the way from the root to the farthest dependency, 0 for none
	Depth           int    // of sequences inside sequences
	Commands        int    // executed, once per selected component
	FetchedBytes    uint64 // of all payloads together
	StoredBytes     uint64 // written to all components together: fetch, write, copy and swap
	MeasuredBytes   uint64 // read again, to be measured or authenticated
	URILength       int    // bytes
	ParameterBytes  int    // of one content or argument parameter
	EnvelopeBytes   int    // of the envelope of a dependency, which is held in memory

	Waiting time.Duration // of all wait directives together
	Custom  time.Duration // of all commands of the private range together
}

// DefaultLimits suits a device with a file system: payloads up to 4 GiB, and parameters
// as large as package suit decodes.
func DefaultLimits() Limits {
	return Limits{
		Components:      64,
		Manifests:       16,
		DependencyDepth: 4,
		Depth:           suit.MaxSequenceDepth,
		Commands:        4096,
		FetchedBytes:    4 << 30,
		StoredBytes:     8 << 30,
		MeasuredBytes:   16 << 30,
		URILength:       suit.MaxURILength,
		ParameterBytes:  suit.MaxParameterSize,
		EnvelopeBytes:   16 << 20,
		Waiting:         time.Hour,
		Custom:          10 * time.Minute,
	}
}

// within runs what takes time of its own, as long as what was spent before leaves some of
// the limit.
func within(ctx context.Context, spent *time.Duration, limit time.Duration, run func(context.Context) error) error {
	if *spent >= limit {
		return fmt.Errorf("%w: what ran before has taken all of the %s", ErrLimit, limit)
	}
	began := time.Now() // before the timeout begins: a run that ends with it has taken all
	ctx, stop := context.WithTimeout(ctx, limit-*spent)
	defer stop()
	defer func() { *spent += time.Since(began) }()
	return run(ctx)
}
