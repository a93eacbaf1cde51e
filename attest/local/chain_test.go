package local

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

type editCertificate = func(*x509.Certificate)

// TestChains holds an EAT with certificates against a TAM that trusts one device CA.
func TestChains(t *testing.T) {
	key := localtest.NewKey(localtest.P256, deviceName)
	root := localtest.NewCA("root", now)
	leaf := func(ca *localtest.CA, edit ...editCertificate) *x509.Certificate {
		return ca.Certify("device", key.Public(), nil, now, edit...)
	}
	uri := func(s string) editCertificate {
		return func(c *x509.Certificate) {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	serialNumber := func(s string) editCertificate { return func(c *x509.Certificate) { c.Subject.SerialNumber = s } }
	deep := func(n int) []*x509.Certificate {
		ca, above := root, []*x509.Certificate(nil)
		for i := range n {
			ca = ca.Intermediate(fmt.Sprint("deep ", i), now)
			above = append([]*x509.Certificate{ca.Certificate}, above...)
		}
		return append([]*x509.Certificate{leaf(ca)}, above...)
	}
	factory := root.Intermediate("factory", now)
	narrow := root.Intermediate("narrow", now, func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"devices.example.com"}, true
	})
	short := root.Intermediate("short", now, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	below := short.Intermediate("below", now)
	other := localtest.NewCA("other", now)
	// Each of these could have issued each: one key, one name, other alternative names.
	twin := func(name string) *x509.Certificate {
		return root.Intermediate("root", now, func(c *x509.Certificate) { c.DNSNames = []string{name} }).Certificate
	}

	for _, test := range []struct {
		name   string
		chain  []*x509.Certificate
		reason string // why it is refused; empty for good
	}{
		{"leaf by the root", []*x509.Certificate{leaf(root)}, ""},
		{"through an intermediate", []*x509.Certificate{leaf(factory), factory.Certificate}, ""},
		{"with the root at the end", []*x509.Certificate{leaf(factory), factory.Certificate, root.Certificate}, ""},
		{"five certificates", deep(4), ""},
		{"six certificates", deep(5), "6 certificates"},
		{"what stands behind an authority", []*x509.Certificate{leaf(root), root.Certificate, other.Certificate}, ""},
		{"in another order", []*x509.Certificate{leaf(below), short.Certificate, below.Certificate}, "send each before its issuer"},
		{"with a certificate too many", []*x509.Certificate{leaf(factory), narrow.Certificate, factory.Certificate}, "send each before its issuer"},
		{"that could go many ways", []*x509.Certificate{leaf(root), twin("a"), twin("b"), twin("c")}, "two certificates of"},
		{"issuer in name only", []*x509.Certificate{localtest.NewCA("root", now).Certify("device", key.Public(), nil, now), factory.Certificate}, "send each before its issuer"},
		{"without the intermediate", []*x509.Certificate{leaf(factory)}, "unknown authority"},
		{"by another root", []*x509.Certificate{leaf(other), other.Certificate}, "unknown authority"},
		{"self-signed", []*x509.Certificate{localtest.NewCA("device itself", now).Certificate}, "is a CA"},
		{"leaf is a CA", []*x509.Certificate{leaf(root, func(c *x509.Certificate) { c.IsCA = true })}, "is a CA"},
		{"for encryption only", []*x509.Certificate{leaf(root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })}, "not for signatures"},
		{"any extended use", []*x509.Certificate{leaf(root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })}, ""},
		{"expired", []*x509.Certificate{leaf(root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })}, "expired"},
		{"not yet valid", []*x509.Certificate{leaf(root, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })}, "expired or is not yet valid"},
		{"intermediate expired", []*x509.Certificate{leaf(expired(root)), expired(root).Certificate}, "expired"},
		{"unknown critical extension", []*x509.Certificate{leaf(root, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		})}, "unhandled critical extension"},
		{"outside the name constraints", []*x509.Certificate{leaf(narrow, uri("https://elsewhere.example/1")), narrow.Certificate}, "not permitted"},
		{"within the name constraints", []*x509.Certificate{leaf(narrow, uri("https://devices.example.com/1")), narrow.Certificate}, ""},
		{"path too long", []*x509.Certificate{leaf(below), below.Certificate, short.Certificate}, "too many intermediates"},
		{"names the device", []*x509.Certificate{leaf(root, uri("urn:ueid:"+hex.EncodeToString(ueid)))}, ""},
		{"names another device", []*x509.Certificate{leaf(root, uri("urn:ueid:02000000000001"))}, "the certificate is of device"},
		{"names no ueid", []*x509.Certificate{leaf(root, uri("urn:ueid:99"))}, "names no ueid"},
		{"ueid as serial number", []*x509.Certificate{leaf(root, serialNumber(hex.EncodeToString(ueid)))}, ""},
		{"other ueid as serial number", []*x509.Certificate{leaf(root, serialNumber("02000000000001"))}, "the certificate is of device"},
		{"serial number that is none", []*x509.Certificate{leaf(root, serialNumber("1234567890ab"))}, ""},
		{"certificate of another key", []*x509.Certificate{root.Certify("other", localtest.NewKey(localtest.P256, "other").Public(), nil, now)}, "signature does not verify"},
		{"RSA key of any size", []*x509.Certificate{root.Certify("rsa", hugeRSA(), nil, now)}, "RSA key of 8192 bits"},
		{"certificate of a key on P-521", []*x509.Certificate{root.Certify("p521", localtest.NewKey(localtest.P521, "other").Public(), nil, now)}, "a key on P-521"},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := &localtest.Trust{CAs: []*x509.Certificate{root.Certificate}}
			token := signEAT(key, map[int]any{33: localtest.Chain(test.chain...)}, challenge, nil)
			r, err := judge(trust, attest.Evidence{Format: attest.EvidenceMediaType, Payload: token, Challenge: challenge},
				attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, Skew: skew})
			switch {
			case test.reason == "" && err != nil:
				t.Fatal(err)
			case test.reason != "" && (err == nil || !strings.Contains(err.Error(), test.reason)):
				t.Fatalf("%v, want %q", err, test.reason)
			case test.reason == "" && r.AttestationKey != key.COSE().PublicKey().Thumbprint():
				t.Errorf("attestation key %s", r.AttestationKey)
			}
		})
	}
}

