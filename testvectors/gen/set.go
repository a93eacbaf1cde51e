package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tamarack-tam/tamarack/testvectors"
)

// now is the time at which evidence is judged.
var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// set collects the vectors.
type set struct {
	index testvectors.Index
	files map[string][]byte
}

// generate returns every file by its name, index.json among them.
func generate() map[string][]byte {
	s := &set{files: map[string][]byte{}, index: testvectors.Index{
		About: "Test vectors made by Tamarack (go generate ./testvectors). " +
			"docs/testvectors.md tells how to use them.",
		Warning: "TEST ONLY: the private keys are public. Never trust them.",
		Now:     now, Challenge: challenge,
		Device: testvectors.Device{VendorID: vendor[:], ClassID: class[:], Slot: 1},
		Keys:   map[string]testvectors.Key{},
	}}
	for _, k := range keys {
		s.index.Keys[k.name] = k.entry()
	}
	for _, k := range secrets {
		s.index.Keys[k.name] = k.entry()
	}
	for _, k := range agreements {
		s.index.Keys[k.name] = k.entry()
	}
	s.teep()
	s.wrappers()
	s.envelopes()
	s.updates()
	s.reports()
	s.eats()
	s.encryptedEATs()
	s.bundles()
	s.results()
	s.corims()
	s.coseKeys()
	s.files["index.json"] = s.encode()
	return s.files
}

// encode returns index.json with one line for each vector.
func (s *set) encode() []byte {
	frame := s.index
	frame.Vectors = []testvectors.Vector{}
	lines := make([][]byte, len(s.index.Vectors))
	for i, v := range s.index.Vectors {
		lines[i] = bytes.TrimSuffix(encodeJSON(v, ""), []byte("\n"))
	}
	list := slices.Concat([]byte("[\n  "), bytes.Join(lines, []byte(",\n  ")), []byte("\n ]"))
	return bytes.Replace(encodeJSON(frame, " "), []byte("[]"), list, 1)
}

func encodeJSON(v any, indent string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// valid adds a vector that a recipient accepts; content is the signed payload in it.
func (s *set) valid(v testvectors.Vector, content, data []byte) {
	v.Outcome = testvectors.Valid
	v.Content = must(cbor.Diagnose(content))
	s.add(v, data)
}

// refused adds a vector that a recipient refuses.
func (s *set) refused(v testvectors.Vector, reason testvectors.Reason, data []byte) {
	v.Outcome, v.Reason = testvectors.Refused, reason
	s.add(v, data)
}

func (s *set) add(v testvectors.Vector, data []byte) {
	v.File = v.Name + ".cbor"
	if bytes.HasPrefix(data, []byte("eyJ")) && v.Kind == testvectors.KindResult {
		v.File = v.Name + ".jwt"
	}
	if _, twice := s.files[v.File]; twice {
		panic("two vectors are named " + v.Name)
	}
	sum := sha256.Sum256(data)
	v.SHA256 = sum[:]
	s.files[v.File] = data
	s.index.Vectors = append(s.index.Vectors, v)
}

// must is for what cannot fail, because all that goes in is stated here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bytes32 stands for random bytes: the SHA-256 of a text.
func bytes32(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// long is a text or byte string of a stated size.
func long(size int) string { return strings.Repeat("x", size) }
