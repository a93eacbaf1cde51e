package teep

import (
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Message is one of the five messages: *QueryRequest, *QueryResponse, *Update,
// *Success, *Error.
type Message interface {
	Kind() Kind
	layout() *layout
}

// Kind is the type of a message, whatever number an endpoint's numbering gives it.
type Kind uint8

// The messages of draft-ietf-teep-protocol-26 section 4.
const (
	KindQueryRequest Kind = iota + 1
	KindQueryResponse
	KindUpdate
	KindSuccess
	KindError
)

// Options keeps the options that a message does not know, as they came and under
// the numbers of the numbering that they came in. They are ignored in processing
// and encoded again.
type Options map[uint64]cosekit.RawMessage

// AttestationPayload is Evidence or an Attestation Result with its media type.
type AttestationPayload struct {
	// Format is attestation-payload-format; empty where the option was absent,
	// which means a result in the TEEP profile of EAT.
	Format  string
	Payload []byte
}

// QueryRequest asks the agent for its state (section 4.2).
type QueryRequest struct {
	Token               []byte // 8..64 bytes, present exactly where DataItems has no attestation bit
	FreshnessMechanisms []FreshnessMechanism
	Challenge           []byte // 8..512 bytes
	Versions            []uint32
	Attestation         *AttestationPayload // of the TAM
	SUITReports         [][]byte            // of the TAM; each an encoded SUIT_Report, protected or not
	CipherSuites        []CipherSuite
	COSEProfiles        []suit.COSEProfile
	DataItems           DataItems
	Unknown             Options
}

// QueryResponse is the agent's state and wishes (section 4.3).
type QueryResponse struct {
	Token             []byte
	SelectedVersion   uint32 // 0 where absent
	Attestation       *AttestationPayload
	SUITReports       [][]byte
	TCList            []suit.PropertyClaims
	RequestedTCs      []RequestedTC
	UnneededManifests []suit.ComponentID
	Extensions        []uint32
	Unknown           Options
}

// RequestedTC is a component that the agent asks for.
type RequestedTC struct {
	Component suit.ComponentID
	// MinSequence is tc-manifest-sequence-number, the lowest one wanted; nil for any.
	MinSequence *uint64
	// HaveBinary says that only the manifest is wanted, not the payload.
	HaveBinary bool
}

// Update tells the agent what to install and what to unlink (section 4.4).
type Update struct {
	Token             []byte
	UnneededManifests []suit.ComponentID
	Manifests         [][]byte // untagged SUIT envelopes
	Attestation       *AttestationPayload
	ErrCode           ErrorCode // 0 where absent
	ErrMsg            string    // 1..128 bytes, empty where absent
	ErrLang           string    // 1..35 bytes, empty where absent
	Unknown           Options
}

// Success says that all of an Update was done (section 4.5).
type Success struct {
	Token       []byte
	Msg         string // 1..128 bytes, empty where absent
	SUITReports [][]byte
	Unknown     Options
}

// Error says that a message was refused or an Update failed (section 4.6).
type Error struct {
	Token               []byte
	Code                ErrorCode // never 0
	ErrMsg              string    // 1..128 bytes, empty where absent
	ErrLang             string    // 1..35 bytes, empty where absent
	CipherSuites        []CipherSuite
	FreshnessMechanisms []FreshnessMechanism
	COSEProfiles        []suit.COSEProfile
	Challenge           []byte
	Versions            []uint32
	SUITReports         [][]byte
	Unknown             Options
}

// Check holds a received request against the rule of section 4.2 that the decoder
// leaves alone, because published examples break it: the token is there if and only
// if no attestation is asked for, and then challenge and freshness mechanisms are
// not. The error is a [ProtocolError] for the TAM.
func (m *QueryRequest) Check() error {
	attestation := m.DataItems.Has(ItemAttestation)
	switch {
	case attestation && m.Token != nil:
		return protocolErrorf(PermanentError, "%s beside the attestation bit", labelToken)
	case !attestation && m.Token == nil:
		return protocolErrorf(PermanentError, "neither %s nor attestation bit", labelToken)
	case !attestation && m.Challenge != nil:
		return protocolErrorf(PermanentError, "%s without the attestation bit", labelChallenge)
	case !attestation && len(m.FreshnessMechanisms) > 0:
		return protocolErrorf(PermanentError, "%s without the attestation bit", labelFreshness)
	}
	return nil
}

// Kind implements Message, as do its likes below.
func (*QueryRequest) Kind() Kind  { return KindQueryRequest }
func (*QueryResponse) Kind() Kind { return KindQueryResponse }
func (*Update) Kind() Kind        { return KindUpdate }
func (*Success) Kind() Kind       { return KindSuccess }
func (*Error) Kind() Kind         { return KindError }
