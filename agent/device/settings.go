package device

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/broker"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// Settings is the content of config.yaml. Unknown keys are errors.
type Settings struct {
	TAM      TAM      `yaml:"tam"`
	Poll     Polling  `yaml:"poll"`
	Identity Identity `yaml:"device"`

	Manifests    Manifests    `yaml:"manifests,omitempty"`
	Conditions   Conditions   `yaml:"conditions,omitempty"`
	Applications Applications `yaml:"applications,omitempty"`
	Attestation  Attestation  `yaml:"attestation,omitempty"`
}

// TAM says where the TAM is and how it speaks.
type TAM struct {
	URL       string         `yaml:"url"`
	CAFile    string         `yaml:"ca-file,omitempty"` // PEM; the system's roots where empty
	Numbering teep.Numbering `yaml:"numbering"`
	// Legacy accepts ES256 and EdDSA for ESP256 and Ed25519.
	Legacy bool `yaml:"allow-legacy-algorithms,omitempty"`
	// ReportKey is a file with the public agreement key of the TAM that SUIT_Reports are
	// encrypted to; empty: they are signed only.
	ReportKey string `yaml:"report-encryption-key,omitempty"`
	// EvidenceKey is the same for evidence; with it none is sent that others can read.
	EvidenceKey string `yaml:"evidence-encryption-key,omitempty"`
	// Attest makes the TAM attest itself before it is told anything; AttestMaxAge is how
	// long it is believed then, DefaultAttestMaxAge where 0.
	Attest       bool          `yaml:"attest,omitempty"`
	AttestMaxAge time.Duration `yaml:"attest-max-age,omitempty"`
	// UEID is that of the TAM, which attestation results about it have to name; without it
	// none are taken, only evidence is.
	UEID HexBytes `yaml:"ueid,omitempty"`
}

func (t TAM) reportKey() (*cosekit.AgreementPublicKey, error) {
	return encryptionKey("tam.report-encryption-key", t.ReportKey)
}

func (t TAM) evidenceKey() (*cosekit.AgreementPublicKey, error) {
	return encryptionKey("tam.evidence-encryption-key", t.EvidenceKey)
}

// encryptionKey reads the key of the TAM that a setting names; nil for none.
func encryptionKey(setting, file string) (*cosekit.AgreementPublicKey, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, wrong(setting, "%w; put the TAM's encryption key there ('tamarack keys' lists it), or remove the setting", err)
	}
	key, err := cosekit.ReadAgreementPublicKey(data)
	if err != nil {
		return nil, wrong(setting, "%s: %w", file, err)
	}
	return key, nil
}

// Manifests says how strictly manifests are taken.
type Manifests struct {
	// Signatures is which signatures a manifest needs.
	Signatures SignatureRule `yaml:"signatures,omitempty"`
	// Compat accepts what the published examples of the drafts do against their text;
	// see processor.Compat.
	Compat bool `yaml:"compat,omitempty"`
	// MaxDownload is how many bytes one manifest may fetch, with its dependencies, and
	// MaxStored how many it may write; the defaults of the processor where they are 0.
	MaxDownload uint64 `yaml:"max-download,omitempty"`
	MaxStored   uint64 `yaml:"max-stored,omitempty"`
	// SecretKeys are files with symmetric keys that publishers encrypt payloads with.
	// The device has an agreement key of its own beside them.
	SecretKeys []string `yaml:"secret-keys,omitempty"`
}

// SignatureRule is a suit.SignatureRule, written by its name.
type SignatureRule suit.SignatureRule

