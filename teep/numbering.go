package teep

import "fmt"

// Numbering says which numbers the messages of an endpoint or an agent carry. It
// is never guessed from bytes: type 5 is Success in one and Error in the other.
type Numbering uint8

const (
	// IANA is the numbering of the IANA TEEP registry, the default everywhere.
	IANA Numbering = iota
	// PreIANA is the numbering of the drafts up to -25.
	PreIANA

	numberings = iota
)

var numberingNames = [numberings]string{IANA: "iana", PreIANA: "pre-iana"}

// String returns "iana" or "pre-iana".
func (n Numbering) String() string {
	if n.check() != nil {
		return fmt.Sprintf("numbering %d", uint8(n))
	}
	return numberingNames[n]
}

// ParseNumbering reads the form that String writes.
func ParseNumbering(s string) (Numbering, error) {
	for n, name := range numberingNames {
		if s == name {
			return Numbering(n), nil
		}
	}
	return 0, fmt.Errorf("%w %q: write iana or pre-iana", ErrNumbering, s)
}

// MarshalText implements encoding.TextMarshaler.
func (n Numbering) MarshalText() ([]byte, error) { return []byte(n.String()), n.check() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Numbering) UnmarshalText(text []byte) error {
	parsed, err := ParseNumbering(string(text))
	if err == nil {
		*n = parsed
	}
	return err
}

func (n Numbering) check() error {
	if n >= numberings {
		return fmt.Errorf("%w %d", ErrNumbering, uint8(n))
	}
	return nil
}

// numbers holds one number for each Numbering.
type numbers [numberings]uint64

// kinds are the message types and their numbers (section 4, section 12.2).
var kinds = [...]struct {
	name    string
	numbers numbers
}{
	KindQueryRequest:  {"QueryRequest", numbers{IANA: 1, PreIANA: 1}},
	KindQueryResponse: {"QueryResponse", numbers{IANA: 2, PreIANA: 2}},
	KindUpdate:        {"Update", numbers{IANA: 3, PreIANA: 3}},
	KindSuccess:       {"Success", numbers{IANA: 4, PreIANA: 5}},
	KindError:         {"Error", numbers{IANA: 5, PreIANA: 6}},
}

// String returns the name that section 4 gives the message.
func (k Kind) String() string {
	if k < KindQueryRequest || k > KindError {
		return fmt.Sprintf("message kind %d", uint8(k))
	}
	return kinds[k].name
}

func (n Numbering) kind(number uint64) (Kind, bool) {
	for k := KindQueryRequest; k <= KindError; k++ {
		if kinds[k].numbers[n] == number {
			return k, true
		}
	}
	return 0, false
}

// label is a message parameter or a member of requested-tc-info.
type label uint8

const (
	labelCipherSuites label = iota
	labelChallenge
	labelVersions
	labelCOSEProfiles
	labelSelectedVersion
	labelAttestationPayload
	labelTCList
	labelExtList
	labelManifestList
	labelMsg
	labelErrMsg
	labelAttestationFormat
	labelRequestedTCList
	labelUnneededManifests
	labelComponentID
	labelSequenceNumber
	labelHaveBinary
	labelSUITReports
	labelToken
	labelFreshness
	labelErrLang
	labelErrCode
	labelDataItems // an element of QueryRequest; it has a name but no number
)

// labels are the parameters and their numbers (section 5, section 12.5).
var labels = [...]struct {
	name    string
	numbers numbers
}{
	labelCipherSuites:       {"supported-teep-cipher-suites", numbers{IANA: 1, PreIANA: 1}},
	labelChallenge:          {"challenge", numbers{IANA: 2, PreIANA: 2}},
	labelVersions:           {"versions", numbers{IANA: 3, PreIANA: 3}},
	labelCOSEProfiles:       {"supported-suit-cose-profiles", numbers{IANA: 4, PreIANA: 4}},
	labelSelectedVersion:    {"selected-version", numbers{IANA: 5, PreIANA: 6}},
	labelAttestationPayload: {"attestation-payload", numbers{IANA: 6, PreIANA: 7}},
	labelTCList:             {"tc-list", numbers{IANA: 7, PreIANA: 8}},
	labelExtList:            {"ext-list", numbers{IANA: 8, PreIANA: 9}},
	labelManifestList:       {"manifest-list", numbers{IANA: 9, PreIANA: 10}},
	labelMsg:                {"msg", numbers{IANA: 10, PreIANA: 11}},
	labelErrMsg:             {"err-msg", numbers{IANA: 11, PreIANA: 12}},
	labelAttestationFormat:  {"attestation-payload-format", numbers{IANA: 12, PreIANA: 13}},
	labelRequestedTCList:    {"requested-tc-list", numbers{IANA: 13, PreIANA: 14}},
	labelUnneededManifests:  {"unneeded-manifest-list", numbers{IANA: 14, PreIANA: 15}},
	labelComponentID:        {"component-id", numbers{IANA: 15, PreIANA: 16}},
	labelSequenceNumber:     {"tc-manifest-sequence-number", numbers{IANA: 16, PreIANA: 17}},
	labelHaveBinary:         {"have-binary", numbers{IANA: 17, PreIANA: 18}},
	labelSUITReports:        {"suit-reports", numbers{IANA: 18, PreIANA: 19}},
	labelToken:              {"token", numbers{IANA: 19, PreIANA: 20}},
	labelFreshness:          {"supported-freshness-mechanisms", numbers{IANA: 20, PreIANA: 21}},
	labelErrLang:            {"err-lang", numbers{IANA: 21, PreIANA: 22}},
	labelErrCode:            {"err-code", numbers{IANA: 22, PreIANA: 23}},
	labelDataItems:          {name: "data-item-requested"},
}

func (l label) String() string { return labels[l].name }

func (l label) number(n Numbering) uint64 { return labels[l].numbers[n] }

// errorCode translates between an ErrorCode and its number, in either direction:
// the drafts had 17 for what IANA registered as 11, and the two change places so
// that no unknown code is taken for a known one.
func (n Numbering) errorCode(code uint64) uint64 {
	const preIANAManifestProcessingFailed = 17
	if n != PreIANA {
		return code
	}
	switch code {
	case uint64(ManifestProcessingFailed):
		return preIANAManifestProcessingFailed
	case preIANAManifestProcessingFailed:
		return uint64(ManifestProcessingFailed)
	}
	return code
}
