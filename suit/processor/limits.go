package processor

import "github.com/tamarack-tam/tamarack/suit"

// Limits bound what one manifest can make a device do. A field that is zero allows
// nothing; start from DefaultLimits.
type Limits struct {
	Components     int    // listed in the manifest
	Commands       int    // executed, once per selected component
	FetchedBytes   uint64 // of all payloads together
	URILength      int    // bytes
	ParameterBytes int    // of one content parameter
}

// DefaultLimits suits a device with a file system: one component, payloads up to
// 4 GiB, and parameters as large as package suit decodes.
func DefaultLimits() Limits {
	return Limits{
		Components:     1,
		Commands:       1024,
		FetchedBytes:   4 << 30,
		URILength:      suit.MaxURILength,
		ParameterBytes: suit.MaxParameterSize,
	}
}
