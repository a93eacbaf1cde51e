package suit

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// SignReport returns the report in a COSE_Sign1 whose protected CWT Claims header
// confirms the signer's public key, so that a reader can pin it.
func SignReport(r *Report, signer cosekit.Signer) ([]byte, error) {
	payload, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return signReport(payload, signer)
}

// SignEncryptedReport is SignReport around a COSE_Encrypt of the report for the
// recipients (draft-ietf-suit-report-18 section 7): the signature covers the
// ciphertext, which AES-CTR would leave open to changes. The two layers are those of
// draft-ietf-teep-protocol, with its context in place of that of e. This is the one
// encrypted form that is made: a COSE_Encrypt0, or a COSE_Mac0 around a ciphertext, would
// need a secret that device and reader share beforehand. [OpenReport] reads both.
func SignEncryptedReport(r *Report, e cosekit.Encryption, signer cosekit.Signer) ([]byte, error) {
	plaintext, err := r.Encode()
	if err != nil {
		return nil, err
	}
	e.Context = cosekit.ReportEncryption
	payload, err := e.Seal(plaintext)
	if err != nil {
		return nil, at("report", err)
	}
	return signReport(payload, signer)
}

func signReport(payload []byte, signer cosekit.Signer) ([]byte, error) {
	return cosekit.Sign1(signer, payload, cosekit.Form{CWTClaims: cosekit.ConfirmationHeader(signer.PublicKey())})
}

// AuthenticateReport returns the report in a COSE_Mac0.
func AuthenticateReport(r *Report, key *cosekit.SecretKey) ([]byte, error) {
	payload, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return cosekit.Mac0(key, payload, cosekit.Form{})
}

// SignedReport is a report as it came: in a COSE_Sign1 or COSE_Mac0, or bare, and
// encrypted inside or not. What it says is reached through Verify or VerifyMAC.
type SignedReport struct {
	signed *cosekit.Signed // nil for another container
	mac    *cosekit.MACed  // nil for another container
	// payload is a SUIT_Report, or the message that encrypts one.
	payload []byte
	keys    cosekit.DecryptionKeys
}

// OpenReport reads a SUIT_Report_Protected or SUIT_Report_Unprotected: a report or a
// COSE_Encrypt or COSE_Encrypt0 of one, by itself or in a COSE_Sign1 or COSE_Mac0,
// tagged or not.
func OpenReport(data []byte) (*SignedReport, error) {
	if len(data) > MaxReportSize {
		return nil, at("report", overLimit("%d bytes, at most %d", len(data), MaxReportSize))
	}
	s, err := openReport(data)
	if err != nil {
		return nil, at("report", err)
	}
	return s, nil
}

func openReport(data []byte) (*SignedReport, error) {
	if err := cosekit.Validate(data); err != nil {
		return nil, err
	}
	var s *SignedReport
	switch containerOf(data) {
	case inMAC:
		mac, err := cosekit.ParseMAC(data)
		if err != nil {
			return nil, err
		}
		if mac.Multi {
			return nil, malformed("COSE_Mac, want COSE_Mac0")
		}
		s = &SignedReport{mac: mac, payload: mac.Payload}
	case inSignature:
		signed, err := cosekit.Parse(data)
		if err != nil {
			return nil, err
		}
		if signed.Multi {
			return nil, malformed("COSE_Sign, want COSE_Sign1")
		}
		s = &SignedReport{signed: signed, payload: signed.Payload}
	default:
		s = &SignedReport{payload: data}
	}
	if s.payload == nil {
		return nil, malformed("the payload is detached")
	}
	if s.Encrypted() {
		_, err := s.ciphertext()
		return s, err
	}
	return s, nil
}

// container is what stands around a report or its ciphertext.
type container int

const (
	bare container = iota
	inSignature
	inMAC
)

// containerOf tells the untagged structures apart by the number and types of their
// elements, and a signature from a MAC by its algorithm: MACs have positive numbers.
func containerOf(data []byte) container {
	if cosekit.Major(data) == cosekit.MajorTag {
		var tag cosekit.Tag
		if cosekit.UnmarshalValid(data, &tag) != nil {
			return inSignature // which refuses it
		}
		switch tag.Number {
		case cosekit.TagMAC0, cosekit.TagMAC:
			return inMAC
		case cosekit.TagEncrypt, cosekit.TagEncrypt0:
			return bare
		}
		return inSignature
	}
	parts, err := cosekit.Elements(data)
	switch {
	case err == nil && len(parts) == 3, cosekit.Major(data) == cosekit.MajorMap:
		return bare
	case err == nil && len(parts) == 4 && namesMAC(parts[0]):
		return inMAC
	}
	return inSignature
}

