package cosekit

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"golang.org/x/crypto/chacha20poly1305"
)

// contentAlgorithms are all of them, in an order that does not change.
func contentAlgorithms() []Algorithm {
	var algs []Algorithm
	for alg := range contentCiphers {
		algs = append(algs, alg)
	}
	slices.Sort(algs)
	return algs
}

// reference encrypts with the library's own one-shot constructions.
func reference(tb testing.TB, alg Algorithm, key, iv, aad, plaintext []byte) []byte {
	tb.Helper()
	if alg == ChaCha20Poly1305 {
		aead, err := chacha20poly1305.New(key)
		if err != nil {
			tb.Fatal(err)
		}
		return aead.Seal(nil, iv, plaintext, aad)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		tb.Fatal(err)
	}
	if !authenticates(alg) {
		out := make([]byte, len(plaintext))
		cipher.NewCTR(block, iv).XORKeyStream(out, plaintext)
		return out
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		tb.Fatal(err)
	}
	return aead.Seal(nil, iv, plaintext, aad)
}

// testPass returns a pass with a key that is always the same, and what it is made of.
func testPass(tb testing.TB, alg Algorithm) (p *cipherPass, key, iv, aad []byte) {
	tb.Helper()
	c := contentCiphers[alg]
	random := rand.NewChaCha8([32]byte{byte(alg)})
	key, iv, aad = make([]byte, c.key), make([]byte, c.iv), make([]byte, 21)
	for _, b := range [][]byte{key, iv, aad} {
		if _, err := random.Read(b); err != nil {
			tb.Fatal(err)
		}
	}
	p, err := newCipherPass(alg, key, iv, aad)
	if err != nil {
		tb.Fatal(err)
	}
	return p, key, iv, aad
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// lengthsToTry lie around the blocks, the tag and the pieces.
var lengthsToTry = []int{
	0, 1, 15, 16, 17, 1000, pieceSize - 16, pieceSize - 1, pieceSize, pieceSize + 1,
	pieceSize + 15, pieceSize + 16, pieceSize + 17, 2*pieceSize - 16, 2 * pieceSize, 3*pieceSize + 5,
}

func TestStreamIsTheOneShotConstruction(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"data and EOF": iotest.DataErrReader,
		"halves":       iotest.HalfReader,
	}
	for _, alg := range contentAlgorithms() {
		for _, n := range lengthsToTry {
			for name, wrap := range readers {
				t.Run(fmt.Sprintf("%s/%d/%s", AlgorithmName(alg), n, name), func(t *testing.T) {
					plaintext := noise(n)
					pass, key, iv, aad := testPass(t, alg)
					want := reference(t, alg, key, iv, aad, plaintext)
					var got bytes.Buffer
					if err := pass.seal(&got, wrap(bytes.NewReader(plaintext))); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.Bytes(), want) {
						t.Fatal("another ciphertext than crypto/cipher's")
					}
					pass, _, _, _ = testPass(t, alg)
					opened, err := io.ReadAll(wrap(newOpener(wrap(&got), pass)))
					if err != nil || !bytes.Equal(opened, plaintext) {
						t.Fatalf("%d bytes of plaintext, want %d (%v)", len(opened), n, err)
					}
				})
			}
		}
	}
}

func TestOneByteAtATime(t *testing.T) {
	for _, alg := range contentAlgorithms() {
		pass, key, iv, aad := testPass(t, alg)
		plaintext := noise(pieceSize + 40)
		ciphertext := reference(t, alg, key, iv, aad, plaintext)
		opened, err := io.ReadAll(iotest.OneByteReader(newOpener(iotest.OneByteReader(bytes.NewReader(ciphertext)), pass)))
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Errorf("%s: %d bytes (%v)", AlgorithmName(alg), len(opened), err)
		}
	}
}

// changes are what can happen to a ciphertext of three pieces and a bit.
var changes = map[string]func([]byte) []byte{
	"first bit":            func(c []byte) []byte { c[0] ^= 1; return c },
	"last of a piece":      func(c []byte) []byte { c[pieceSize-1] ^= 0x80; return c },
	"first of a piece":     func(c []byte) []byte { c[pieceSize] ^= 4; return c },
	"last of the text":     func(c []byte) []byte { c[len(c)-tagSize-1] ^= 1; return c },
	"first of the tag":     func(c []byte) []byte { c[len(c)-tagSize] ^= 1; return c },
	"last of the tag":      func(c []byte) []byte { c[len(c)-1] ^= 0x80; return c },
	"one byte less":        func(c []byte) []byte { return c[:len(c)-1] },
	"without its tag":      func(c []byte) []byte { return c[:len(c)-tagSize] },
	"cut after a piece":    func(c []byte) []byte { return c[:2*pieceSize] },
	"cut with a tag":       func(c []byte) []byte { return c[:2*pieceSize+tagSize] },
	"shorter than the tag": func(c []byte) []byte { return c[:tagSize-1] },
	"empty":                func(c []byte) []byte { return c[:0] },
	"one byte more":        func(c []byte) []byte { return append(c, 0) },
	"a block more":         func(c []byte) []byte { return append(c, make([]byte, 16)...) },
	"pieces exchanged": func(c []byte) []byte {
		return slices.Concat(c[pieceSize:2*pieceSize], c[:pieceSize], c[2*pieceSize:])
	},
}

