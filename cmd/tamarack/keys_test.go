package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeysCommand(t *testing.T) {
	data := t.TempDir()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"keys", "--data", data}, nil, &out, &errs); code != 1 || !strings.Contains(errs.String(), "first start") {
		t.Errorf("before there are keys: %d %s", code, errs.String())
	}
	s := new(server)
	signers, err := s.loadKeys(filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig("", nil, map[string]string{"data": data})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.loadEncryptionKeys(c.encryptionKey()), s.loadAttestationKeys(filepath.Join(data, "keys"), time.Hour)); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run(t.Context(), []string{"keys", "--data", data}, nil, &out, &errs); code != 0 {
		t.Fatalf("%d %s", code, errs.String())
	}
	for _, want := range []string{
		"messages     " + signers.ESP256.PublicKey().Thumbprint().String(), "messages     " + signers.Ed25519.PublicKey().Thumbprint().String(),
		"reports      " + s.encryption.Agreements[0].PublicKey().Thumbprint().String(), "tam-reports.pub.pem",
		"attestation  ", "tam-attestation.pub.pem", "results      ", "tam-verifier.pub.pem",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestSignatureRuleOfConfig(t *testing.T) {
	for _, rule := range []string{"any", "classical+post-quantum"} {
		c, err := LoadConfig("", nil, map[string]string{"publishers.signatures": rule})
		if err != nil || c.signatureRule().String() != rule {
			t.Errorf("%s: %v", rule, err)
		}
	}
	if _, err := LoadConfig("", nil, map[string]string{"publishers.signatures": "both"}); err == nil || !strings.Contains(err.Error(), "publishers.signatures") {
		t.Errorf("a rule that there is not: %v", err)
	}
}
