package evidence

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/go-tpm/tpm2"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TPMEvidence is a quote of a TPM 2.0 (TPM 2.0 Library part 3, TPM2_Quote) together with
// what a verifier needs to check it; [MediaTPM] names it. In CDDL:
//
//	tpm2-quote = {
//	  1 => bytes,              ; TPMS_ATTEST, as it was signed
//	  2 => bytes,              ; TPMT_SIGNATURE
//	  3 => bytes,              ; TPMT_PUBLIC of the attestation key
//	  4 => { + pcr => bytes }, ; the values of exactly the PCRs that were quoted
//	  ? 5 => [ + bytes ],      ; X.509 certificates of the attestation key, leaf first
//	  ? 6 => bytes             ; event log, kept and not replayed
//	}
//	pcr = 0..23
//
// The quote selects PCRs of one bank, SHA-256 or SHA-384. Its extraData answers the
// challenge: the challenge itself, or the SHA-256 of the claims set of a bound bundle.
type TPMEvidence struct {
	Attest    []byte
	Signature []byte
	AK        []byte
	PCRs      map[int][]byte
	Chain     [][]byte
	EventLog  []byte
}

// Labels of a TPMEvidence.
const (
	tpmAttest    = 1
	tpmSignature = 2
	tpmAK        = 3
	tpmPCRs      = 4
	tpmChain     = 5
	tpmEventLog  = 6
)

// Caps on the parts of a TPMEvidence.
const (
	maxTPMStructure = 4096
	maxPCR          = 23
	maxChain        = 5
	maxCertificate  = 8192
)

// Encode encodes the quote.
func (q TPMEvidence) Encode() ([]byte, error) {
	m := map[int]any{tpmAttest: q.Attest, tpmSignature: q.Signature, tpmAK: q.AK, tpmPCRs: q.PCRs}
	if len(q.Chain) > 0 {
		m[tpmChain] = q.Chain
	}
	if len(q.EventLog) > 0 {
		m[tpmEventLog] = q.EventLog
	}
	return cosekit.Marshal(m)
}

// TPMQuote is a TPMEvidence with its structures decoded. Nothing of it is verified.
type TPMQuote struct {
	TPMEvidence
	Quoted    *tpm2.TPMSAttest
	Info      *tpm2.TPMSQuoteInfo
	Signed    *tpm2.TPMTSignature
	Public    *tpm2.TPMTPublic
	Key       crypto.PublicKey // of the attestation key: *ecdsa.PublicKey or *rsa.PublicKey
	Bank      crypto.Hash      // of the PCRs
	Selection []int            // the quoted PCRs, in the order in which they are digested
}

// ParseTPMQuote decodes a TPMEvidence, strictly: no member that it does not know, no byte behind
// a structure, and a value for each PCR that was quoted and for no other.
func ParseTPMQuote(payload []byte) (*TPMQuote, error) {
	if len(payload) > attest.MaxTokenSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(payload), attest.MaxTokenSize)
	}
	e, err := decodeTPM(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	q := &TPMQuote{TPMEvidence: e}
	if err := q.decode(); err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	return q, nil
}

func decodeTPM(payload []byte) (e TPMEvidence, err error) {
	if err := cosekit.Validate(payload); err != nil {
		return e, err
	}
	pairs, err := cosekit.Pairs(payload)
	if err != nil {
		return e, err
	}
	for _, p := range pairs {
		label, err := cosekit.Int(p.Key)
		if err != nil {
			return e, fmt.Errorf("label: %w", err)
		}
		switch label {
		case tpmAttest:
			e.Attest, err = bytesUpTo(p.Value, maxTPMStructure)
		case tpmSignature:
			e.Signature, err = bytesUpTo(p.Value, maxTPMStructure)
		case tpmAK:
			e.AK, err = bytesUpTo(p.Value, maxTPMStructure)
		case tpmPCRs:
			e.PCRs, err = decodePCRs(p.Value)
		case tpmChain:
			e.Chain, err = decodeChain(p.Value)
		case tpmEventLog:
			e.EventLog, err = bytesUpTo(p.Value, attest.MaxTokenSize)
		default:
			err = errors.New("not a member of a quote")
		}
		if err != nil {
			return e, fmt.Errorf("member %d: %w", label, err)
		}
	}
	if e.Attest == nil || e.Signature == nil || e.AK == nil || e.PCRs == nil {
		return e, errors.New("members 1, 2, 3 and 4 are required")
	}
	return e, nil
}

