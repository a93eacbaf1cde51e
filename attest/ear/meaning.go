package ear

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
)

// meaning says in words what a value stands for (draft-ietf-rats-ar4si section 2.3), since
// a result has numbers only.
func meaning(e attest.Element) string {
	switch e.Value {
	case 0:
		return "the verifier makes no claim"
	case 1:
		return "the evidence has parts that the verifier cannot judge"
	case -1:
		return "the verifier failed while it appraised this"
	case 99:
		return "the evidence does not verify cryptographically"
	}
	if text, ok := meanings[e.Name][e.Value]; ok {
		return text
	}
	return fmt.Sprintf("%s, by a value of the verifier's own (%d)", e.Tier(), e.Value)
}

var meanings = map[string]map[int8]string{
	attest.InstanceIdentity: {
		2:  "recognized, and not known to be compromised",
		96: "recognized, but this instance is not trustworthy",
		97: "not recognized",
	},
	attest.Configuration: {
		2:  "a known and approved configuration",
		3:  "no known vulnerability is exposed",
		32: "known vulnerabilities are exposed",
		36: "parts that matter to security could not be seen",
		96: "exposes vulnerabilities that are not acceptable",
	},
	attest.Executables: {
		2:  "only approved executables were loaded, at boot and since",
		3:  "only approved executables were loaded at boot",
		32: "recognized, but some have known vulnerabilities",
		33: "something was loaded that is not recognized",
		96: "something was loaded that must not run",
	},
	attest.FileSystem: {
		2:  "only approved files were found",
		32: "files were found that are not recognized",
		96: "files were found that must not be there",
	},
	attest.Hardware: {
		2:  "genuine",
		32: "genuine, but with known vulnerabilities",
		96: "recognized, but not trustworthy",
		97: "not recognized",
	},
	attest.RuntimeOpaque: {
		2:  "memory is encrypted and closed to everything outside",
		32: "memory is closed to other programs, but not encrypted",
		96: "memory can be seen from outside",
	},
	attest.StorageOpaque: {
		2:  "secrets are stored under keys of the hardware",
		32: "secrets are stored encrypted, but not under keys of the hardware",
		96: "secrets are stored in the clear",
	},
	attest.SourcedData: {
		2:  "all data comes from attesters that were affirmed",
		32: "data comes from sources that were not attested, or with warnings",
		96: "data comes from sources that must not be trusted",
	},
}
