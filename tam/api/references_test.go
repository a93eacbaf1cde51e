package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// references makes a signed CoRIM.
func references(t testing.TB, signer cosekit.Signer, id string, version uint64) []byte {
	t.Helper()
	d, err := corim.ParseDescription([]byte(fmt.Sprintf(`
id: %s
version: %d
statements:
  - about: {vendor: Acme}
    registers: {"7": "sha-256:3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969"}
`, id, version)))
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.Make(nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := u.Sign(signer, "Acme")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func importing(raw []byte) call {
	return call{method: http.MethodPost, path: referencesPath, mediaType: corim.ContentType, body: raw, token: testToken}
}

func TestReferenceValues(t *testing.T) {
	r := newRig(t)
	signer := newSigner(t)
	raw := references(t, signer, "acme/board", 1)
	r.refused(importing(raw), http.StatusUnprocessableEntity, "bad-references")
	var key TrustedKey
	r.want(post("/api/v1/reference-providers", fmt.Sprintf(`{"title":"Acme","publicKey":%q}`, signer.PublicKey().PEM())), http.StatusCreated, &key)
	if e, _ := r.lastEvent(); e.Action != audit.ReferenceSignerAdded || key.Thumbprint != signer.PublicKey().Thumbprint().String() {
		t.Errorf("event %+v, key %+v", e, key)
	}
	var v ReferenceValues
	r.want(importing(raw), http.StatusCreated, &v)
	if v.ID != "acme/board" || v.Version != 1 || v.Signer != key.Thumbprint || v.Size != len(raw) || v.ImportedBy != "operator:admin" || !v.ImportedAt.Equal(now) {
		t.Errorf("values %+v", v)
	}
	r.refused(importing(raw), http.StatusConflict, "exists")
	r.want(importing(references(t, signer, "acme/board", 2)), http.StatusCreated, nil)
	var list []ReferenceValues
	r.want(get(referencesPath), http.StatusOK, &list)
	if len(list) != 2 || list[0] != v || list[1].Version != 2 {
		t.Errorf("list %+v", list)
	}
	var file ReferenceFile
	r.want(get(referencesPath+"/file?id=acme/board&version=1"), http.StatusOK, &file)
	if !bytes.Equal(file.File, raw) || file.Values != v {
		t.Errorf("file %+v", file.Values)
	}

	spoilt := bytes.Clone(raw)
	spoilt[len(spoilt)-1] ^= 1
	for name, body := range map[string][]byte{
		"spoilt signature": spoilt, "truncated": raw[:len(raw)-1], "empty": {}, "not CBOR": []byte("hello"),
		"another signer": references(t, newSigner(t), "acme/board", 3), "too large": make([]byte, corim.MaxFile+1),
	} {
		t.Run(name, func(t *testing.T) { r.in(t).refused(importing(body), http.StatusUnprocessableEntity, "bad-references") })
	}
	r.refused(get(referencesPath+"/file?id=acme/board&version=9"), http.StatusNotFound, "not-found")
	r.refused(get(referencesPath+"/file?id=acme/board"), http.StatusBadRequest, "malformed-request")
	r.refused(get(referencesPath+"/file?id=acme/board&version=-1"), http.StatusBadRequest, "malformed-request")
	r.refused(del(referencesPath+"?id=acme/board&version=1"), http.StatusUnprocessableEntity, "no-reason")
	r.refused(del(referencesPath+"?id=acme/board&version=9&reason=x"), http.StatusNotFound, "not-found")
	r.want(del(referencesPath+"?id=acme/board&version=1&reason=old"), http.StatusNoContent, nil)
	if e, _ := r.lastEvent(); e.Action != audit.ReferencesDeleted || e.Reason != "old" {
		t.Errorf("event %+v", e)
	}
}

// certificate makes a certificate in PEM, of a CA or not.
func certificate(t testing.TB, ca bool, change func(*x509.Certificate)) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Factory 2"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), IsCA: ca, BasicConstraintsValid: true,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestDeviceCAs(t *testing.T) {
	r := newRig(t)
	const path = "/api/v1/device-cas"
	text := certificate(t, true, nil)
	body := func(certificate string) string {
		return fmt.Sprintf(`{"title":"Factory","certificate":%q}`, certificate)
	}
	var ca DeviceCA
	r.want(post(path, body(text)), http.StatusCreated, &ca)
	block, _ := pem.Decode([]byte(text))
	if ca.Fingerprint != fmt.Sprintf("%x", sha256.Sum256(block.Bytes)) || ca.Title != "Factory" || ca.Subject != "CN=Factory 2" || ca.Certificate != text || ca.NotAfter.Year() != 2036 {
		t.Errorf("CA %+v", ca)
	}
	if e, _ := r.lastEvent(); e.Action != audit.DeviceCAAdded || e.Subject != "device-ca:"+ca.Fingerprint {
		t.Errorf("event %+v", e)
	}
	r.refused(post(path, body(text)), http.StatusConflict, "exists")
	var hardware DeviceCA
	other := certificate(t, true, func(c *x509.Certificate) { c.Subject.CommonName = "hardware" })
	with := func(formats string) string {
		return fmt.Sprintf(`{"title":"Factory","certificate":%q,"formats":%s}`, other, formats)
	}
	r.refused(post(path, with(`["pgp"]`)), http.StatusUnprocessableEntity, "bad-certificate")
	r.want(post(path, with(`["psa","tpm"]`)), http.StatusCreated, &hardware)
	if ca.Formats != nil || !slices.Equal(hardware.Formats, []string{"psa", "tpm"}) {
		t.Errorf("formats %q, %q", ca.Formats, hardware.Formats)
	}
	r.want(del(path+"/"+hardware.Fingerprint+"?reason=test"), http.StatusNoContent, nil)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"no CA":       {body(certificate(t, false, nil)), http.StatusUnprocessableEntity, "bad-certificate"},
		"expired":     {body(certificate(t, true, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })), http.StatusUnprocessableEntity, "bad-certificate"},
		"not for CAs": {body(certificate(t, true, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })), http.StatusUnprocessableEntity, "bad-certificate"},
		"not DER":     {body("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), http.StatusUnprocessableEntity, "bad-certificate"},
		"two":         {body(text + certificate(t, true, nil)), http.StatusBadRequest, "malformed-request"},
		"a key":       {body(string(newSigner(t).PublicKey().PEM())), http.StatusBadRequest, "malformed-request"},
		"not PEM":     {body("hello"), http.StatusBadRequest, "malformed-request"},
		"no title":    {fmt.Sprintf(`{"certificate":%q}`, text), http.StatusBadRequest, "malformed-request"},
	} {
		t.Run(name, func(t *testing.T) { r.in(t).refused(post(path, c.body), c.status, c.code) })
	}
	var list []DeviceCA
	r.want(get(path), http.StatusOK, &list)
	if len(list) != 1 || !reflect.DeepEqual(list[0], ca) {
		t.Errorf("list %+v", list)
	}
	r.refused(del(path+"/"+ca.Fingerprint), http.StatusUnprocessableEntity, "no-reason")
	r.refused(del(path+"/"+ca.Fingerprint[:10]+"?reason=x"), http.StatusBadRequest, "malformed-request")
	r.want(del(path+"/"+ca.Fingerprint+"?reason=closed"), http.StatusNoContent, nil)
	r.refused(del(path+"/"+ca.Fingerprint+"?reason=closed"), http.StatusNotFound, "not-found")
}

