package evidence

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TDXEvidence is a quote of Intel TDX; [MediaTDX] names it. In CDDL:
//
//	tdx = [quote: bytes] ; version 4 (Intel TDX DCAP Quoting Library API, appendix 3)
//
// Linux gives the quote as outblob. It brings the certificates of the platform along. The report
// data, all 64 bytes, answers the challenge: the challenge itself, or the SHA-512 of the
// claims set of a bound bundle.
type TDXEvidence struct {
	Quote []byte
}

// Encode encodes the evidence.
func (e TDXEvidence) Encode() ([]byte, error) { return cosekit.Marshal([]any{e.Quote}) }

// TDXQuote is a quote, decoded. Nothing of it is verified.
type TDXQuote struct {
	TDXEvidence
	Signed []byte // header and body, over which Key has signed

	// The body: what the TDX module reports of the trust domain.
	TEETCBSVN      []byte
	MRSEAM         []byte
	MRSignerSEAM   []byte
	SEAMAttributes []byte
	Attributes     []byte
	XFAM           []byte
	MRTD           []byte
	MRConfigID     []byte
	MROwner        []byte
	MROwnerConfig  []byte
	RTMR           [4][]byte
	ReportData     []byte

	// Key is the attestation key of the quoting enclave, on P-256; R and S its signature.
	Key  *ecdsa.PublicKey
	R, S *big.Int

	// The quoting enclave, for whose key the platform vouches.
	Enclave     []byte // its report, which the PCK has signed
	EnclaveR    *big.Int
	EnclaveS    *big.Int
	KeyDigest   [32]byte // of the key and the authentication data beside it
	Certificate []byte   // PCK certificate
	Issuers     [][]byte
	Platform    TDXPlatform
}

// TDXPlatform is what the PCK certificate says of the platform (Intel SGX PCK Certificate
// and Certificate Revocation List Profile, section 1.3.5).
type TDXPlatform struct {
	PPID   []byte // 16 bytes
	FMSPC  []byte // 6 bytes
	PCESVN int
}

// Sizes and offsets in a quote of version 4.
const (
	tdxHeader     = 48
	tdxBody       = 584
	tdxSigned     = tdxHeader + tdxBody
	tdxEnclave    = 384
	maxTDXQuote   = 32 << 10
	tdxVersion    = 4
	tdxECDSAP256  = 2
	tdxTEE        = 0x81
	tdxQEReport   = 6 // kind of certification data: the report of the quoting enclave
	tdxPEMChain   = 5 // kind of certification data: certificates
	ppidSize      = 16
	tdxChainCount = 3
)

// ParseTDXQuote decodes TDXEvidence.
func ParseTDXQuote(payload []byte) (*TDXQuote, error) {
	if len(payload) > maxTDXQuote {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(payload), maxTDXQuote)
	}
	q, err := decodeTDX(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	return q, nil
}

func decodeTDX(payload []byte) (*TDXQuote, error) {
	if err := cosekit.Validate(payload); err != nil {
		return nil, err
	}
	items, err := cosekit.Elements(payload)
	if err != nil {
		return nil, err
	}
	if len(items) != 1 {
		return nil, fmt.Errorf("%d elements, want a quote", len(items))
	}
	quote, err := cosekit.Bytes(items[0])
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	q := &TDXQuote{TDXEvidence: TDXEvidence{quote}}
	c := &cursor{rest: quote}
	q.Signed = c.bytes(tdxSigned)
	signature := c.sized(c.uint32())
	if c.short || slices.ContainsFunc(c.rest, func(octet byte) bool { return octet != 0 }) {
		return nil, errors.New("the quote does not have the size that it says")
	}
	if err := q.decodeBody(); err != nil {
		return nil, err
	}
	return q, q.decodeSignature(signature)
}

