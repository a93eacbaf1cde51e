package localtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// TDX is a trust domain on a machine with Intel TDX. Its fields may be spoilt.
type TDX struct {
	Maker    *Maker
	Key      *ecdsa.PrivateKey // of the quoting enclave
	Platform *ecdsa.PrivateKey // provisioning certification key
	PPID     []byte            // 16 bytes
	Chain    []*x509.Certificate
	MRTD     []byte
	RTMR     [4][]byte
	// Debug, the report of the quoting enclave and the signed part of the quote may be
	// changed before they are signed.
	Debug        bool
	SpoilEnclave func(report []byte)
	Spoil        func(signed []byte)
}

// NewTDX makes a trust domain without debugging on a platform of the name.
func NewTDX(m *Maker, platform string) *TDX {
	id := sha256.Sum256([]byte(platform))
	d := &TDX{Maker: m, Key: newKey(elliptic.P256()), Platform: newKey(elliptic.P256()), PPID: id[:16], MRTD: sum384("launch")}
	for i := range d.RTMR {
		d.RTMR[i] = sum384(fmt.Sprint("RTMR ", i))
	}
	d.Certify()
	return d
}

func sum384(s string) []byte {
	sum := sha512.Sum384([]byte(s))
	return sum[:]
}

// Certify has the platform certified.
func (d *TDX) Certify(change ...func(*x509.Certificate)) {
	type pair struct {
		ID    asn1.ObjectIdentifier
		Value any
	}
	sgx := asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
	arc := func(arcs ...int) asn1.ObjectIdentifier { return append(slices.Clone(sgx), arcs...) }
	der, err := asn1.Marshal([]pair{
		{arc(1), d.PPID}, {arc(2), []pair{{arc(2, 1), 3}, {arc(2, 17), 11}}},
		{arc(3), []byte{0, 0}}, {arc(4), []byte{0x50, 0x80, 0x6f, 0, 0, 0}},
	})
	must(err)
	extension := func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{{Id: sgx, Value: der}} }
	pck := d.Maker.Certify("PCK", d.Platform.Public(), append([]func(*x509.Certificate){extension}, change...)...)
	d.Chain = []*x509.Certificate{pck, d.Maker.Authority, d.Maker.Root}
}

// Quote makes a quote of version 4 with the report data.
func (d *TDX) Quote(data []byte) evidence.TDXEvidence {
	signed := binary.LittleEndian.AppendUint16(nil, 4)
	signed = binary.LittleEndian.AppendUint16(signed, 2)
	signed = binary.LittleEndian.AppendUint32(signed, 0x81)
	signed = append(signed, make([]byte, 40)...)
	body := make([]byte, 584)
	copy(body, []byte{3, 0, 4})
	copy(body[136:], d.MRTD)
	for i, value := range d.RTMR {
		copy(body[328+48*i:], value)
	}
	copy(body[520:], data)
	body[123] = 0x10 // SEPT_VE_DISABLE
	if d.Debug {
		body[120] |= 1
	}
	signed = append(signed, body...)
	if d.Spoil != nil {
		d.Spoil(signed)
	}
	signature := slices.Concat(sign(d.Key, signed), d.point(), d.certification())
	return evidence.TDXEvidence{Quote: append(binary.LittleEndian.AppendUint32(signed, uint32(len(signature))), signature...)}
}

// sign returns R and S of a signature with SHA-256.
func sign(key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	must(err)
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func (d *TDX) point() []byte {
	point, err := d.Key.PublicKey.Bytes()
	must(err)
	return point[1:]
}

// certification is the report of the quoting enclave with the certificates behind it.
func (d *TDX) certification() []byte {
	authentication := []byte("authentication data")
	report := make([]byte, 384)
	report[48] = 0x15
	signer, err := hex.DecodeString("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
	must(err)
	copy(report[128:], signer)
	report[256], report[258] = 2, 4
	about := sha256.Sum256(append(d.point(), authentication...))
	copy(report[320:], about[:])
	if d.SpoilEnclave != nil {
		d.SpoilEnclave(report)
	}
	var chain []byte
	for _, c := range d.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	data := slices.Concat(report, sign(d.Platform, report))
	data = append(binary.LittleEndian.AppendUint16(data, uint16(len(authentication))), authentication...)
	data = binary.LittleEndian.AppendUint16(data, 5)
	data = append(binary.LittleEndian.AppendUint32(data, uint32(len(chain))), chain...)
	head := binary.LittleEndian.AppendUint16(nil, 6)
	return append(binary.LittleEndian.AppendUint32(head, uint32(len(data))), data...)
}