// MarshalText implements encoding.TextMarshaler.
func (r SignatureRule) MarshalText() ([]byte, error) {
	return []byte(suit.SignatureRule(r).String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *SignatureRule) UnmarshalText(text []byte) error {
	rule, err := suit.ParseSignatureRule(string(text))
	*r = SignatureRule(rule)
	return err
}

// mode is the processor's.
func (m Manifests) mode() processor.Mode {
	if m.Compat {
		return processor.Compat
	}
	return processor.Strict
}

func (s Settings) limits() processor.Limits {
	l, m := processor.DefaultLimits(), s.Manifests
	l.Waiting = s.Conditions.Wait
	l.Custom = selfTests * s.Applications.limits().Time
	if m.MaxDownload > 0 {
		l.FetchedBytes = m.MaxDownload
	}
	if m.MaxStored > 0 {
		l.StoredBytes = m.MaxStored
		l.MeasuredBytes = max(l.MeasuredBytes, l.StoredBytes)
	}
	return l
}

// secretKeys reads the files.
func (m Manifests) secretKeys() ([]*cosekit.SecretKey, error) {
	var keys []*cosekit.SecretKey
	for i, file := range m.SecretKeys {
		key, err := cosekit.LoadSecretKey(file)
		if err != nil {
			return nil, wrong(fmt.Sprintf("manifests.secret-keys[%d]", i), "%w; put the key there that you share with the publisher, or remove the entry", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Polling says how often a running agent asks its TAM.
type Polling struct {
	Interval time.Duration `yaml:"interval"`
	Jitter   time.Duration `yaml:"jitter"`  // a random part of it is added to each interval
	Timeout  time.Duration `yaml:"timeout"` // of one HTTP request to the TAM
	// Download is how long one payload may take.
	Download time.Duration `yaml:"download-timeout"`
	// Stall is how long the source of a payload may stay silent.
	Stall time.Duration `yaml:"stall-timeout"`
}

// Identity is who the device says it is, to manifests and in its evidence.
type Identity struct {
	UEID      HexBytes   `yaml:"ueid"`                // RFC 9711 section 4.2.1
	Vendor    uuid.UUID  `yaml:"vendor-id"`           // draft-ietf-suit-manifest-37 section 8.4.8.2
	Class     uuid.UUID  `yaml:"class-id"`            //
	Device    *uuid.UUID `yaml:"device-id,omitempty"` // nil for none
	OEMID     OEMID      `yaml:"oemid"`               // RFC 9711 section 4.2.3
	Model     string     `yaml:"model"`               // hwmodel, RFC 9711 section 4.2.4
	HWVersion string     `yaml:"hwversion"`           // RFC 9711 section 4.2.5
}

// DefaultPolling suits a device on a network that costs nothing.
var DefaultPolling = Polling{Interval: 5 * time.Minute, Jitter: 30 * time.Second, Timeout: time.Minute, Download: time.Hour, Stall: time.Minute}

// ParseSettings reads config.yaml strictly. Its errors name the line, the key, the value
// and what is wanted.
func ParseSettings(data []byte) (Settings, error) {
	s, _, err := parseSettings(data)
	return s, err
}

func parseSettings(data []byte) (Settings, document, error) {
	s := Settings{Poll: DefaultPolling}
	d, err := readYAML(data, &s)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return Settings{}, nil, d.locate(err)
	}
	return s, d, nil
}

// loadSettings reads a file, and looks at the files that it names: what a device cannot
// do without is missed when somebody looks at it, not when an update needs it.
func loadSettings(path string) (Settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, err
	}
	s, d, err := parseSettings(data)
	if err == nil {
		err = d.locate(s.checkFiles())
	}
	if err != nil {
		return Settings{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// checkFiles says what is wrong with the files that the settings name.
func (s Settings) checkFiles() error {
	_, transport := broker.NewTransport(s.TAM.CAFile)
	if transport != nil {
		transport = wrong("tam.ca-file", "%w; put the PEM certificates of the TAM's authority there", transport)
	}
	_, reports := s.TAM.reportKey()
	_, evidence := s.TAM.evidenceKey()
	_, secrets := s.Manifests.secretKeys()
	_, chain := s.Attestation.chain()
	return errors.Join(transport, reports, evidence, secrets, chain, s.Conditions.checkFiles())
}

// Check says what is wrong with the settings, or nil.
func (s Settings) Check() error {
	if err := broker.CheckURL(s.TAM.URL); err != nil {
		return wrong("tam.url", "%w", err)
	}
	switch p := s.Poll; {
	case p.Interval < time.Second:
		return wrong("poll.interval", "%s, at least 1s", p.Interval)
	case p.Jitter < 0:
		return wrong("poll.jitter", "%s is negative", p.Jitter)
	case p.Timeout < time.Second:
		return wrong("poll.timeout", "%s, at least 1s", p.Timeout)
	case p.Download < time.Second:
		return wrong("poll.download-timeout", "%s, at least 1s", p.Download)
	case p.Stall < time.Second:
		return wrong("poll.stall-timeout", "%s, at least 1s", p.Stall)
	}
	return errors.Join(s.TAM.check(), s.Conditions.check(), s.Applications.check(), s.Attestation.check(), s.Identity.check())
}

func (i Identity) check() error {
	switch {
	case len(i.UEID) < 7 || len(i.UEID) > 33:
		return wrong("device.ueid", "%d bytes, a ueid has 7 to 33", len(i.UEID))
	case i.UEID[0] < 1 || i.UEID[0] > 3:
		return wrong("device.ueid", "begins with 0x%02x, want 01 and then 16 random bytes, or 02 or 03 and the id that it is made of (RFC 9711 section 4.2.1)", i.UEID[0])
	case i.UEID[0] == 1 && len(i.UEID) != 17 && len(i.UEID) != 25 && len(i.UEID) != 33:
		return wrong("device.ueid", "%d bytes; one that begins with 01 has 16, 24 or 32 random bytes behind it", len(i.UEID))
	case i.Vendor == uuid.Nil:
		return wrong("device.vendor-id", "missing")
	case i.Class == uuid.Nil:
		return wrong("device.class-id", "missing")
	case i.OEMID.claim == nil:
		return wrong("device.oemid", "missing")
	case len(i.Model) == 0 || len(i.Model) > 32:
		return wrong("device.model", "%d bytes, want 1 to 32", len(i.Model))
	case len(i.HWVersion) == 0 || len(i.HWVersion) > 64:
		return wrong("device.hwversion", "%d bytes, want 1 to 64", len(i.HWVersion))
	}
	return nil
}

// HexBytes are bytes, written in hexadecimal.
type HexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (h HexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("%q: want hexadecimal digits", text)
	}
	*h = b
	return nil
}

// OEMID names the maker of the hardware in one of the three forms of RFC 9711 section
// 4.2.3. People write a private enterprise number as "pen:32473", an IEEE identifier
// as "ieee:acde48", and a random one as 32 hexadecimal digits.
type OEMID struct {
	text  string
	claim []byte
}

// RandomOEMID is the form of 16 bytes.
func RandomOEMID(b [16]byte) OEMID {
	return OEMID{hex.EncodeToString(b[:]), cosekit.MustMarshal(b[:])}
}

// ParseOEMID reads one of the three forms.
func ParseOEMID(s string) (OEMID, error) {
	if number, ok := strings.CutPrefix(s, "pen:"); ok {
		pen, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return OEMID{}, fmt.Errorf("oemid %q: not a private enterprise number", s)
		}
		return OEMID{s, cosekit.MustMarshal(pen)}, nil
	}
	digits, ieee := strings.CutPrefix(s, "ieee:")
	b, err := hex.DecodeString(digits)
	if err != nil || ieee && len(b) != 3 || !ieee && len(b) != 16 {
		return OEMID{}, fmt.Errorf("oemid %q: write pen:NUMBER, ieee: and 6 hexadecimal digits, or 32 hexadecimal digits", s)
	}
	return OEMID{s, cosekit.MustMarshal(b)}, nil
}

// String returns the form that people write.
func (o OEMID) String() string { return o.text }

// Claim returns the encoded value of the oemid claim.
func (o OEMID) Claim() []byte { return o.claim }

// MarshalText implements encoding.TextMarshaler.
func (o OEMID) MarshalText() ([]byte, error) { return []byte(o.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OEMID) UnmarshalText(text []byte) error {
	parsed, err := ParseOEMID(string(text))
	if err == nil {
		*o = parsed
	}
	return err
}

// String returns the hexadecimal digits.
func (h HexBytes) String() string { return hex.EncodeToString(h) }
