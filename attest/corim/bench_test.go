package corim

import (
	"crypto"
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// fleet is files with values of some classes of devices each.
func fleet(b *testing.B, files, values int) []*File {
	b.Helper()
	all := make([]*File, files)
	for i := range all {
		u := &Unsigned{ID: fmt.Sprintf("file-%d", i), Version: 1}
		for j := range values {
			u.References = append(u.References, Reference{
				Environment: Environment{ClassID: implID(byte(i)), Vendor: "Acme"},
				Key:         fmt.Sprintf("component-%d", j), Digests: sha256Of(byte(j)),
			})
		}
		all[i] = readFile(b, encoded(b, u))
	}
	return all
}

func BenchmarkNewBase(b *testing.B) {
	files := fleet(b, 100, 50)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewBase(files, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReferences finds the 50 values of one class among 5000.
func BenchmarkReferences(b *testing.B) {
	base, err := NewBase(fleet(b, 100, 50), now)
	if err != nil {
		b.Fatal(err)
	}
	about := Environment{ClassID: implID(42)}
	b.ReportAllocs()
	for b.Loop() {
		if len(base.References(about)) != 50 {
			b.Fatal("not all values")
		}
	}
}

// BenchmarkRead reads a signed file of 50 values; BenchmarkVerify is the signature alone.
func BenchmarkRead(b *testing.B) {
	raw, _ := signedFleet(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	raw, key := signedFleet(b)
	f := readFile(b, raw)
	for b.Loop() {
		if err := f.Verify(now, key); err != nil {
			b.Fatal(err)
		}
	}
}

func signedFleet(b *testing.B) ([]byte, crypto.PublicKey) {
	b.Helper()
	s := newSigner(b, cosekit.ESP256)
	f := fleet(b, 1, 50)[0]
	raw, err := (&Unsigned{ID: f.ID, Version: f.Version, References: f.References()}).Sign(s, "Acme")
	if err != nil {
		b.Fatal(err)
	}
	return raw, publicKey(b, s)
}
