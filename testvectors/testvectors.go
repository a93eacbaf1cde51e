package testvectors

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"
)

//go:generate go run ./gen

//go:embed index.json */*.cbor */*.jwt
var files embed.FS

// Index is index.json.
type Index struct {
	About string `json:"about"`
	// Warning says that the keys are public.
	Warning string `json:"warning"`
	// Now is the time at which evidence is judged, Challenge what its nonce has to
	// answer.
	Now       time.Time `json:"now"`
	Challenge Hex       `json:"challenge_hex"`
	// Device is the one that a KindUpdate is processed on.
	Device Device `json:"device"`
	// Keys are all the keys there are, by name.
	Keys    map[string]Key `json:"keys"`
	Vectors []Vector       `json:"vectors"`
}

// Device is a device with nothing installed.
type Device struct {
	VendorID Hex `json:"vendor_id_hex"` // UUIDs
	ClassID  Hex `json:"class_id_hex"`
	// Slot is the one that every component would be installed in.
	Slot uint64 `json:"slot"`
}

// Key is a key pair or a secret key for tests. It is as public as this file: never
// trust it.
type Key struct {
	Use        string `json:"use"`
	Algorithm  string `json:"algorithm"`                     // the name that IANA registers with COSE
	Thumbprint Hex    `json:"thumbprint_sha256"`             // RFC 9679
	Public     Hex    `json:"cose_key_public_hex,omitempty"` // a secret key has none
	Private    Hex    `json:"cose_key_private_hex"`
}

// Vector is one file and what has to come of it.
type Vector struct {
	Name   string `json:"name"` // unique
	File   string `json:"file"` // under the folder of index.json
	Kind   Kind   `json:"kind"`
	Covers string `json:"covers"`
	// Numbering is that of the endpoint which the message arrives at, "iana" or
	// "pre-iana"; empty for what has none.
	Numbering string `json:"numbering,omitempty"`
	// Keys names the keys that the recipient has. Under each of them, alone, the
	// outcome is the same.
	Keys []string `json:"keys,omitempty"`
	// Rule is "classical+post-quantum" where the recipient has all of Keys together, and
	// wants a signature of each sort.
	Rule string `json:"rule,omitempty"`
	// DecryptionKeys names the keys that the recipient decrypts with: all of them.
	DecryptionKeys []string `json:"decryption_keys,omitempty"`
	// Fetch is what the device of a KindUpdate gets from the network, by URI.
	Fetch map[string]Hex `json:"fetch_hex,omitempty"`
	// Legacy says that ES256 (-7) and EdDSA (-8) are allowed.
	Legacy bool `json:"legacy,omitempty"`
	// Attester names the key of the evidence in a KindEvidence.
	Attester string `json:"attester,omitempty"`
	// MediaType is that under which the file arrives, where its kind has several.
	MediaType string `json:"media_type,omitempty"`
	// Agent names the key of the TEEP message that a KindBundle comes with.
	Agent string `json:"agent,omitempty"`

	Outcome Outcome `json:"outcome"`
	Reason  Reason  `json:"reason,omitempty"` // where it is refused
	// Content is the signed payload in diagnostic notation (RFC 8949 section 8): of
	// an envelope its manifest, of a COSE_Key the whole file. Empty where it is
	// refused.
	Content string `json:"content,omitempty"`
	// Decrypted is the SUIT_Report inside an encrypted one, likewise.
	Decrypted string `json:"decrypted,omitempty"`
	// Images is what the components of the device hold after a KindUpdate, by their ids
	// as paths. After one that is refused they hold nothing.
	Images map[string]Hex `json:"images_hex,omitempty"`
	// Thumbprint is that of the COSE_Key in the file.
	Thumbprint Hex `json:"thumbprint_sha256,omitempty"`

	SHA256 Hex    `json:"sha256"` // of the file
	Data   []byte `json:"-"`      // the file
}

// Kind says what is in a file, and so what a recipient does with it.
type Kind string

// The kinds. A recipient decodes, verifies under the key, and applies the rules that
// need nothing but the message.
const (
	KindTEEP     Kind = "teep-message"  // COSE_Sign1 or COSE_Sign with a TEEP message
	KindEvidence Kind = "teep-evidence" // KindTEEP: a QueryResponse whose evidence is judged, too
	KindEnvelope Kind = "suit-envelope"
	KindUpdate   Kind = "suit-update" // KindEnvelope: processed, too, on the device of the index
	KindReport   Kind = "suit-report"
	KindEAT      Kind = "eat"
	KindCOSEKey  Kind = "cose-key" // a public key

	KindEncryptedEAT Kind = "eat-encrypted"      // KindEAT: in a COSE_Encrypt
	KindBundle       Kind = "bound-evidence"     // a PSA token and the claims set that it commits to
	KindResult       Kind = "attestation-result" // EAR, or an EAT of the TEEP profile
	KindCoRIM        Kind = "corim"              // signed reference values
)

