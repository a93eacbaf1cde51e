package device

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Attestation says what makes the evidence of the device.
type Attestation struct {
	Attester AttesterKind `yaml:"attester,omitempty"`
	// Certificates is a file with those of the attestation key in PEM, its own first; empty
	// for a key that the TAM has registered.
	Certificates string `yaml:"certificates,omitempty"`
	// Passport keeps an attestation result that the TAM passes back.
	Passport bool `yaml:"passport,omitempty"`
	PSA      PSA  `yaml:"psa,omitempty"`
	TPM      TPM  `yaml:"tpm,omitempty"`
	TSM      TSM  `yaml:"tsm,omitempty"`
}

// PSA is for evidence in the shape of a PSA token (RFC 9783).
type PSA struct {
	ImplementationID HexBytes `yaml:"implementation-id,omitempty"` // 32 bytes
}

// TPM says which TPM 2.0 quotes what.
type TPM struct {
	Address string   `yaml:"address,omitempty"` // device, unix socket or host:port
	PCRs    []uint32 `yaml:"pcrs,omitempty"`    // of the SHA-256 bank
	// Directory keeps the attestation key, which is of use in that TPM only.
	Directory string `yaml:"directory,omitempty"`
}

// TSM says where Linux hands out reports of the confidential computing hardware.
type TSM struct {
	Root string `yaml:"root,omitempty"`
}

// AttesterKind is what makes evidence, written by its name.
type AttesterKind int

// The attesters.
const (
	AttesterEAT AttesterKind = iota // software, an EAT
	AttesterPSA                     // software, in the shape of a PSA root of trust
	AttesterTPM                     // a TPM 2.0
	AttesterTSM                     // SEV-SNP or TDX, by configfs-tsm of Linux
)

var attesterNames = [...]string{"eat", "psa", "tpm", "tsm"}

// String returns the name.
func (k AttesterKind) String() string { return attesterNames[k] }

// MarshalText implements encoding.TextMarshaler.
func (k AttesterKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *AttesterKind) UnmarshalText(text []byte) error {
	for i, name := range attesterNames {
		if name == string(text) {
			*k = AttesterKind(i)
			return nil
		}
	}
	return fmt.Errorf("%q: want eat, psa, tpm or tsm", text)
}

// software reports whether the device itself holds the attestation key.
func (k AttesterKind) software() bool { return k == AttesterEAT || k == AttesterPSA }

// DefaultTPM is where Linux has the TPM.
const DefaultTPM = "/dev/tpmrm0"

// DefaultPCRs are those of firmware, option ROMs, boot loader and Secure Boot.
var DefaultPCRs = []uint32{0, 2, 4, 7}

const (
	maxPCR = 23
	tpmDir = "tpm" // below the keys
)

// withDefaults returns the TPM with what the settings leave out.
func (t TPM) withDefaults(dir string) TPM {
	if t.Address == "" {
		t.Address = DefaultTPM
	}
	if len(t.PCRs) == 0 {
		t.PCRs = DefaultPCRs
	}
	if t.Directory == "" {
		t.Directory = filepath.Join(dir, keysDir, tpmDir)
	}
	return t
}

func (a Attestation) check() error {
	for _, option := range []struct {
		key   string
		given bool
		of    AttesterKind
	}{
		{"attestation.psa.implementation-id", a.PSA.ImplementationID != nil, AttesterPSA},
		{"attestation.tpm.address", a.TPM.Address != "", AttesterTPM},
		{"attestation.tpm.pcrs", a.TPM.PCRs != nil, AttesterTPM},
		{"attestation.tpm.directory", a.TPM.Directory != "", AttesterTPM},
		{"attestation.tsm.root", a.TSM.Root != "", AttesterTSM},
	} {
		if option.given && a.Attester != option.of {
			return wrong(option.key, "the attester is %s; remove the setting, or set attestation.attester to %s", a.Attester, option.of)
		}
	}
	switch {
	case a.Attester == AttesterPSA && len(a.PSA.ImplementationID) != 32:
		return wrong("attestation.psa.implementation-id", "%d bytes, a PSA token has 32", len(a.PSA.ImplementationID))
	case a.Certificates != "" && a.Attester != AttesterEAT && a.Attester != AttesterTPM:
		return wrong("attestation.certificates", "evidence of attester %s carries none; register its attestation key with the TAM", a.Attester)
	}
	for i, pcr := range a.TPM.PCRs {
		if pcr > maxPCR {
			return wrong(fmt.Sprintf("attestation.tpm.pcrs[%d]", i), "%d, a TPM has 0 to %d", pcr, maxPCR)
		}
	}
	return nil
}

// maxCertificates caps a file of certificates, in bytes. Evidence has room for less.
const maxCertificates = 64 << 10

// chain reads the certificates; nil for none.
func (a Attestation) chain() ([]*x509.Certificate, error) {
	if a.Certificates == "" {
		return nil, nil
	}
	chain, err := readChain(a.Certificates)
	if err != nil {
		return nil, wrong("attestation.certificates", "%w; put those of the attestation key there in PEM, its own first, or remove the setting", err)
	}
	return chain, nil
}

func readChain(file string) (chain []*x509.Certificate, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(data) > maxCertificates {
		return nil, fmt.Errorf("%s: %d bytes, at most %d", file, len(data), maxCertificates)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: a PEM block %q among the certificates", file, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		chain = append(chain, certificate)
	}
	if chain == nil {
		return nil, fmt.Errorf("%s: no certificate in PEM form", file)
	}
	return chain, nil
}

// checkLeaf refuses certificates of another key than the one that signs.
func checkLeaf(chain []*x509.Certificate, key *cosekit.PublicKey) error {
	if chain == nil {
		return nil
	}
	certified, err := cosekit.NewPublicKey(chain[0].PublicKey)
	if err == nil && !certified.Equal(key) {
		err = errors.New("it has another key")
	}
	if err != nil {
		return wrong("attestation.certificates", "the first certificate, of %q, is not of the attestation key: %w; the key is in %s",
			chain[0].Subject, err, publicKeyFile)
	}
	return nil
}

// DefaultAttestMaxAge is how long a TAM that has attested itself is believed.
const DefaultAttestMaxAge = time.Hour

// clockSkew is what the clocks of device and TAM may differ by.
const clockSkew = time.Minute

func (t TAM) check() error {
	switch {
	case t.AttestMaxAge < 0:
		return wrong("tam.attest-max-age", "%s is negative", t.AttestMaxAge)
	case t.AttestMaxAge > 0 && !t.Attest:
		return wrong("tam.attest-max-age", "the TAM need not attest itself; set tam.attest to true, or remove the setting")
	case t.UEID != nil && !t.Attest:
		return wrong("tam.ueid", "the TAM need not attest itself; set tam.attest to true, or remove the setting")
	case t.UEID != nil && (len(t.UEID) < 7 || len(t.UEID) > 33):
		return wrong("tam.ueid", "%d bytes, a ueid has 7 to 33", len(t.UEID))
	}
	return nil
}

func (t TAM) attestMaxAge() time.Duration {
	if t.AttestMaxAge == 0 {
		return DefaultAttestMaxAge
	}
	return t.AttestMaxAge
}