// bytesUpTo reads a byte string that is neither empty nor larger than most.
func bytesUpTo(raw cosekit.RawMessage, most int) ([]byte, error) {
	b, err := cosekit.Bytes(raw)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || len(b) > most {
		return nil, fmt.Errorf("%d bytes, want 1 to %d", len(b), most)
	}
	return b, nil
}

func decodePCRs(raw cosekit.RawMessage) (map[int][]byte, error) {
	pairs, err := cosekit.Pairs(raw)
	if err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, errors.New("no PCR")
	}
	values := map[int][]byte{}
	for _, p := range pairs {
		number, err := cosekit.Uint(p.Key)
		if err != nil || number > maxPCR {
			return nil, fmt.Errorf("a PCR has a number from 0 to %d", maxPCR)
		}
		if values[int(number)], err = bytesUpTo(p.Value, crypto.SHA512.Size()); err != nil {
			return nil, fmt.Errorf("PCR %d: %w", number, err)
		}
	}
	return values, nil
}

// decodeChain reads DER certificates, leaf first. It does not parse them.
func decodeChain(raw cosekit.RawMessage) ([][]byte, error) {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 || len(items) > maxChain {
		return nil, fmt.Errorf("%d certificates, want 1 to %d", len(items), maxChain)
	}
	chain := make([][]byte, len(items))
	for i, item := range items {
		if chain[i], err = bytesUpTo(item, maxCertificate); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i, err)
		}
	}
	return chain, nil
}

func (q *TPMQuote) decode() (err error) {
	if q.Quoted, err = tpmStructure[tpm2.TPMSAttest](q.Attest); err != nil {
		return fmt.Errorf("TPMS_ATTEST: %w", err)
	}
	if q.Signed, err = tpmStructure[tpm2.TPMTSignature](q.Signature); err != nil {
		return fmt.Errorf("TPMT_SIGNATURE: %w", err)
	}
	if q.Public, err = tpmStructure[tpm2.TPMTPublic](q.AK); err != nil {
		return fmt.Errorf("TPMT_PUBLIC of the attestation key: %w", err)
	}
	if q.Key, err = tpmKey(q.Public); err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	if q.Quoted.Magic != tpm2.TPMGeneratedValue || q.Quoted.Type != tpm2.TPMSTAttestQuote {
		return fmt.Errorf("TPMS_ATTEST of type %#x, want a quote", uint16(q.Quoted.Type))
	}
	if q.Info, err = q.Quoted.Attested.Quote(); err != nil {
		return err
	}
	return q.selectPCRs()
}

// tpmStructure decodes exactly one structure. go-tpm overlooks bytes behind it and sizes
// that are cut off, and panics where it meets a union that it cannot write: what it has
// read must therefore be what it would write.
func tpmStructure[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](data []byte) (v *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("%v", p)
		}
	}()
	if v, err = tpm2.Unmarshal[T, P](data); err != nil {
		return nil, err
	}
	if !bytes.Equal(tpm2.Marshal(*v), data) {
		return nil, errors.New("not encoded as the TPM specification says")
	}
	return v, nil
}

// Sizes of RSA attestation keys, in bits.
const (
	minRSA = 2048
	maxRSA = 4096
)

