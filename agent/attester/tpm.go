package attester

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// TPM is a Quoter that quotes PCRs of a TPM 2.0. It may be used by many goroutines; the
// TPM serves them one after the other.
type TPM struct {
	options TPMOptions
	mu      sync.Mutex
	ak      blobs
}

// TPMOptions say which TPM, and what to quote.
type TPMOptions struct {
	// Address is a device such as /dev/tpmrm0, the path of a unix socket, or host:port,
	// where a TPM of software such as swtpm listens.
	Address string
	// Directory keeps the attestation key. The TPM has encrypted it; a copy is of no use
	// elsewhere, and without it a new key has to be registered.
	Directory string
	// PCRs of the SHA-256 bank.
	PCRs []int
	// Chain are the certificates of the attestation key, leaf first; nil for a key that
	// the TAM has registered.
	Chain [][]byte
}

// blobs is the attestation key, as its TPM loads it.
type blobs struct {
	public, private []byte
}

// The files of the attestation key.
const (
	publicFile  = "ak.pub"
	privateFile = "ak.priv"
)

// maxPCR is the last PCR of a PC.
const maxPCR = 23

// OpenTPM connects to the TPM and loads its attestation key, or makes one on first use.
func OpenTPM(ctx context.Context, o TPMOptions) (*TPM, error) {
	if len(o.PCRs) == 0 {
		return nil, errors.New("no PCRs to quote: name some, such as 0, 2, 4 and 7")
	}
	o.PCRs = slices.Compact(slices.Sorted(slices.Values(o.PCRs)))
	if first, last := o.PCRs[0], o.PCRs[len(o.PCRs)-1]; first < 0 || last > maxPCR {
		return nil, fmt.Errorf("PCRs %d to %d, a TPM has 0 to %d", first, last, maxPCR)
	}
	t := &TPM{options: o}
	ak, err := readBlobs(o.Directory)
	if errors.Is(err, fs.ErrNotExist) {
		ak, err = t.create(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("attestation key of the TPM: %w", err)
	}
	t.ak = ak
	return t, nil
}

func readBlobs(dir string) (b blobs, err error) {
	if b.public, err = os.ReadFile(filepath.Join(dir, publicFile)); err != nil {
		return b, err
	}
	// A public part alone is not "none": making another key would hide the loss.
	if b.private, err = os.ReadFile(filepath.Join(dir, privateFile)); err != nil {
		return b, fmt.Errorf("%s without its private part, restore it or remove %s to make a new key: %v", publicFile, publicFile, err)
	}
	return b, nil
}

// create makes the attestation key. The private part is written first; see readBlobs.
func (t *TPM) create(ctx context.Context) (blobs, error) {
	var b blobs
	err := t.with(ctx, func(tpm transport.TPM, parent tpm2.NamedHandle) error {
		made, err := tpm2.Create{ParentHandle: under(parent), InPublic: tpm2.New2B(akTemplate)}.Execute(tpm)
		if err != nil {
			return fmt.Errorf("TPM2_Create: %w", err)
		}
		b = blobs{made.OutPublic.Bytes(), tpm2.Marshal(made.OutPrivate)}
		return nil
	})
	if err != nil {
		return b, err
	}
	if err := writeNew(filepath.Join(t.options.Directory, privateFile), b.private); err != nil {
		return b, err
	}
	return b, writeNew(filepath.Join(t.options.Directory, publicFile), b.public)
}

// writeNew writes a file that is there as a whole or not at all, and stays.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	parent, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// akTemplate is a key on P-256 that signs what the TPM has made and nothing else
// (TPM 2.0 Library part 1, section 25.1).
var akTemplate = tpm2.TPMTPublic{
	Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
		UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true,
	},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		CurveID: tpm2.TPMECCNistP256,
		Scheme: tpm2.TPMTECCScheme{
			Scheme:  tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
		},
	}),
}

// Format implements Quoter.
func (*TPM) Format() string { return evidence.MediaTPM }

// Key returns the attestation key, for its registration or certification.
func (t *TPM) Key() (crypto.PublicKey, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](t.ak.public)
	if err != nil {
		return nil, err
	}
	return tpm2.Pub(*public)
}

// attempts is how often a quote is made anew because a PCR has changed between the quote
// and the reading of the values.
const attempts = 3

// errChanged: the PCRs do not hold still.
var errChanged = errors.New("PCRs changed while they were quoted")

