package device

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The files of a device directory.
const (
	settingsFile   = "config.yaml"
	anchorsFile    = "anchors.cbor"
	publicKeyFile  = "attestation.pub.pem"
	decryptionFile = "decryption.pub.pem"
	runsFile       = "runs.json"
	keysDir        = "keys"
	messageKeyFile = "message.pem"
	reportKeyFile  = "report.pem"
	attestKeyFile  = "attestation.pem"
	decryptKeyFile = "decryption.pem"
	storeDir       = "store"
)

// Faults of a directory; test with errors.Is.
var (
	// ErrExists: there is a device in the directory already.
	ErrExists = errors.New("the directory holds a device already")
	// ErrNoDevice: there is none.
	ErrNoDevice = errors.New("no device in this directory")
	// ErrNotDirectory: the path names something else.
	ErrNotDirectory = errors.New("not a directory")
)

// Setup is what a new device is made of.
type Setup struct {
	Settings Settings
	// Anchors are the keys that it trusts: TAMs (anchor.TAM), publishers (anchor.TCSigner),
	// attesters of TAMs (anchor.Attester) and verifiers (anchor.Verifier).
	Anchors []anchor.Anchor
	// Algorithm is that of all its keys, and so its cipher suite.
	Algorithm cosekit.Algorithm
}

// RandomUEID makes a ueid of type RAND (RFC 9711 section 4.2.1.1): 0x01 and 16 bytes.
func RandomUEID() HexBytes {
	ueid := make(HexBytes, 17)
	ueid[0] = 0x01
	rand.Read(ueid[1:]) // never fails
	return ueid
}

// Create makes a device in dir: keys, anchors and settings. The settings are written
// last, so a Create that was cut short can be repeated, and keeps the keys that it made.
func Create(dir string, setup Setup) error {
	if err := setup.Settings.Check(); err != nil {
		return err
	}
	store, err := anchor.NewStore(setup.Anchors...)
	if err != nil {
		return err
	}
	if err := checkDir(dir); err != nil {
		return err
	}
	for _, sub := range []string{keysDir, storeDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, settingsFile)); err == nil {
		return fmt.Errorf("%s: %w", dir, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	keys, err := makeKeys(dir, setup.Algorithm, setup.Settings.Attestation.Attester)
	if err != nil {
		return err
	}
	public, err := attestationKey(dir, setup.Settings.Attestation, keys)
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Join(dir, keysDir)); err != nil {
		return err
	}
	settings, err := yaml.Marshal(setup.Settings)
	if err != nil {
		return err
	}
	type file struct {
		name string
		data []byte
	}
	files := []file{{anchorsFile, store.Encode()}, {decryptionFile, keys.decryption.PublicKey().PEM()}, {settingsFile, settings}}
	if public != nil {
		files = append([]file{{publicKeyFile, public.PEM()}}, files...)
	}
	for _, f := range files {
		if err := replaceFile(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

// attestationKey returns the public half of what signs the evidence: of the device's own
// key, or of one that the TPM makes now. Nil for hardware whose maker vouches for its key.
func attestationKey(dir string, a Attestation, k keys) (*cosekit.PublicKey, error) {
	switch a.Attester {
	case AttesterTPM:
		q, err := openTPM(dir, a, nil)
		if err != nil {
			return nil, err
		}
		return tpmKey(q)
	case AttesterTSM:
		return nil, nil
	}
	return k.attestation.PublicKey(), nil
}

// checkDir refuses a path that is there and no directory.
func checkDir(path string) error {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return fmt.Errorf("%s: %w", path, ErrNotDirectory)
	}
	return nil
}

// keys are the private keys of a device, each for one purpose.
type keys struct {
	message, report cosekit.Signer
	// attestation is nil where hardware has the key.
	attestation cosekit.Signer
	// decryption is what publishers encrypt payloads to; nil on devices that were made
	// before there was one.
	decryption cosekit.AgreementKey
}

// agreements is the decryption key, if there is one.
func (k keys) agreements() []cosekit.AgreementKey {
	if k.decryption == nil {
		return nil
	}
	return []cosekit.AgreementKey{k.decryption}
}

// makeKeys makes those that are not there yet. PSA tokens are signed on P-256, whatever the
// algorithm of the rest.
func makeKeys(dir string, alg cosekit.Algorithm, attester AttesterKind) (keys, error) {
	k, err := eachKey(dir, attester, func(path string) (cosekit.Signer, error) {
		alg := alg
		if attester == AttesterPSA && filepath.Base(path) == attestKeyFile {
			alg = cosekit.ESP256
		}
		s, err := cosekit.LoadOrCreateSigner(path, alg)
		if err == nil && s.Algorithm() != alg {
			err = fmt.Errorf("%s is left from another attempt and is for %s: remove it", path, cosekit.AlgorithmName(s.Algorithm()))
		}
		return s, err
	})
	if err != nil {
		return keys{}, err
	}
	path := filepath.Join(dir, keysDir, decryptKeyFile)
	if k.decryption, err = cosekit.LoadAgreementKey(path); errors.Is(err, fs.ErrNotExist) {
		k.decryption, err = cosekit.CreateAgreementKeyFile(path)
	}
	return k, err
}

func loadKeys(dir string, attester AttesterKind) (keys, error) {
	k, err := eachKey(dir, attester, cosekit.LoadSigner)
	if err != nil {
		return keys{}, err
	}
	k.decryption, err = cosekit.LoadAgreementKey(filepath.Join(dir, keysDir, decryptKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		k.decryption, err = nil, nil
	}
	return k, err
}

func eachKey(dir string, attester AttesterKind, get func(path string) (cosekit.Signer, error)) (k keys, err error) {
	files := map[string]*cosekit.Signer{messageKeyFile: &k.message, reportKeyFile: &k.report}
	if attester.software() {
		files[attestKeyFile] = &k.attestation
	}
	for name, dst := range files {
		if *dst, err = get(filepath.Join(dir, keysDir, name)); err != nil {
			return keys{}, err
		}
	}
	return k, nil
}

// replaceFile writes a file whole or not at all, and durably.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// PublicKeyPath returns where a device's public attestation key is.
func PublicKeyPath(dir string) string { return filepath.Join(dir, publicKeyFile) }

// DecryptionKeyPath returns where the public key is that publishers encrypt to.
func DecryptionKeyPath(dir string) string { return filepath.Join(dir, decryptionFile) }

// SettingsPath returns where a device's settings are.
func SettingsPath(dir string) string { return filepath.Join(dir, settingsFile) }
