package teep

import (
	"bytes"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// layout is what the codec knows of a type of message: [type, options, *elements].
type layout struct {
	options  []field
	unknown  func(Message) *Options
	elements []field
	// attestation is what attestation-payload and its format fill; nil for none.
	attestation func(Message) **AttestationPayload
}

var queryRequestLayout = layout{
	options: append(attestationFields(func(m *QueryRequest) **AttestationPayload { return &m.Attestation }),
		bytesField(labelToken, func(m *QueryRequest) *[]byte { return &m.Token }, 8, 64),
		listField(labelFreshness, func(m *QueryRequest) *[]FreshnessMechanism { return &m.FreshnessMechanisms }, decodeFreshness),
		bytesField(labelChallenge, func(m *QueryRequest) *[]byte { return &m.Challenge }, 8, 512),
		listField(labelVersions, func(m *QueryRequest) *[]uint32 { return &m.Versions }, decodeUint32),
		listField(labelSUITReports, func(m *QueryRequest) *[][]byte { return &m.SUITReports }, cosekit.Bytes),
	),
	unknown: func(m Message) *Options { return &m.(*QueryRequest).Unknown },
	elements: []field{
		listField(labelCipherSuites, func(m *QueryRequest) *[]CipherSuite { return &m.CipherSuites }, decodeCipherSuite),
		listField(labelCOSEProfiles, func(m *QueryRequest) *[]suit.COSEProfile { return &m.COSEProfiles }, decodeCOSEProfile),
		dataItemsField(func(m *QueryRequest) *DataItems { return &m.DataItems }),
	},
	attestation: func(m Message) **AttestationPayload { return &m.(*QueryRequest).Attestation },
}

var queryResponseLayout = layout{
	options: append(attestationFields(func(m *QueryResponse) **AttestationPayload { return &m.Attestation }),
		bytesField(labelToken, func(m *QueryResponse) *[]byte { return &m.Token }, 8, 64),
		versionField(labelSelectedVersion, func(m *QueryResponse) *uint32 { return &m.SelectedVersion }),
		listField(labelSUITReports, func(m *QueryResponse) *[][]byte { return &m.SUITReports }, cosekit.Bytes),
		listField(labelTCList, func(m *QueryResponse) *[]suit.PropertyClaims { return &m.TCList }, decodePropertyClaims),
		requestedTCsField(func(m *QueryResponse) *[]RequestedTC { return &m.RequestedTCs }),
		listField(labelUnneededManifests, func(m *QueryResponse) *[]suit.ComponentID { return &m.UnneededManifests }, decodeManifestComponent),
		listField(labelExtList, func(m *QueryResponse) *[]uint32 { return &m.Extensions }, decodeUint32),
	),
	unknown:     func(m Message) *Options { return &m.(*QueryResponse).Unknown },
	attestation: func(m Message) **AttestationPayload { return &m.(*QueryResponse).Attestation },
}

var updateLayout = layout{
	options: append(attestationFields(func(m *Update) **AttestationPayload { return &m.Attestation }),
		bytesField(labelToken, func(m *Update) *[]byte { return &m.Token }, 8, 64),
		listField(labelUnneededManifests, func(m *Update) *[]suit.ComponentID { return &m.UnneededManifests }, decodeManifestComponent),
		listField(labelManifestList, func(m *Update) *[][]byte { return &m.Manifests }, cosekit.Bytes),
		errorCodeField(func(m *Update) *ErrorCode { return &m.ErrCode }),
		textField(labelErrMsg, func(m *Update) *string { return &m.ErrMsg }, maxText),
		textField(labelErrLang, func(m *Update) *string { return &m.ErrLang }, 35),
	),
	unknown:     func(m Message) *Options { return &m.(*Update).Unknown },
	attestation: func(m Message) **AttestationPayload { return &m.(*Update).Attestation },
}

var successLayout = layout{
	options: []field{
		bytesField(labelToken, func(m *Success) *[]byte { return &m.Token }, 8, 64),
		textField(labelMsg, func(m *Success) *string { return &m.Msg }, maxText),
		listField(labelSUITReports, func(m *Success) *[][]byte { return &m.SUITReports }, cosekit.Bytes),
	},
	unknown: func(m Message) *Options { return &m.(*Success).Unknown },
}

var errorLayout = layout{
	options: []field{
		bytesField(labelToken, func(m *Error) *[]byte { return &m.Token }, 8, 64),
		textField(labelErrMsg, func(m *Error) *string { return &m.ErrMsg }, maxText),
		textField(labelErrLang, func(m *Error) *string { return &m.ErrLang }, 35),
		listField(labelCipherSuites, func(m *Error) *[]CipherSuite { return &m.CipherSuites }, decodeCipherSuite),
		listField(labelFreshness, func(m *Error) *[]FreshnessMechanism { return &m.FreshnessMechanisms }, decodeFreshness),
		listField(labelCOSEProfiles, func(m *Error) *[]suit.COSEProfile { return &m.COSEProfiles }, decodeCOSEProfile),
		bytesField(labelChallenge, func(m *Error) *[]byte { return &m.Challenge }, 8, 512),
		listField(labelVersions, func(m *Error) *[]uint32 { return &m.Versions }, decodeUint32),
		listField(labelSUITReports, func(m *Error) *[][]byte { return &m.SUITReports }, cosekit.Bytes),
	},
	unknown:  func(m Message) *Options { return &m.(*Error).Unknown },
	elements: []field{errorCodeField(func(m *Error) *ErrorCode { return &m.Code })},
}

func (*QueryRequest) layout() *layout  { return &queryRequestLayout }
func (*QueryResponse) layout() *layout { return &queryResponseLayout }
func (*Update) layout() *layout        { return &updateLayout }
func (*Success) layout() *layout       { return &successLayout }
func (*Error) layout() *layout         { return &errorLayout }

// keep adds an option that the message does not know.
func (o *Options) keep(number uint64, value cosekit.RawMessage) {
	if *o == nil {
		*o = make(Options)
	}
	(*o)[number] = bytes.Clone(value)
}