// Quote implements Quoter. The digest is the extraData of the quote.
func (t *TPM) Quote(ctx context.Context, digest []byte) ([]byte, error) {
	var e evidence.TPMEvidence
	err := t.with(ctx, func(tpm transport.TPM, parent tpm2.NamedHandle) error {
		ak, err := t.load(tpm, parent)
		if err != nil {
			return err
		}
		defer flush(tpm, ak.Handle)
		for range attempts {
			if e, err = t.quote(tpm, ak, digest); !errors.Is(err, errChanged) {
				return err
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.Encode()
}

func (t *TPM) load(tpm transport.TPM, parent tpm2.NamedHandle) (*tpm2.NamedHandle, error) {
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](t.ak.private)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", privateFile, err)
	}
	loaded, err := tpm2.Load{
		ParentHandle: under(parent), InPrivate: *private,
		InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](t.ak.public),
	}.Execute(tpm)
	if err != nil {
		return nil, fmt.Errorf("TPM2_Load of the attestation key, which another TPM may have made: %w", err)
	}
	return &tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}, nil
}

// quote quotes and reads the PCRs once.
func (t *TPM) quote(tpm transport.TPM, ak *tpm2.NamedHandle, digest []byte) (e evidence.TPMEvidence, err error) {
	quoted, err := tpm2.Quote{
		SignHandle:     under(*ak),
		QualifyingData: tpm2.TPM2BData{Buffer: digest},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      selection(t.options.PCRs),
	}.Execute(tpm)
	if err != nil {
		return e, fmt.Errorf("TPM2_Quote: %w", err)
	}
	attested, err := quoted.Quoted.Contents()
	if err != nil {
		return e, err
	}
	info, err := attested.Attested.Quote()
	if err != nil {
		return e, err
	}
	values, err := readPCRs(tpm, t.options.PCRs)
	if err != nil {
		return e, err
	}
	sum := crypto.SHA256.New()
	for _, pcr := range t.options.PCRs {
		sum.Write(values[pcr])
	}
	if !bytes.Equal(sum.Sum(nil), info.PCRDigest.Buffer) {
		return e, errChanged
	}
	return evidence.TPMEvidence{
		Attest: quoted.Quoted.Bytes(), Signature: tpm2.Marshal(quoted.Signature),
		AK: t.ak.public, PCRs: values, Chain: t.options.Chain,
	}, nil
}

// readPCRs reads PCRs, of which a TPM tells only some at once (TPM 2.0 Library part 3,
// TPM2_PCR_Read).
func readPCRs(tpm transport.TPM, pcrs []int) (map[int][]byte, error) {
	values := map[int][]byte{}
	for left := pcrs; len(left) > 0; {
		read, err := tpm2.PCRRead{PCRSelectionIn: selection(left)}.Execute(tpm)
		if err != nil {
			return nil, fmt.Errorf("TPM2_PCR_Read: %w", err)
		}
		digests := read.PCRValues.Digests
		if len(digests) == 0 || len(digests) > len(left) {
			return nil, fmt.Errorf("the TPM has no SHA-256 bank with PCRs %d", left)
		}
		for i, d := range digests {
			values[left[i]] = d.Buffer
		}
		left = left[len(digests):]
	}
	return values, nil
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	octets := make([]byte, (maxPCR+1)/8)
	for _, pcr := range pcrs {
		octets[pcr/8] |= 1 << (pcr % 8)
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: octets}}}
}

// with connects and makes the storage root key of the owner, under which the attestation
// key stands. The TPM derives it from its seed, the same each time, so nothing of it is kept.
func (t *TPM) with(ctx context.Context, do func(transport.TPM, tpm2.NamedHandle) error) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tpm, err := connect(ctx, t.options.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tpm.Close()) }()
	root, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("TPM2_CreatePrimary of the storage root key: %w", err)
	}
	defer flush(tpm, root.ObjectHandle)
	return do(tpm, tpm2.NamedHandle{Handle: root.ObjectHandle, Name: root.Name})
}

// under authorizes the use of a key that has an empty password.
func under(h tpm2.NamedHandle) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: tpm2.PasswordAuth(nil)}
}

// flush frees the slot of a transient object. A TPM that cannot be reached any more has
// said so before.
func flush(tpm transport.TPM, h tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: h}.Execute(tpm)
}
