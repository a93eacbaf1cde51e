package teep

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// DataItems is the data-item-requested bitmap.
type DataItems uint64

// The data items of section 4.2.
const (
	ItemAttestation DataItems = 1 << iota
	ItemTrustedComponents
	ItemExtensions
	ItemSUITReports
)

// Has reports whether every bit of item is set.
func (d DataItems) Has(item DataItems) bool { return d&item == item }

var dataItemNames = []string{"attestation", "trusted-components", "extensions", "suit-reports"}

// String names the bits that are set, those without a name as one hexadecimal number.
func (d DataItems) String() string {
	var parts []string
	for i, name := range dataItemNames {
		if bit := DataItems(1) << i; d.Has(bit) {
			parts = append(parts, name)
			d &^= bit
		}
	}
	if d != 0 {
		parts = append(parts, fmt.Sprintf("0x%x", uint64(d)))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// FreshnessMechanism is how an attestation payload shows that it is fresh (section 9).
type FreshnessMechanism uint64

// The mechanisms of section 9; nonce is mandatory.
const (
	FreshnessNonce     FreshnessMechanism = 0
	FreshnessTimestamp FreshnessMechanism = 1
)

// String returns the name in the registry.
func (f FreshnessMechanism) String() string {
	switch f {
	case FreshnessNonce:
		return "nonce"
	case FreshnessTimestamp:
		return "timestamp"
	}
	return fmt.Sprintf("freshness mechanism %d", uint64(f))
}

// CipherSuite is an ordered list of COSE operations (section 8.1).
type CipherSuite []Operation

// Operation is a COSE structure, by its tag, and an algorithm.
type Operation struct {
	_         struct{} `cbor:",toarray"`
	COSEType  uint64
	Algorithm cosekit.Algorithm
}

// The two mandatory suites.
var (
	SuiteESP256  = CipherSuite{{COSEType: cosekit.TagSign1, Algorithm: cosekit.ESP256}}
	SuiteEd25519 = CipherSuite{{COSEType: cosekit.TagSign1, Algorithm: cosekit.Ed25519}}
)

// Equal reports whether both are the same operations in the same order.
func (s CipherSuite) Equal(other CipherSuite) bool { return slices.Equal(s, other) }

// Supported reports whether this implementation speaks the suite: the two that
// section 8.1 makes mandatory for a TAM.
func (s CipherSuite) Supported() bool { return s.Equal(SuiteESP256) || s.Equal(SuiteEd25519) }

// String writes the operations, for example "Sign1 ESP256".
func (s CipherSuite) String() string {
	parts := make([]string, len(s))
	for i, op := range s {
		parts[i] = fmt.Sprintf("COSE type %d %s", op.COSEType, cosekit.AlgorithmName(op.Algorithm))
		if op.COSEType == cosekit.TagSign1 {
			parts[i] = "Sign1 " + cosekit.AlgorithmName(op.Algorithm)
		}
	}
	return strings.Join(parts, ", ")
}

// TEEPProfiles are the SUIT COSE profiles that section 8.2 makes mandatory for a TAM.
var TEEPProfiles = []suit.COSEProfile{
	suit.ProfileESP256ECDHA128CTR, suit.ProfileEd25519ECDHA128CTR,
	suit.ProfileESP256ECDHA128GCM, suit.ProfileEd25519ECDHChaChaPoly,
}

// ErrorCode is an err-code, whatever number an endpoint's numbering gives it: the
// constants are those of IANA.
type ErrorCode uint64

// The error codes of section 4.6 and the IANA registry.
const (
	PermanentError                 ErrorCode = 1
	UnsupportedExtension           ErrorCode = 2
	UnsupportedFreshnessMechanisms ErrorCode = 3
	UnsupportedMsgVersion          ErrorCode = 4
	UnsupportedCipherSuites        ErrorCode = 5
	BadCertificate                 ErrorCode = 6
	AttestationRequired            ErrorCode = 7
	UnsupportedSUITReport          ErrorCode = 8
	CertificateExpired             ErrorCode = 9
	TemporaryError                 ErrorCode = 10
	ManifestProcessingFailed       ErrorCode = 11
)

var errorNames = [...]string{
	PermanentError:                 "ERR_PERMANENT_ERROR",
	UnsupportedExtension:           "ERR_UNSUPPORTED_EXTENSION",
	UnsupportedFreshnessMechanisms: "ERR_UNSUPPORTED_FRESHNESS_MECHANISMS",
	UnsupportedMsgVersion:          "ERR_UNSUPPORTED_MSG_VERSION",
	UnsupportedCipherSuites:        "ERR_UNSUPPORTED_CIPHER_SUITES",
	BadCertificate:                 "ERR_BAD_CERTIFICATE",
	AttestationRequired:            "ERR_ATTESTATION_REQUIRED",
	UnsupportedSUITReport:          "ERR_UNSUPPORTED_SUIT_REPORT",
	CertificateExpired:             "ERR_CERTIFICATE_EXPIRED",
	TemporaryError:                 "ERR_TEMPORARY_ERROR",
	ManifestProcessingFailed:       "ERR_MANIFEST_PROCESSING_FAILED",
}

// String returns the name in the registry, or the number of an unknown code.
func (c ErrorCode) String() string {
	if c == 0 || c >= ErrorCode(len(errorNames)) {
		return fmt.Sprintf("error %d", uint64(c))
	}
	return errorNames[c]
}

// MediaType is that of TEEP messages (section 12.1).
const MediaType = "application/teep+cbor"
