package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestReportKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets", "reports.pem")
	first := new(server)
	if err := first.loadReportKey(file); err != nil {
		t.Fatal(err)
	}
	again := new(server)
	if err := again.loadReportKey(file); err != nil {
		t.Fatal(err)
	}
	made := first.reportKey.PublicKey().Thumbprint()
	if again.reportKey.PublicKey().Thumbprint() != made {
		t.Error("another key at the second start")
	}
	pem, err := os.ReadFile(first.reportPublic)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := cosekit.ReadAgreementPublicKey(pem); err != nil || public.Thumbprint() != made {
		t.Errorf("the public half: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v, %v", info.Mode(), err)
	}
	for _, c := range []struct {
		damage func() error
		want   string
	}{
		{func() error { return os.Chmod(file, 0o644) }, "chmod 600"},
		{func() error { return os.Remove(file) }, "restore it from a backup"},
	} {
		if err := c.damage(); err != nil {
			t.Fatal(err)
		}
		if err := new(server).loadReportKey(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

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
	if err := s.loadReportKey(c.reportKey()); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run(t.Context(), []string{"keys", "--data", data}, nil, &out, &errs); code != 0 {
		t.Fatalf("%d %s", code, errs.String())
	}
	for _, want := range []string{
		"messages  " + signers.ESP256.PublicKey().Thumbprint().String(), "messages  " + signers.Ed25519.PublicKey().Thumbprint().String(),
		"reports   " + s.reportKey.PublicKey().Thumbprint().String(), "tam-reports.pub.pem",
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