func TestChangedCiphertextDoesNotEnd(t *testing.T) {
	for _, alg := range contentAlgorithms() {
		if !authenticates(alg) {
			continue
		}
		for name, change := range changes {
			t.Run(AlgorithmName(alg)+"/"+name, func(t *testing.T) {
				pass, key, iv, aad := testPass(t, alg)
				ciphertext := change(reference(t, alg, key, iv, aad, noise(3*pieceSize+100)))
				o := newOpener(bytes.NewReader(ciphertext), pass)
				got, err := io.ReadAll(o)
				if !errors.Is(err, ErrDecrypt) {
					t.Fatalf("%d bytes, then %v, want ErrDecrypt", len(got), err)
				}
				if len(got)%pieceSize != 0 {
					t.Errorf("%d bytes given out: the last piece was, before its tag was looked at", len(got))
				}
				if n, err := o.Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrDecrypt) {
					t.Errorf("read again: %d bytes, %v", n, err)
				}
			})
		}
	}
}

// TestSourceThatFails: a download that was cut off is no end of the plaintext or the
// ciphertext, whatever its error.
func TestSourceThatFails(t *testing.T) {
	for _, alg := range contentAlgorithms() {
		for _, fault := range []error{io.ErrUnexpectedEOF, errors.New("the network is gone")} {
			for _, n := range []int{0, 100, pieceSize + tagSize, pieceSize + 200} {
				source := func() io.Reader {
					return io.MultiReader(bytes.NewReader(noise(n)), iotest.ErrReader(fault))
				}
				pass, _, _, _ := testPass(t, alg)
				if _, err := io.ReadAll(newOpener(source(), pass)); err != fault {
					t.Errorf("%s: opening %d bytes: %v, want %v", AlgorithmName(alg), n, err, fault)
				}
				pass, _, _, _ = testPass(t, alg)
				if err := pass.seal(io.Discard, source()); err != fault {
					t.Errorf("%s: sealing %d bytes: %v, want %v", AlgorithmName(alg), n, err, fault)
				}
			}
		}
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestSourceThatGivesNothing(t *testing.T) {
	pass, _, _, _ := testPass(t, A128CTR)
	if _, err := io.ReadAll(newOpener(idle{}, pass)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestDestinationThatFails(t *testing.T) {
	pass, _, _, _ := testPass(t, A128GCM)
	if err := pass.seal(full{}, bytes.NewReader(noise(3))); err == nil {
		t.Error("what could not be written was encrypted")
	}
}

func TestCounterEnds(t *testing.T) {
	if gcmLimit != 1<<36-32 || chachaLimit != 1<<38-64 {
		t.Errorf("limits %d and %d, want those of SP 800-38D and RFC 8439", uint64(gcmLimit), uint64(chachaLimit))
	}
	const left = pieceSize + 10
	for _, alg := range []Algorithm{A128GCM, A256GCM, ChaCha20Poly1305} {
		for n, want := range map[int]error{left: nil, left + 1: ErrAlgorithm} {
			pass, key, iv, aad := testPass(t, alg)
			pass.left = left
			if err := pass.seal(io.Discard, bytes.NewReader(noise(n))); !errors.Is(err, want) {
				t.Errorf("%s: sealing %d bytes of %d: %v", AlgorithmName(alg), n, left, err)
			}
			pass, _, _, _ = testPass(t, alg)
			pass.left = left
			ciphertext := reference(t, alg, key, iv, aad, noise(n))
			if _, err := io.ReadAll(newOpener(bytes.NewReader(ciphertext), pass)); !errors.Is(err, want) {
				t.Errorf("%s: opening %d bytes of %d: %v", AlgorithmName(alg), n, left, err)
			}
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestMemoryIsFlat decrypts what it encrypts at the same time.
func TestMemoryIsFlat(t *testing.T) {
	const most = 1 << 20
	for alg, size := range map[Algorithm]int64{A128GCM: 200 << 20, A128CTR: 200 << 20, ChaCha20Poly1305: 20 << 20} {
		seal, _, _, _ := testPass(t, alg)
		open, _, _, _ := testPass(t, alg)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, w := io.Pipe()
		go func() { w.CloseWithError(seal.seal(w, io.LimitReader(endless{}, size))) }()
		n, err := io.Copy(io.Discard, newOpener(r, open))
		if err != nil || n != size {
			t.Errorf("%s: %d bytes, %v", AlgorithmName(alg), n, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s: %d bytes allocated for %d", AlgorithmName(alg), used, size)
		}
	}
}

// FuzzStream holds streams that come in odd pieces against the one-shot constructions.
func FuzzStream(f *testing.F) {
	f.Add(uint8(0), []byte("key"), []byte("additional data"), []byte("plaintext"), uint16(3))
	f.Add(uint8(3), []byte{}, []byte{}, []byte{}, uint16(0))
	f.Add(uint8(1), []byte{0xff}, make([]byte, 16), make([]byte, 4097), uint16(4096))
	f.Fuzz(func(t *testing.T, which uint8, seed, aad, plaintext []byte, cut uint16) {
		algs := contentAlgorithms()
		alg := algs[int(which)%len(algs)]
		c := contentCiphers[alg]
		key, iv := make([]byte, c.key), make([]byte, c.iv)
		copy(key, seed)
		copy(iv, bytes.ToUpper(seed))
		pass, err := newCipherPass(alg, key, iv, aad)
		if err != nil {
			t.Fatal(err)
		}
		want := reference(t, alg, key, iv, aad, plaintext)
		got := bytes.Clone(plaintext)
		for rest := got; len(rest) > 0; {
			n := min(len(rest), (int(cut)|15)+1)
			pass.stream.XORKeyStream(rest[:n], rest[:n])
			if pass.mac != nil {
				pass.mac.write(rest[:n])
			}
			rest = rest[n:]
		}
		if pass.mac != nil {
			got = append(got, pass.mac.final()...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: in pieces of %d: %x, want %x", AlgorithmName(alg), cut, got, want)
		}
	})
}