func tpmKey(public *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	key, err := tpm2.Pub(*public)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, errors.New("on another curve than P-256 and P-384")
		}
		if _, err := key.ECDH(); err != nil {
			return nil, err
		}
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA || n > maxRSA {
			return nil, fmt.Errorf("RSA of %d bits, want %d to %d", n, minRSA, maxRSA)
		}
	}
	return key, nil
}

// banks are the PCR banks that are read. SHA-1 is no measurement any more.
var banks = map[tpm2.TPMIAlgHash]crypto.Hash{
	tpm2.TPMAlgSHA256: crypto.SHA256,
	tpm2.TPMAlgSHA384: crypto.SHA384,
}

// selectPCRs finds out which PCRs were quoted (TPML_PCR_SELECTION) and holds that against
// the values that came along.
func (q *TPMQuote) selectPCRs() error {
	if n := len(q.Info.PCRSelect.PCRSelections); n != 1 {
		return fmt.Errorf("a quote of %d PCR banks, want 1", n)
	}
	selection := q.Info.PCRSelect.PCRSelections[0]
	bank, ok := banks[selection.Hash]
	if !ok {
		return fmt.Errorf("PCR bank %#x, want SHA-256 or SHA-384", uint16(selection.Hash))
	}
	q.Bank = bank
	for i, octet := range selection.PCRSelect {
		for bit := range 8 {
			if octet>>bit&1 == 1 {
				q.Selection = append(q.Selection, 8*i+bit)
			}
		}
	}
	for _, pcr := range q.Selection {
		if value, ok := q.PCRs[pcr]; !ok || len(value) != bank.Size() {
			return fmt.Errorf("PCR %d was quoted, and its value has %d bytes, want %d", pcr, len(value), bank.Size())
		}
	}
	for pcr := range q.PCRs {
		if !slices.Contains(q.Selection, pcr) {
			return fmt.Errorf("PCR %d has a value and was not quoted", pcr)
		}
	}
	return nil
}

// readTPM reads a TPMEvidence. Its nonce is the extraData.
func readTPM(m attest.MediaType, payload []byte) (*Reading, error) {
	q, err := ParseTPMQuote(payload)
	if err != nil {
		return nil, err
	}
	claims := &attest.Claims{}
	if nonce := q.Quoted.ExtraData.Buffer; len(nonce) > 0 {
		claims.Nonce = nonce
	}
	return &Reading{Media: m, Claims: claims, said: q}, nil
}

// Document returns what the quote says, by name.
func (q *TPMQuote) Document() map[string]any {
	pcrs := map[string]any{}
	for pcr, value := range q.PCRs {
		pcrs[strconv.Itoa(pcr)] = hex.EncodeToString(value)
	}
	clock := q.Quoted.ClockInfo
	doc := map[string]any{
		"nonce":                hex.EncodeToString(q.Quoted.ExtraData.Buffer),
		"tpm-pcr-bank":         HashName(q.Bank),
		"tpm-pcrs":             pcrs,
		"tpm-pcr-digest":       hex.EncodeToString(q.Info.PCRDigest.Buffer),
		"tpm-firmware-version": fmt.Sprintf("%016x", q.Quoted.FirmwareVersion),
		"tpm-qualified-signer": hex.EncodeToString(q.Quoted.QualifiedSigner.Buffer),
		"tpm-reset-count":      float64(clock.ResetCount),
		"tpm-restart-count":    float64(clock.RestartCount),
		"tpm-clock":            float64(clock.Clock),
		"tpm-clock-safe":       clock.Safe,
	}
	if len(q.EventLog) > 0 {
		doc["tpm-event-log"] = fmt.Sprintf("%d bytes, not replayed", len(q.EventLog))
	}
	return doc
}

// HashName returns the name that CoRIM has for a hash (IANA Named Information registry).
func HashName(h crypto.Hash) string {
	switch h {
	case crypto.SHA256:
		return "sha-256"
	case crypto.SHA384:
		return "sha-384"
	case crypto.SHA512:
		return "sha-512"
	}
	return h.String()
}