// Outcome is what a recipient has to do.
type Outcome string

// The outcomes.
const (
	Valid   Outcome = "valid"
	Refused Outcome = "refused"
)

// Reason is why a vector is refused. Others may call it otherwise; that it is
// refused, and for this fault, is what counts.
type Reason string

// The reasons. Those that Tamarack's TAM also knows have the same code there.
const (
	ReasonMalformed       Reason = "malformed"        // not strict CBOR, or not the structure of the standard
	ReasonUnknownType     Reason = "unknown-type"     // a message type that the numbering does not have
	ReasonProtocol        Reason = "protocol"         // well formed, but against a rule between fields
	ReasonWrapper         Reason = "cose-wrapper"     // a COSE structure that this message may not have
	ReasonAlgorithm       Reason = "algorithm"        // unknown, not allowed, unprotected, or not the key's
	ReasonCriticalHeader  Reason = "critical-header"  // a critical header parameter that nobody understands
	ReasonSignature       Reason = "signature"        // no signature by the key
	ReasonKey             Reason = "key"              // not a usable key
	ReasonNotSigned       Reason = "not-signed"       // no signature where one is needed
	ReasonUnknownSigner   Reason = "unknown-signer"   // signed with a key that the recipient does not have
	ReasonBlock           Reason = "no-signature"     // authenticated in a way that is not supported
	ReasonDigest          Reason = "digest"           // not the bytes that were signed
	ReasonDigestAlgorithm Reason = "digest-algorithm" // a digest that is not supported
	ReasonLimit           Reason = "limit"            // more than a recipient has to bear
	ReasonNotEAT          Reason = "not-an-eat"       // not an EAT in a COSE_Sign1
	ReasonClaims          Reason = "claims"           // a claim that is not what its specification says
	ReasonClaimsMissing   Reason = "claims-missing"   // without a claim that the EAT profile of TEEP requires
	ReasonNonce           Reason = "nonce"            // not an answer to the challenge
	ReasonEvidenceTime    Reason = "evidence-time"    // expired, or from the future
	ReasonCnfMismatch     Reason = "cnf-mismatch"     // evidence for another key than the one that signs
	ReasonMAC             Reason = "mac"              // no MAC under the key
	ReasonSignatureRule   Reason = "signature-rule"   // good signatures, and one of another sort is missing
	ReasonDecryption      Reason = "decryption"       // encrypted to somebody else, or changed on the way
	ReasonNotResult       Reason = "not-a-result"     // not an Attestation Result of a known profile
	ReasonNotAffirmed     Reason = "not-affirmed"     // a result that is not affirming in every part

	// Why a processor refuses a KindUpdate: the reasons of draft-ietf-suit-report-18
	// section 4.2.
	ReasonCBORParse            Reason = "cbor-parse"
	ReasonUnauthorised         Reason = "unauthorised"
	ReasonCommandUnsupported   Reason = "command-unsupported"
	ReasonComponentUnsupported Reason = "component-unsupported"
	ReasonParameterUnsupported Reason = "parameter-unsupported"
	ReasonSeveringUnsupported  Reason = "severing-unsupported"
	ReasonConditionFailed      Reason = "condition-failed"
	ReasonOperationFailed      Reason = "operation-failed"
)

// Hex is a byte string that JSON shows in hexadecimal digits.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// Load returns the index with the content of every file, whose digest it has checked.
func Load() (*Index, error) { return load(files) }

func load(files fs.FS) (*Index, error) {
	data, err := fs.ReadFile(files, "index.json")
	if err != nil {
		return nil, err
	}
	index := &Index{}
	if err := json.Unmarshal(data, index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	for i := range index.Vectors {
		v := &index.Vectors[i]
		if v.Data, err = fs.ReadFile(files, v.File); err != nil {
			return nil, fmt.Errorf("vector %s: %w", v.Name, err)
		}
		if sum := sha256.Sum256(v.Data); !bytes.Equal(sum[:], v.SHA256) {
			return nil, fmt.Errorf("vector %s: %s is not the file that index.json describes", v.Name, v.File)
		}
	}
	return index, nil
}
