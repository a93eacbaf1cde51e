package teep

import (
	"bytes"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// layout is a message taken apart for the codec: [type, options, *elements].
type layout struct {
	options  []field
	unknown  *Options
	elements []field
	// attestation is what attestation-payload and its format fill, or nil.
	attestation **AttestationPayload
}

func (m *QueryRequest) layout(Numbering) layout {
	return layout{
		options: append(attestationFields(&m.Attestation),
			bytesField(labelToken, &m.Token, 8, 64),
			listField(labelFreshness, &m.FreshnessMechanisms, decodeFreshness),
			bytesField(labelChallenge, &m.Challenge, 8, 512),
			listField(labelVersions, &m.Versions, decodeUint32),
			listField(labelSUITReports, &m.SUITReports, cosekit.Bytes),
		),
		unknown: &m.Unknown,
		elements: []field{
			listField(labelCipherSuites, &m.CipherSuites, decodeCipherSuite),
			listField(labelCOSEProfiles, &m.COSEProfiles, decodeCOSEProfile),
			dataItemsField(&m.DataItems),
		},
		attestation: &m.Attestation,
	}
}

func (m *QueryResponse) layout(n Numbering) layout {
	return layout{
		options: append(attestationFields(&m.Attestation),
			bytesField(labelToken, &m.Token, 8, 64),
			versionField(labelSelectedVersion, &m.SelectedVersion),
			listField(labelSUITReports, &m.SUITReports, cosekit.Bytes),
			listField(labelTCList, &m.TCList, decodePropertyClaims),
			requestedTCsField(n, &m.RequestedTCs),
			listField(labelUnneededManifests, &m.UnneededManifests, decodeManifestComponent),
			listField(labelExtList, &m.Extensions, decodeUint32),
		),
		unknown:     &m.Unknown,
		attestation: &m.Attestation,
	}
}

func (m *Update) layout(n Numbering) layout {
	return layout{
		options: append(attestationFields(&m.Attestation),
			bytesField(labelToken, &m.Token, 8, 64),
			listField(labelUnneededManifests, &m.UnneededManifests, decodeManifestComponent),
			listField(labelManifestList, &m.Manifests, cosekit.Bytes),
			errorCodeField(n, &m.ErrCode),
			textField(labelErrMsg, &m.ErrMsg, maxText),
			textField(labelErrLang, &m.ErrLang, 35),
		),
		unknown:     &m.Unknown,
		attestation: &m.Attestation,
	}
}

func (m *Success) layout(Numbering) layout {
	return layout{
		options: []field{
			bytesField(labelToken, &m.Token, 8, 64),
			textField(labelMsg, &m.Msg, maxText),
			listField(labelSUITReports, &m.SUITReports, cosekit.Bytes),
		},
		unknown: &m.Unknown,
	}
}

func (m *Error) layout(n Numbering) layout {
	return layout{
		options: []field{
			bytesField(labelToken, &m.Token, 8, 64),
			textField(labelErrMsg, &m.ErrMsg, maxText),
			textField(labelErrLang, &m.ErrLang, 35),
			listField(labelCipherSuites, &m.CipherSuites, decodeCipherSuite),
			listField(labelFreshness, &m.FreshnessMechanisms, decodeFreshness),
			listField(labelCOSEProfiles, &m.COSEProfiles, decodeCOSEProfile),
			bytesField(labelChallenge, &m.Challenge, 8, 512),
			listField(labelVersions, &m.Versions, decodeUint32),
			listField(labelSUITReports, &m.SUITReports, cosekit.Bytes),
		},
		unknown:  &m.Unknown,
		elements: []field{errorCodeField(n, &m.Code)},
	}
}

// keep adds an option that the message does not know.
func (o *Options) keep(number uint64, value cosekit.RawMessage) {
	if *o == nil {
		*o = make(Options)
	}
	(*o)[number] = bytes.Clone(value)
}
