package localtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// Maker is a maker of processors with its certificates. The keys of its root and of its
// intermediate authority are its own.
type Maker struct {
	Root, Authority *x509.Certificate
	root, authority *ecdsa.PrivateKey
	now             time.Time
}

// NewMaker makes a maker whose certificates are valid from an hour before now until an
// hour after it, and begin with name.
func NewMaker(name string, now time.Time) *Maker {
	m := &Maker{root: newKey(elliptic.P384()), authority: newKey(elliptic.P384()), now: now}
	isCA := func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign }
	m.Root = m.issue(name+" root", m.root.Public(), nil, m.root, isCA)
	m.Authority = m.issue(name+" authority", m.authority.Public(), m.Root, m.root, isCA)
	return m
}

// Certify issues a certificate of the intermediate authority.
func (m *Maker) Certify(name string, key crypto.PublicKey, change ...func(*x509.Certificate)) *x509.Certificate {
	return m.issue(name, key, m.Authority, m.authority, change...)
}

func (m *Maker) issue(name string, key crypto.PublicKey, parent *x509.Certificate, by crypto.Signer, change ...func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: m.now.Add(-time.Hour), NotAfter: m.now.Add(time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	must(err)
	c, err := x509.ParseCertificate(der)
	must(err)
	return c
}

func newKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return key
}

// SNP is a guest on a machine with AMD SEV-SNP. Its fields may be spoilt.
type SNP struct {
	Maker       *Maker
	Signer      evidence.SNPSigner
	Key         *ecdsa.PrivateKey
	ChipID      []byte // 64 bytes
	TCB         evidence.SNPTCB
	Policy      uint64
	Measurement []byte
	Certificate *x509.Certificate
	// Table holds the certificates that the host gives, by their GUID.
	Table map[uuid.UUID][]byte
	Spoil func(report []byte) // before it is signed
}

// The GUIDs of the certificates of an SNP.
var (
	GUIDVCEK = uuid.MustParse("63da758d-e664-4564-adc5-f4b93be8accd")
	GUIDVLEK = uuid.MustParse("a8074bc2-a25a-483e-aae6-39c045a0b8a1")
	GUIDASK  = uuid.MustParse("4ab7b379-bbac-4fe4-a02f-05aef327c782")
	GUIDARK  = uuid.MustParse("c0b406a4-a803-4952-9743-3fb6014cd0ae")
)

// NewSNP makes a guest without debugging on a chip of the name.
func NewSNP(m *Maker, signer evidence.SNPSigner, chip string) *SNP {
	id := sha512.Sum512([]byte(chip))
	measurement := sha512.Sum384([]byte("launch"))
	s := &SNP{
		Maker: m, Signer: signer, Key: newKey(elliptic.P384()), ChipID: id[:], Policy: 0x30000,
		TCB: evidence.SNPTCB{Boot: 3, TEE: 1, SNP: 8, Microcode: 115}, Measurement: measurement[:],
	}
	s.Certify()
	return s
}

// Certify has the key of the machine certified for its chip and TCB, and puts that on the table.
func (s *SNP) Certify(change ...func(*x509.Certificate)) {
	extensions := func(c *x509.Certificate) {
		arc := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}
		add := func(value any, arcs ...int) {
			der, err := asn1.Marshal(value)
			must(err)
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: append(slices.Clone(arc), arcs...), Value: der})
		}
		for i, level := range map[int]byte{1: s.TCB.Boot, 2: s.TCB.TEE, 3: s.TCB.SNP, 8: s.TCB.Microcode} {
			add(int(level), 3, i)
		}
		if s.Signer == evidence.VCEK {
			add(s.ChipID, 4)
		}
	}
	s.Certificate = s.Maker.Certify("SEV-"+s.Signer.String(), s.Key.Public(), append([]func(*x509.Certificate){extensions}, change...)...)
	leaf := GUIDVCEK
	if s.Signer == evidence.VLEK {
		leaf = GUIDVLEK
	}
	s.Table = map[uuid.UUID][]byte{
		leaf: s.Certificate.Raw, GUIDASK: s.Maker.Authority.Raw, GUIDARK: s.Maker.Root.Raw,
	}
}

// Report makes a report of version 2 with the report data.
func (s *SNP) Report(data []byte) evidence.SNPEvidence {
	b := make([]byte, evidence.SNPReportSize)
	binary.LittleEndian.PutUint32(b, 2)
	binary.LittleEndian.PutUint64(b[8:], s.Policy)
	binary.LittleEndian.PutUint32(b[0x34:], 1)
	binary.LittleEndian.PutUint32(b[0x48:], uint32(s.Signer)<<2)
	copy(b[0x50:0x90], data)
	copy(b[0x90:], s.Measurement)
	copy(b[0x180:], []byte{s.TCB.Boot, s.TCB.TEE, 0, 0, 0, 0, s.TCB.SNP, s.TCB.Microcode})
	copy(b[0x1a0:], s.ChipID)
	if s.Spoil != nil {
		s.Spoil(b)
	}
	sum := sha512.Sum384(b[:0x2a0])
	r, v, err := ecdsa.Sign(rand.Reader, s.Key, sum[:])
	must(err)
	for i, n := range []*big.Int{r, v} {
		scalar := n.FillBytes(make([]byte, 72))
		slices.Reverse(scalar)
		copy(b[0x2a0+72*i:], scalar)
	}
	return evidence.SNPEvidence{Report: b, Certificates: SNPTable(s.Table)}
}

// SNPTable makes the table that Linux gives as auxblob.
func SNPTable(certificates map[uuid.UUID][]byte) []byte {
	const size = 24
	ids := slices.SortedFunc(maps.Keys(certificates), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	var head, body []byte
	for _, id := range ids {
		head = append(head, id[:]...)
		head = binary.LittleEndian.AppendUint32(head, uint32(size*(len(ids)+1)+len(body)))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(certificates[id])))
		body = append(body, certificates[id]...)
	}
	return append(append(head, make([]byte, size)...), body...)
}
