package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/attester"
	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// newAttester makes what the settings ask for. Evidence of hardware, and of what has its
// shape, is bound to the claims of the store.
func (d *Device) newAttester(clock func() time.Time) (agent.Attester, error) {
	a := d.settings.Attestation
	chain, err := a.chain()
	if err != nil {
		return nil, err
	}
	identity := d.settings.Identity.claims()
	bound := func(q attester.Quoter) agent.Attester {
		return attester.Bound(q, func(ctx context.Context) (*attest.Claims, error) { return d.store.Claims(ctx, identity, clock()) })
	}
	switch a.Attester {
	case AttesterPSA:
		q, err := d.psa()
		if err != nil {
			return nil, err
		}
		return bound(q), d.adoptKey(q.Key.PublicKey(), nil)
	case AttesterTPM:
		q, err := openTPM(d.dir, a, chain)
		if err != nil {
			return nil, err
		}
		key, err := tpmKey(q)
		if err != nil {
			return nil, err
		}
		return bound(q), d.adoptKey(key, chain)
	case AttesterTSM:
		q, err := openTSM(a.TSM)
		if err != nil {
			return nil, err
		}
		return bound(q), nil
	}
	key := d.keys.attestation
	return tee.NewAttester(d.store, key, identity, clock, chain...), d.adoptKey(key.PublicKey(), chain)
}

// psa is software in the shape of a PSA root of trust. Its instance id is the customary
// one, made of its key.
func (d *Device) psa() (*attester.PSA, error) {
	key := d.keys.attestation
	if key.Algorithm() != cosekit.ESP256 {
		return nil, wrong("attestation.attester", "psa, but %s is for %s, and a PSA token is signed on P-256; make the device anew",
			filepath.Join(keysDir, attestKeyFile), cosekit.AlgorithmName(key.Algorithm()))
	}
	agent, err := measureProgram()
	if err != nil {
		return nil, fmt.Errorf("measure the agent: %w", err)
	}
	thumbprint := key.PublicKey().Thumbprint()
	return &attester.PSA{
		Key: key, ImplementationID: d.settings.Attestation.PSA.ImplementationID,
		InstanceID: append([]byte{0x01}, thumbprint[:]...), Lifecycle: attester.Secured,
		Software: func(ctx context.Context) ([]evidence.SoftwareComponent, error) { return d.software(ctx, agent) },
	}, nil
}

// programType names the agent itself among the components of a PSA token.
const programType = "teep-agent"

// nobody stands for the signer of what no key is known to have signed.
var nobody = make([]byte, len(cosekit.Thumbprint{}))

// measureProgram measures what runs here, as it was when it was started.
func measureProgram() (evidence.SoftwareComponent, error) {
	path, err := os.Executable()
	if err != nil {
		return evidence.SoftwareComponent{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return evidence.SoftwareComponent{}, err
	}
	defer f.Close() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return evidence.SoftwareComponent{}, err
	}
	return evidence.SoftwareComponent{Type: programType, Value: h.Sum(nil), Signer: nobody}, nil
}

// software tells the agent, and every component that is installed by its id. The signer of
// a component is the key that its manifest names.
func (d *Device) software(ctx context.Context, agent evidence.SoftwareComponent) ([]evidence.SoftwareComponent, error) {
	installed, err := d.store.Installed(ctx)
	if err != nil {
		return nil, err
	}
	list := []evidence.SoftwareComponent{agent}
	for _, c := range installed {
		signer, err := d.signerOf(c.Manifests[0])
		if err != nil {
			return nil, err
		}
		list = append(list, evidence.SoftwareComponent{
			Type: c.ID.String(), Version: strconv.FormatUint(c.Sequence, 10), Value: c.Digest.Bytes, Signer: signer,
		})
	}
	return list, nil
}

func (d *Device) signerOf(manifest suit.ComponentID) ([]byte, error) {
	data, err := d.store.Envelope(manifest)
	if err != nil {
		return nil, err
	}
	envelope, err := suit.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", manifest, err)
	}
	for _, b := range envelope.UnverifiedBlocks() {
		for _, s := range b.Signatures {
			if len(s.KeyID) == len(nobody) {
				return s.KeyID, nil
			}
		}
	}
	return nobody, nil
}

// hardwarePatience is how long a TPM may take to make a key.
const hardwarePatience = time.Minute

// openTPM loads the attestation key, or has one made on first use.
func openTPM(dir string, a Attestation, chain []*x509.Certificate) (*attester.TPM, error) {
	ctx, stop := context.WithTimeout(context.Background(), hardwarePatience)
	defer stop()
	t := a.TPM.withDefaults(dir)
	if err := os.MkdirAll(t.Directory, 0o700); err != nil {
		return nil, err
	}
	o := attester.TPMOptions{Address: t.Address, Directory: t.Directory}
	for _, pcr := range t.PCRs {
		o.PCRs = append(o.PCRs, int(pcr))
	}
	for _, c := range chain {
		o.Chain = append(o.Chain, c.Raw)
	}
	q, err := attester.OpenTPM(ctx, o)
	if err != nil {
		return nil, wrong("attestation.tpm", "%w (at %s, from attestation.tpm.address, --tpm of init)", err, t.Address)
	}
	return q, nil
}

func openTSM(t TSM) (*attester.TSM, error) {
	root := t.Root
	if root == "" {
		root = attester.DirectoryTSM
	}
	q, err := attester.OpenTSM(root)
	if err != nil {
		return nil, wrong("attestation.tsm.root", "%w; it wants a guest of SEV-SNP or TDX, Linux 6.7 or later, and the rights to read there", err)
	}
	return q, nil
}

// tpmKey is the attestation key of the TPM as the TAM registers it.
func tpmKey(q *attester.TPM) (*cosekit.PublicKey, error) {
	key, err := q.Key()
	if err != nil {
		return nil, err
	}
	return cosekit.NewPublicKey(key)
}

// adoptKey holds the certificates against the key of the attester that the settings name
// now, and puts its public half where people look for it: nobody may have registered it yet.
func (d *Device) adoptKey(key *cosekit.PublicKey, chain []*x509.Certificate) error {
	d.public = key
	data, err := os.ReadFile(PublicKeyPath(d.dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if public := key.PEM(); !bytes.Equal(data, public) {
		if err := replaceFile(PublicKeyPath(d.dir), public); err != nil {
			return err
		}
	}
	return checkLeaf(chain, key)
}

// readPublicKey reads the public half of an attestation key that is elsewhere; nil where
// there is none.
func readPublicKey(dir string) (*cosekit.PublicKey, error) {
	data, err := os.ReadFile(PublicKeyPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := cosekit.ReadPublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PublicKeyPath(dir), err)
	}
	return key, nil
}