// TestWhatKeysAreFor: an attestation key is for formats, a provider for products, and what
// nothing is held against is refused.
func TestWhatKeysAreFor(t *testing.T) {
	r := newRig(t)
	body := func(fields string) string {
		return fmt.Sprintf(`{"title":"x","publicKey":%q,%s}`, newSigner(t).PublicKey().PEM(), fields)
	}
	const formats, products = `"formats":["psa","tpm"]`, `"products":["vendor=Acme","instance=ueid:01ce"]`
	var k TrustedKey
	r.want(post("/api/v1/attestation-anchors", body(formats)), http.StatusCreated, &k)
	if !slices.Equal(k.Formats, []string{"psa", "tpm"}) || k.Products != nil {
		t.Errorf("attestation key %+v", k)
	}
	r.want(post("/api/v1/reference-providers", body(products)), http.StatusCreated, &k)
	if !slices.Equal(k.Products, []string{"vendor=Acme", "instance=ueid:01ce"}) {
		t.Errorf("provider %+v", k)
	}
	for _, c := range []struct{ path, fields string }{
		{"attestation-anchors", `"formats":["pgp"]`}, {"attestation-anchors", `"formats":["psa","psa"]`}, {"attestation-anchors", products},
		{"reference-providers", `"products":["Acme"]`}, {"reference-providers", formats},
		{"verifiers", formats}, {"verifiers", products},
	} {
		r.refused(post("/api/v1/"+c.path, body(c.fields)), http.StatusUnprocessableEntity, "bad-anchor")
	}
}

func TestVerifiersAndTheirRemoval(t *testing.T) {
	r := newRig(t)
	const path, anchors = "/api/v1/verifiers", "/api/v1/anchors/"
	key := newSigner(t).PublicKey()
	body := fmt.Sprintf(`{"title":"Veraison","publicKey":%q,"notAfter":"2027-01-01T00:00:00Z"}`, key.PEM())
	var v TrustedKey
	r.want(post(path, body), http.StatusCreated, &v)
	if v.Title != "Veraison" || v.Thumbprint != key.Thumbprint().String() || v.NotAfter.Year() != 2027 {
		t.Errorf("verifier %+v", v)
	}
	r.refused(post(path, body), http.StatusConflict, "exists")
	r.refused(post(path, `{"title":"x","publicKey":"?"}`), http.StatusBadRequest, "malformed-request")
	var list []TrustedKey
	for _, other := range []string{"/api/v1/reference-providers", "/api/v1/attestation-anchors"} {
		r.want(get(other), http.StatusOK, &list)
		if len(list) != 0 {
			t.Errorf("%s: %+v", other, list)
		}
	}
	r.want(get(path), http.StatusOK, &list)
	if len(list) != 1 || !reflect.DeepEqual(list[0], v) {
		t.Errorf("verifiers %+v", list)
	}
	r.refused(del(anchors+v.Thumbprint), http.StatusUnprocessableEntity, "no-reason")
	r.refused(del(anchors+"x?reason=y"), http.StatusBadRequest, "malformed-request")
	r.refused(del(anchors+r.publisher.PublicKey().Thumbprint().String()+"?reason=y"), http.StatusUnprocessableEntity, "bad-anchor")
	r.want(del(anchors+v.Thumbprint+"?reason=lost"), http.StatusNoContent, nil)
	if e, _ := r.lastEvent(); e.Action != audit.AnchorRemoved || e.Details["purpose"] != string(anchor.Verifier) || e.Reason != "lost" {
		t.Errorf("event %+v", e)
	}
	r.refused(del(anchors+v.Thumbprint+"?reason=lost"), http.StatusNotFound, "not-found")
}
