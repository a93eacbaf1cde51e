package evidence

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
)

// Kind is a format of evidence, whatever media type names it.
type Kind int

// The formats that Read knows.
const (
	EAT         Kind = iota + 1 // RFC 9711 as CWT, signed by the Attester
	DetachedEAT                 // the same with claims sets beside it (RFC 9711 section 5)
	TEEP                        // an EAT of the TEEP profile: not evidence, but its claims can be read
	PSA                         // RFC 9783, and the profile of 2019 before it
	CCA                         // draft-ffm-rats-cca-token
	SEVSNP                      // our media type; see readSEVSNP
	TDX                         // our media type; see readTDX
	TPM                         // our media type; see readTPM
	Bundle                      // a bound bundle; see readBundle
)

// String names the format for people.
func (k Kind) String() string {
	for _, f := range formats() {
		if f.kind == k {
			return f.name
		}
	}
	return fmt.Sprintf("format %d", int(k))
}

// KindOf tells what a media type names. Profiles count: an EAT of a profile that is
// not known here says other things with the same claims.
func KindOf(m attest.MediaType) (Kind, bool) {
	f, ok := formatOf(m)
	return f.kind, ok
}

// format is one entry of the table.
type format struct {
	kind  Kind
	name  string
	reads func(attest.MediaType) bool
	read  func(attest.MediaType, []byte) (*Reading, error)
	// digest is what the nonce of such evidence is over the claims set of a bound
	// bundle; nil for formats that carry a key themselves.
	digest func([]byte) []byte
}

// Media types of the formats that are ours.
const (
	MediaBundle = "application/vnd.tamarack.bound-evidence+cbor" // has the parameter format
	MediaSEVSNP = "application/vnd.tamarack.sev-snp+cbor"
	MediaTDX    = "application/vnd.tamarack.tdx+cbor"
	MediaTPM    = "application/vnd.tamarack.tpm2-quote+cbor"
)

// formats are tried in order. It is a function, for a bundle is read with the table
// that it stands in.
func formats() []format {
	return []format{
		{EAT, "EAT", profiled("", attest.ProfileEAT), readEAT, nil},
		{TEEP, "EAT of the TEEP profile", profiled(attest.ProfileTEEP), readEAT, nil},
		{DetachedEAT, "detached EAT bundle", isDetached, readDetached, nil},
		{PSA, "PSA token", isPSA, readPSA, sum256},
		{CCA, "CCA token", isCCA, readCCA, sum512},
		{SEVSNP, "SEV-SNP report", is(MediaSEVSNP), readSEVSNP, sum512},
		{TDX, "TDX quote", is(MediaTDX), readTDX, sum512},
		{TPM, "TPM 2.0 quote", is(MediaTPM), readTPM, sum256},
		{Bundle, "bound bundle", is(MediaBundle), readBundle, nil},
	}
}

func formatOf(m attest.MediaType) (format, bool) {
	for _, f := range formats() {
		if f.reads(m) {
			return f, true
		}
	}
	return format{}, false
}

func is(essence string) func(attest.MediaType) bool {
	return func(m attest.MediaType) bool { return m.Type == essence }
}

// profiled takes EATs as CWT of the profiles; the empty one is none.
func profiled(profiles ...string) func(attest.MediaType) bool {
	return func(m attest.MediaType) bool {
		return m.Type == "application/eat+cwt" && slices.Contains(profiles, m.Parameters["eat_profile"])
	}
}

func isDetached(m attest.MediaType) bool {
	profile := m.Parameters["eat_profile"]
	return m.Type == "application/eat-bun+cbor" && (profile == "" || profile == attest.ProfileEAT)
}

// isPSA knows the names of RFC 9783 section 10.2, and those that Veraison has.
func isPSA(m attest.MediaType) bool {
	switch m.Type {
	case "application/psa-attestation-token":
		return true
	case "application/eat+cwt":
		return isPSAProfile(m.Parameters["eat_profile"])
	case "application/eat-cwt":
		return isPSAProfile(m.Parameters["profile"])
	}
	return false
}

// isCCA knows the name that Veraison has, and EATs of the platform's profile.
func isCCA(m attest.MediaType) bool {
	switch m.Type {
	case "application/eat-collection":
		return isCCAProfile(m.Parameters["profile"])
	case "application/eat+cwt":
		return isCCAProfile(m.Parameters["eat_profile"])
	}
	return false
}

func sum256(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }
func sum512(b []byte) []byte { sum := sha512.Sum512(b); return sum[:] }

// Names lists the formats for an error that says what would have been read.
func Names(kinds ...Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}