// decodeBody reads header and body.
func (q *TDXQuote) decodeBody() error {
	c := &cursor{rest: q.Signed}
	if version := c.uint16(); version != tdxVersion {
		return fmt.Errorf("quote of version %d, want %d", version, tdxVersion)
	}
	if key := c.uint16(); key != tdxECDSAP256 {
		return fmt.Errorf("attestation key of kind %d, want ECDSA on P-256", key)
	}
	if tee := c.uint32(); tee != tdxTEE {
		return fmt.Errorf("quote of a TEE of kind %#x, want TDX", tee)
	}
	c.bytes(tdxHeader - 8)
	q.TEETCBSVN, q.MRSEAM, q.MRSignerSEAM = c.bytes(16), c.bytes(48), c.bytes(48)
	q.SEAMAttributes, q.Attributes, q.XFAM = c.bytes(8), c.bytes(8), c.bytes(8)
	q.MRTD, q.MRConfigID, q.MROwner, q.MROwnerConfig = c.bytes(48), c.bytes(48), c.bytes(48), c.bytes(48)
	for i := range q.RTMR {
		q.RTMR[i] = c.bytes(48)
	}
	q.ReportData = c.bytes(64)
	return nil
}

// decodeSignature reads the signature and all that certifies its key.
func (q *TDXQuote) decodeSignature(data []byte) (err error) {
	c := &cursor{rest: data}
	q.R, q.S = new(big.Int).SetBytes(c.bytes(32)), new(big.Int).SetBytes(c.bytes(32))
	key := c.bytes(64)
	kind := c.uint16()
	certification := &cursor{rest: c.sized(c.uint32())}
	if c.short || len(c.rest) > 0 || kind != tdxQEReport {
		return fmt.Errorf("signature with certification data of kind %d, want the report of a quoting enclave and nothing behind it", kind)
	}
	if q.Key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, key...)); err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	q.Enclave = certification.bytes(tdxEnclave)
	q.EnclaveR, q.EnclaveS = new(big.Int).SetBytes(certification.bytes(32)), new(big.Int).SetBytes(certification.bytes(32))
	q.KeyDigest = sha256.Sum256(slices.Concat(key, certification.sized(uint32(certification.uint16()))))
	kind = certification.uint16()
	chain := certification.sized(certification.uint32())
	if certification.short || len(certification.rest) > 0 || kind != tdxPEMChain {
		return fmt.Errorf("report of the quoting enclave with certification data of kind %d, want certificates and nothing behind them", kind)
	}
	return q.decodeChain(chain)
}

// decodeChain reads certificates in PEM: PCK, intermediate, root.
func (q *TDXQuote) decodeChain(chain []byte) error {
	var ders [][]byte
	// Some libraries leave a zero at the end, as C does.
	for rest := bytes.TrimRight(chain, "\x00"); len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || len(ders) == tdxChainCount {
			return fmt.Errorf("certificate chain is not %d certificates in PEM", tdxChainCount)
		}
		if len(block.Bytes) > maxCertificate {
			return fmt.Errorf("certificate of %d bytes, at most %d", len(block.Bytes), maxCertificate)
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) != tdxChainCount {
		return fmt.Errorf("%d certificates, want %d", len(ders), tdxChainCount)
	}
	q.Certificate, q.Issuers = ders[0], ders[1:]
	pck, err := x509.ParseCertificate(q.Certificate)
	if err != nil {
		return fmt.Errorf("PCK certificate: %w", err)
	}
	if q.Platform, err = readTDXPlatform(pck); err != nil {
		return fmt.Errorf("PCK certificate: %w", err)
	}
	return nil
}

// The extension for SGX of a PCK certificate, and what it holds.
var (
	oidSGX    = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
	oidPPID   = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 1}
	oidTCB    = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 2}
	oidPCESVN = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 2, 17}
	oidFMSPC  = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 4}
)

func readTDXPlatform(pck *x509.Certificate) (p TDXPlatform, err error) {
	i := slices.IndexFunc(pck.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSGX) })
	if i < 0 {
		return p, errors.New("no extension for SGX")
	}
	members, err := sgxMembers(pck.Extensions[i].Value)
	if err != nil {
		return p, err
	}
	if _, err = asn1.Unmarshal(members[oidPPID.String()], &p.PPID); err != nil || len(p.PPID) != ppidSize {
		return p, fmt.Errorf("no PPID of %d bytes", ppidSize)
	}
	if _, err = asn1.Unmarshal(members[oidFMSPC.String()], &p.FMSPC); err != nil {
		return p, errors.New("no FMSPC")
	}
	tcb, err := sgxMembers(members[oidTCB.String()])
	if err != nil {
		return p, fmt.Errorf("TCB: %w", err)
	}
	if _, err = asn1.Unmarshal(tcb[oidPCESVN.String()], &p.PCESVN); err != nil || p.PCESVN < 0 {
		return p, errors.New("no SVN of the PCE")
	}
	return p, nil
}

