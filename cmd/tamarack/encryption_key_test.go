package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/store"
)

func loadedKeys(t *testing.T, k encryptionKey) *server {
	t.Helper()
	s := &server{log: slog.New(slog.DiscardHandler)}
	if err := s.loadEncryptionKeys(k); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) encryptionThumbprints() (list []string) {
	for _, k := range s.encryption.Agreements {
		list = append(list, k.PublicKey().Thumbprint().String())
	}
	return list
}

func TestEncryptionKey(t *testing.T) {
	k := encryptionKey{filepath.Join(t.TempDir(), "secrets", "reports.pem")}
	first, again := loadedKeys(t, k), loadedKeys(t, k)
	made := first.encryptionThumbprints()[0]
	if again.encryptionThumbprints()[0] != made {
		t.Error("another key at the second start")
	}
	if got := publishedKey(t, k); got != made {
		t.Errorf("the public half is of %s", got)
	}
	if info, err := os.Stat(k.private); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v, %v", info.Mode(), err)
	}
	for _, c := range []struct {
		damage func() error
		want   string
	}{
		{func() error { return os.Chmod(k.private, 0o644) }, "chmod 600"},
		{func() error { return os.Remove(k.private) }, "restore it from a backup"},
	} {
		if err := c.damage(); err != nil {
			t.Fatal(err)
		}
		if err := new(server).loadEncryptionKeys(k); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func publishedKey(t *testing.T, k encryptionKey) string {
	t.Helper()
	pem, err := os.ReadFile(k.public())
	if err != nil {
		t.Fatal(err)
	}
	public, err := cosekit.ReadAgreementPublicKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	return public.Thumbprint().String()
}

func unrecorded(cosekit.Thumbprint, cosekit.Thumbprint) error { return nil }

// What was encrypted to the key before can be read after a rotation, until that key is
// removed; the public half is of a key that the server has, at any time.
func TestRotationKeepsWhatIsUnderWay(t *testing.T) {
	k := encryptionKey{filepath.Join(t.TempDir(), "reports.pem")}
	before := loadedKeys(t, k)
	to := cosekit.Encryption{Content: cosekit.A128GCM, Context: cosekit.EATEncryption, Recipients: []cosekit.Recipient{before.encryption.Agreements[0].PublicKey()}}
	sealed, err := to.Seal([]byte("evidence"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.rotate(time.Unix(1, 0), unrecorded); err != nil {
		t.Fatal(err)
	}
	if publishedKey(t, k) != before.encryptionThumbprints()[0] {
		t.Error("the new key was shown before a server had it")
	}
	var said bytes.Buffer
	after := &server{log: slog.New(slog.NewTextHandler(&said, nil))}
	if err := after.loadEncryptionKeys(k); err != nil {
		t.Fatal(err)
	}
	prints := after.encryptionThumbprints()
	if len(prints) != 2 || prints[1] != before.encryptionThumbprints()[0] || prints[0] == prints[1] || publishedKey(t, k) != prints[0] {
		t.Fatalf("keys %v, published %s", prints, publishedKey(t, k))
	}
	open := func(s *server) error {
		message, err := cosekit.ParseEncrypted(sealed)
		if err != nil {
			return err
		}
		plain, err := message.Open(s.encryption, cosekit.EATEncryption)
		if err == nil && string(plain) != "evidence" {
			t.Errorf("%q", plain)
		}
		return err
	}
	for range 2 {
		if err := open(after); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(said.String(), prints[1]); n != 1 {
		t.Errorf("the use of the retired key was told %d times:\n%s", n, said.String())
	}
	if err := os.RemoveAll(k.retiredDir()); err != nil {
		t.Fatal(err)
	}
	if err := open(loadedKeys(t, k)); !errors.Is(err, cosekit.ErrNoDecryptionKey) {
		t.Errorf("without the retired key: %v", err)
	}
}

// A rotation that ends anywhere leaves the key before or the new one in place, and the
// same command goes on.
func TestRotationInterrupted(t *testing.T) {
	k := encryptionKey{filepath.Join(t.TempDir(), "reports.pem")}
	first := loadedKeys(t, k).encryptionThumbprints()[0]
	killed := errors.New("killed")
	var promised string
	_, _, err := k.rotate(time.Unix(1, 0), func(_, to cosekit.Thumbprint) error {
		promised = to.String()
		return killed
	})
	if !errors.Is(err, killed) {
		t.Fatal(err)
	}
	if got := loadedKeys(t, k).encryptionThumbprints(); len(got) != 1 || got[0] != first {
		t.Errorf("after the interruption: %v, want %s alone", got, first)
	}
	if _, to, err := k.rotate(time.Unix(2, 0), unrecorded); err != nil || to.PublicKey().Thumbprint().String() != promised {
		t.Errorf("not the key of before: %v", err)
	}
	if got := loadedKeys(t, k).encryptionThumbprints(); len(got) != 2 || got[0] != promised || got[1] != first {
		t.Errorf("in the end: %v, want %s, %s", got, promised, first)
	}
	if _, err := os.Stat(k.next()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", k.next(), err)
	}
}

func TestRetiredKeys(t *testing.T) {
	k := encryptionKey{filepath.Join(t.TempDir(), "reports.pem")}
	if _, _, err := k.rotate(time.Unix(1, 0), unrecorded); err == nil || !strings.Contains(err.Error(), "first start") {
		t.Errorf("no key yet: %v", err)
	}
	loadedKeys(t, k)
	for i := range maxRetired {
		if _, _, err := k.rotate(time.Unix(int64(i), 0), unrecorded); err != nil {
			t.Fatal(err)
		}
	}
	list, err := k.retired()
	if err != nil || len(list) != maxRetired || list[0].file < list[1].file {
		t.Fatalf("%v, %v", list, err)
	}
	oldest := list[maxRetired-1].file
	if _, _, err := k.rotate(time.Unix(100, 0), unrecorded); err == nil || !strings.Contains(err.Error(), filepath.Base(oldest)) {
		t.Errorf("one more: %v", err)
	}
	for name, c := range map[string]struct {
		damage func() error
		want   string
	}{
		"readable": {func() error { return os.Chmod(oldest, 0o644) }, "chmod 600"},
		"garbage":  {func() error { return errors.Join(os.Chmod(oldest, 0o600), os.WriteFile(oldest, []byte("x"), 0o600)) }, "no device encrypts to it"},
	} {
		if err := c.damage(); err != nil {
			t.Fatal(err)
		}
		if err := loadErr(k); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := os.Remove(oldest); err != nil {
		t.Fatal(err)
	}
	if got := loadedKeys(t, k).encryptionThumbprints(); len(got) != maxRetired {
		t.Errorf("%d keys", len(got))
	}
}

func loadErr(k encryptionKey) error {
	return (&server{log: slog.New(slog.DiscardHandler)}).loadEncryptionKeys(k)
}

func TestRotateEncryptionCommand(t *testing.T) {
	data := t.TempDir()
	c, err := LoadConfig("", nil, map[string]string{"data": data})
	if err != nil {
		t.Fatal(err)
	}
	k := c.encryptionKey()
	if code, _, fault := runHere(t, "keys", "rotate", "encryption", "--data", data); code != 1 || !strings.Contains(fault, "first start") {
		t.Errorf("before the first start: %d %s", code, fault)
	}
	old := loadedKeys(t, k).encryptionThumbprints()[0]
	if code, _, fault := runHere(t, "keys", "rotate", "encryption", "--data", data); code != 1 || !strings.Contains(fault, "--data") {
		t.Errorf("without a database: %d %s", code, fault)
	}
	db, err := store.OpenSQLite(t.Context(), c.database(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	code, out, fault := runHere(t, "keys", "rotate", "encryption", "--data", data)
	if code != 0 || !strings.Contains(out, "retired  "+old) {
		t.Fatalf("%d %s%s", code, out, fault)
	}
	now := loadedKeys(t, k).encryptionThumbprints()[0]
	err = db.View(t.Context(), func(r tam.Reader) error {
		events, err := r.Events(0, 10)
		if len(events) != 1 || events[0].Action != audit.Action("encryption-key.rotated") || events[0].Subject != "key:"+now || events[0].Details["retired"] != old {
			t.Errorf("events %+v", events)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, fault := runHere(t, "keys", "rotate", "everything"); code != 2 || !strings.Contains(fault, "everything") {
		t.Errorf("a key that there is not: %d %s", code, fault)
	}
	if code, _, _ := runHere(t, "keys", "liszt"); code != 2 {
		t.Errorf("a command that there is not: %d", code)
	}
}

// A device that has the key before, and sends its evidence encrypted to it, is served after
// a rotation, and not any more when that key was removed.
func TestDevicesOfTheRetiredKey(t *testing.T) {
	data := filepath.Join(t.TempDir(), "tam")
	s, _ := serveIn(t, data)
	k := encryptionKey{filepath.Join(data, "keys", "tam-reports.pem")}
	old := filepath.Join(t.TempDir(), "old.pub.pem")
	pem, err := os.ReadFile(s.encryptTo)
	if err == nil {
		err = os.WriteFile(old, pem, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, _, fault := runHere(t, "keys", "rotate", "encryption", "--data", data); code != 0 {
		t.Fatal(fault)
	}
	served := func(s *server, operator *operator, key string) bool {
		t.Helper()
		dev := newDevice(t, s.signers.ESP256, device.TAM{URL: s.teepURL + "/tam", ReportKey: key, EvidenceKey: key})
		if err := operator.addAttestationAnchor(t.Context(), "device", dev.AttestationKey()); err != nil {
			t.Fatal(err)
		}
		if _, err := dev.Poll(t.Context()); err != nil {
			t.Log(err)
		}
		return operator.knows(t.Context(), dev)
	}
	rotated, operator := serveIn(t, data)
	if !served(rotated, operator, old) || !served(rotated, operator, rotated.encryptTo) {
		t.Error("a device was not served after the rotation")
	}
	if err := os.RemoveAll(k.retiredDir()); err != nil {
		t.Fatal(err)
	}
	without, operator := serveIn(t, data)
	if served(without, operator, old) || !served(without, operator, without.encryptTo) {
		t.Error("the key that was removed counts, or the new one does not")
	}
}