func namesMAC(protected []byte) bool {
	const alg = 1 // RFC 9052 table 3
	header, err := decodeWrapped(protected)
	if err != nil {
		return false
	}
	found := false
	err = decodeMap(header, false, func(key, value []byte) error {
		if label, err := cosekit.Int(key); err == nil && label == alg {
			n, err := cosekit.Int(value)
			found = err == nil && n > 0
		}
		return nil
	})
	return err == nil && found
}

// Protected reports whether the report is signed or MACed.
func (s *SignedReport) Protected() bool { return s.signed != nil || s.mac != nil }

// MACed reports whether it is VerifyMAC that checks the report.
func (s *SignedReport) MACed() bool { return s.mac != nil }

// Encrypted reports whether there is a ciphertext where the report would stand.
func (s *SignedReport) Encrypted() bool { return cosekit.Major(s.payload) != cosekit.MajorMap }

// WithKeys returns the report as those see it who have these keys: Verify, VerifyMAC
// and Unverified decrypt it, the former two after they have found it authentic.
func (s *SignedReport) WithKeys(keys cosekit.DecryptionKeys) *SignedReport {
	out := *s
	out.keys = keys
	return &out
}

// ciphertext parses the message that encrypts the report.
func (s *SignedReport) ciphertext() (*cosekit.Encrypted, error) {
	switch cosekit.Major(s.payload) {
	case cosekit.MajorArray, cosekit.MajorTag:
	default:
		return nil, malformed("neither a report nor a ciphertext")
	}
	message, err := cosekit.ParseEncrypted(s.payload)
	if err != nil {
		return nil, err
	}
	if message.Ciphertext == nil {
		return nil, malformed("the ciphertext is detached")
	}
	return message, nil
}

// decode decrypts where that is needed, and reads the report.
func (s *SignedReport) decode() (*Report, error) {
	if !s.Encrypted() {
		return DecodeReport(s.payload)
	}
	if s.keys.Empty() {
		return nil, at("report", ErrEncrypted)
	}
	message, err := s.ciphertext()
	if err != nil {
		return nil, at("report", err)
	}
	plaintext, err := message.Open(s.keys, cosekit.ReportEncryption)
	if err != nil {
		return nil, at("report", err)
	}
	// "bstr .cbor SUIT_Report" can be read as with the string's head and without.
	if cosekit.Major(plaintext) == cosekit.MajorBytes {
		if plaintext, err = decodeWrapped(plaintext); err != nil {
			return nil, at("report", err)
		}
	}
	return DecodeReport(plaintext)
}

// Key returns the public key that the signer put into the header, or nil for none.
// It is a claim: a signature under it shows no more than that the sender had the
// private key. Whose key it is has to be known from elsewhere.
func (s *SignedReport) Key() (*cosekit.PublicKey, error) {
	if s.signed == nil || s.signed.Signatures[0].CWTClaims == nil {
		return nil, nil
	}
	key, err := s.signed.Signatures[0].ConfirmationKey()
	return key, at("report.header", err)
}

// KeyID returns the thumbprint of the key that the signature names, if it does.
func (s *SignedReport) KeyID() (cosekit.Thumbprint, bool) {
	if s.signed == nil {
		return cosekit.Thumbprint{}, false
	}
	return s.signed.Thumbprint()
}

// Verify checks the signature and decodes the report. A key in the header must be
// the one that is verified with. For a report that nobody has signed it returns
// [ErrUnprotected], and [ErrEncrypted] where it takes [SignedReport.WithKeys] first.
func (s *SignedReport) Verify(key *cosekit.PublicKey, legacy cosekit.LegacyPolicy) (*Report, error) {
	if s.signed == nil {
		return nil, at("report", ErrUnprotected)
	}
	if err := s.signed.Verify(key, legacy); err != nil {
		return nil, at("report", err)
	}
	named, err := s.Key()
	if err != nil {
		return nil, err
	}
	if named != nil && !named.Equal(key) {
		return nil, at("report.header", fmt.Errorf("%w: it confirms another key than the one that signed", cosekit.ErrKey))
	}
	return s.decode()
}

// VerifyMAC is Verify for a report in a COSE_Mac0.
func (s *SignedReport) VerifyMAC(key *cosekit.SecretKey) (*Report, error) {
	if s.mac == nil {
		return nil, at("report", ErrUnprotected)
	}
	if err := s.mac.Verify(key); err != nil {
		return nil, at("report", err)
	}
	return s.decode()
}

// Unverified decodes the report without looking at a signature: for people to look
// at, or for a bare report inside a container that protects it.
func (s *SignedReport) Unverified() (*Report, error) { return s.decode() }