// sgxMembers reads a sequence of pairs of object identifier and value.
func sgxMembers(der []byte) (map[string][]byte, error) {
	var pairs []struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	if rest, err := asn1.Unmarshal(der, &pairs); err != nil || len(rest) > 0 {
		return nil, errors.New("extension for SGX is no sequence of pairs")
	}
	members := make(map[string][]byte, len(pairs))
	for _, p := range pairs {
		if members[p.ID.String()] != nil {
			return nil, fmt.Errorf("extension for SGX has %s twice", p.ID)
		}
		members[p.ID.String()] = p.Value.FullBytes
	}
	return members, nil
}

// cursor cuts little-endian structures into parts. Once it is short, all that it returns
// is zero.
type cursor struct {
	rest  []byte
	short bool
}

// bytes cuts off n bytes, zeros where there are fewer. n is a constant of the format.
func (c *cursor) bytes(n int) []byte {
	if len(c.rest) < n {
		c.short, c.rest = true, nil
		return make([]byte, n)
	}
	part := c.rest[:n:n]
	c.rest = c.rest[n:]
	return part
}

// sized cuts off as many bytes as the sender says, none where there are fewer.
func (c *cursor) sized(n uint32) []byte {
	if uint64(n) > uint64(len(c.rest)) {
		c.short, c.rest = true, nil
		return nil
	}
	return c.bytes(int(n))
}

func (c *cursor) uint16() uint16 { return binary.LittleEndian.Uint16(c.bytes(2)) }
func (c *cursor) uint32() uint32 { return binary.LittleEndian.Uint32(c.bytes(4)) }

// Debug reports whether the host may look into the trust domain (ATTRIBUTES, bit 0), or
// other bits are set that take its protection away (the rest of the first byte).
func (q *TDXQuote) Debug() bool { return q.Attributes[0] != 0 }

// Hardware names the platform: the SHA-256 of its PPID, which no update changes.
func (p TDXPlatform) Hardware() cosekit.Thumbprint { return sha256.Sum256(p.PPID) }

// readTDX reads TDXEvidence. Its nonce is the report data.
func readTDX(m attest.MediaType, payload []byte) (*Reading, error) {
	q, err := ParseTDXQuote(payload)
	if err != nil {
		return nil, err
	}
	return &Reading{
		Media: m, Claims: &attest.Claims{Nonce: q.ReportData}, Hardware: q.Platform.Hardware(), said: q,
	}, nil
}

// Document returns what the quote says, by name.
func (q *TDXQuote) Document() map[string]any {
	d := map[string]any{
		"nonce":       hex.EncodeToString(q.ReportData),
		"tdx-debug":   q.Debug(),
		"tdx-pce-svn": float64(q.Platform.PCESVN),
		"tdx-ppid":    hex.EncodeToString(q.Platform.PPID),
		"tdx-fmspc":   hex.EncodeToString(q.Platform.FMSPC),
	}
	for name, value := range map[string][]byte{
		"tee-tcb-svn": q.TEETCBSVN, "mrseam": q.MRSEAM, "mrsignerseam": q.MRSignerSEAM,
		"seam-attributes": q.SEAMAttributes, "attributes": q.Attributes, "xfam": q.XFAM, "mrtd": q.MRTD,
		"mrconfigid": q.MRConfigID, "mrowner": q.MROwner, "mrownerconfig": q.MROwnerConfig,
	} {
		d["tdx-"+name] = hex.EncodeToString(value)
	}
	for i, value := range q.RTMR {
		d[fmt.Sprintf("tdx-rtmr%d", i)] = hex.EncodeToString(value)
	}
	return d
}
