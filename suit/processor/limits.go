package processor

import "github.com/tamarack-tam/tamarack/suit"

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
	}
}