// Without an authority that could vouch for a chain, nobody looks into it.
func TestChainsWithoutAuthorities(t *testing.T) {
	key := localtest.NewKey(localtest.P256, deviceName)
	token := signEAT(key, map[int]any{33: []byte{0x30}}, challenge, nil)
	r, err := New(&localtest.Trust{}, Options{Clock: func() time.Time { return now }}).Appraise(t.Context(),
		attest.Evidence{Format: attest.EvidenceMediaType, Payload: token, Challenge: challenge})
	if err != nil || r.Claims != nil || !strings.Contains(r.Reason(), "no device CA is registered") {
		t.Errorf("%v, %v", r, err)
	}
}

// Names in certificates are as long as their maker likes, and reasons are not.
func TestReasonsQuoteLittle(t *testing.T) {
	key := localtest.NewKey(localtest.P256, deviceName)
	root, long := localtest.NewCA("root", now), strings.Repeat("long name ", 200)
	named := func(c *x509.Certificate) { c.Subject.CommonName, c.Subject.SerialNumber = long, long }
	for name, leaf := range map[string]*x509.Certificate{
		"good":              root.Certify("device", key.Public(), nil, now, named),
		"a CA":              root.Certify("device", key.Public(), nil, now, named, func(c *x509.Certificate) { c.IsCA = true }),
		"by somebody":       localtest.NewCA("other "+long, now).Certify("device", key.Public(), nil, now, named),
		"by nobody in name": localtest.NewCA("root", now).Intermediate(long, now).Certify("device", key.Public(), nil, now, named),
		"not a ueid": root.Certify("device", key.Public(), nil, now, func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "urn", Opaque: "ueid:" + strings.Repeat("0", 2000)}}
		}),
	} {
		trust := &localtest.Trust{CAs: []*x509.Certificate{root.Certificate}}
		token := signEAT(key, map[int]any{33: localtest.Chain(leaf)}, challenge, nil)
		r, err := New(trust, Options{Clock: func() time.Time { return now }}).Appraise(t.Context(),
			attest.Evidence{Format: attest.EvidenceMediaType, Payload: token, Challenge: challenge})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, e := range r.Vector {
			if len(e.Reason) > maxReason || strings.Count(e.Reason, "long name") > 20 {
				t.Errorf("%s: %s is %d characters: %s", name, e.Name, len(e.Reason), e.Reason)
			}
		}
	}
}

// hugeRSA is the public half of nothing: nobody has to make such a key to send it.
func hugeRSA() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 8191)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func expired(root *localtest.CA) *localtest.CA {
	return root.Intermediate("expired", now, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
}

// A CoRIM file may name the CA of a class of devices, which is trusted for that class.
func TestEndorsedCA(t *testing.T) {
	device := localtest.NewPSA(deviceName)
	ca := localtest.NewCA("maker", now)
	published := device.Published("psa")
	published.Keys = []corim.AttestKey{{
		Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindImplID, Value: device.ImplementationID}},
		Public:      ca.Certificate.PublicKey, Certificate: ca.Certificate,
	}}
	trust := &localtest.Trust{}
	trust.Publish(now, published)
	device.Unprotected = map[int]any{33: localtest.Chain(ca.Certify("device", device.Key.Public(), nil, now))}
	appraise := func() *attest.Result {
		r, err := New(trust, Options{Clock: func() time.Time { return now }}).Appraise(t.Context(),
			attest.Evidence{Format: localtest.PSAFormat, Payload: device.Token(challenge), Challenge: challenge})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := appraise(); r.Status != attest.Affirming {
		t.Errorf("%s", r.Reason())
	}
	device.ImplementationID = make([]byte, 32)
	if r := appraise(); r.Claims != nil || !strings.Contains(r.Reason(), "unknown authority") {
		t.Errorf("a device of another class: %s", r.Reason())
	}
}

// The key that signed is the identity of the hardware, by any curve.
func TestThumbprints(t *testing.T) {
	seen := map[cosekit.Thumbprint]string{}
	for _, kind := range []string{localtest.P256, localtest.P384, localtest.P521, localtest.Ed25519} {
		key := localtest.NewKey(kind, "one")
		got, err := thumbprint(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s has the thumbprint of %s", kind, other)
		}
		seen[got] = kind
		if kind == localtest.P256 || kind == localtest.Ed25519 {
			if want := key.COSE().PublicKey().Thumbprint(); got != want {
				t.Errorf("%s: %s, want %s", kind, got, want)
			}
		}
	}
	if _, err := thumbprint("no key"); err == nil {
		t.Error("a text has a thumbprint")
	}
}
