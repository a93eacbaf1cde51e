package teep

import (
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Numbering says which numbers the messages of an endpoint or an agent carry. It
// is never guessed from bytes: type 5 is Success in one and Error in the other.
type Numbering uint8

const (
	// IANA is the numbering of the IANA TEEP registry, the default everywhere.
	IANA Numbering = iota
	// PreIANA is the numbering of the drafts up to -25.
	PreIANA
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

// FreshnessMechanism is how an attestation payload shows that it is fresh (section 9).
type FreshnessMechanism uint64

// The mechanisms of section 9; nonce is mandatory.
const (
	FreshnessNonce     FreshnessMechanism = 0
	FreshnessTimestamp FreshnessMechanism = 1
)

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

// The media types of TEEP (section 12.1) and of SUIT envelopes.
const MediaType = "application/teep+cbor"
