package teep

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		KindQueryRequest.String():         "QueryRequest",
		KindError.String():                "Error",
		Kind(0).String():                  "message kind 0",
		Kind(6).String():                  "message kind 6",
		PermanentError.String():           "ERR_PERMANENT_ERROR",
		ManifestProcessingFailed.String(): "ERR_MANIFEST_PROCESSING_FAILED",
		ErrorCode(0).String():             "error 0",
		ErrorCode(12).String():            "error 12",
		IANA.String():                     "iana",
		PreIANA.String():                  "pre-iana",
		Numbering(2).String():             "numbering 2",
		DataItems(0).String():             "nothing",
		DataItems(3).String():             "attestation, trusted-components",
		DataItems(0x18).String():          "suit-reports, 0x10",
		FreshnessNonce.String():           "nonce",
		FreshnessTimestamp.String():       "timestamp",
		FreshnessMechanism(2).String():    "freshness mechanism 2",
		SuiteESP256.String():              "Sign1 ESP256",
		CipherSuite{{COSEType: 98, Algorithm: -19}, {COSEType: 96, Algorithm: 1}}.String(): "COSE type 98 Ed25519, COSE type 96 A128GCM",
		labelToken.String():                                      "token",
		labelDataItems.String():                                  "data-item-requested",
		(&ProtocolError{Code: TemporaryError}).Error():           "ERR_TEMPORARY_ERROR",
		(&ProtocolError{Code: TemporaryError, Msg: "x"}).Error(): "ERR_TEMPORARY_ERROR: x",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestTablesAreComplete: no number stands twice, none is missing.
func TestTablesAreComplete(t *testing.T) {
	for _, n := range bothNumberings {
		seen := map[uint64]label{}
		for l := range labelDataItems {
			if other, twice := seen[l.number(n)]; twice || l.number(n) == 0 || l.String() == "" {
				t.Errorf("%s: %s and %s have number %d", n, l, other, l.number(n))
			}
			seen[l.number(n)] = l
		}
		for k := KindQueryRequest; k <= KindError; k++ {
			if got, ok := n.kind(kinds[k].numbers[n]); !ok || got != k {
				t.Errorf("%s: %s reads back as %s", n, k, got)
			}
		}
		for code := range uint64(30) {
			if n.errorCode(n.errorCode(code)) != code {
				t.Errorf("%s: error %d does not read back", n, code)
			}
		}
	}
	for c := PermanentError; c <= ManifestProcessingFailed; c++ {
		if !strings.HasPrefix(c.String(), "ERR_") {
			t.Errorf("error %d has no name", uint64(c))
		}
	}
}

func TestNumberingText(t *testing.T) {
	data, err := json.Marshal(bothNumberings)
	if err != nil || string(data) != `["iana","pre-iana"]` {
		t.Fatalf("%s, %v", data, err)
	}
	var got []Numbering
	if err := json.Unmarshal(data, &got); err != nil || got[0] != IANA || got[1] != PreIANA {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "IANA", "draft-26"} {
		n := PreIANA
		if err := n.UnmarshalText([]byte(s)); !errors.Is(err, ErrNumbering) || n != PreIANA {
			t.Errorf("%q: got %v, %v", s, n, err)
		}
	}
	if _, err := Numbering(2).MarshalText(); !errors.Is(err, ErrNumbering) {
		t.Errorf("no numbering: got %v", err)
	}
}

func TestCipherSuites(t *testing.T) {
	if !SuiteESP256.Supported() || !SuiteEd25519.Supported() {
		t.Error("a mandatory suite is not supported")
	}
	for _, s := range []CipherSuite{
		nil,
		{{COSEType: cosekit.TagSign1, Algorithm: cosekit.LegacyES256}},
		{{COSEType: cosekit.TagSign, Algorithm: cosekit.ESP256}},
		append(append(CipherSuite{}, SuiteESP256...), SuiteEd25519...),
	} {
		if s.Supported() || s.Equal(SuiteESP256) {
			t.Errorf("%s passes for a mandatory suite", s)
		}
	}
}

func TestDiagnosticText(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"short":                         "short",
		strings.Repeat("a", 128):        strings.Repeat("a", 128),
		strings.Repeat("a", 129):        strings.Repeat("a", 128),
		strings.Repeat("a", 127) + "ü":  strings.Repeat("a", 127),
		strings.Repeat("a", 126) + "ü":  strings.Repeat("a", 126) + "ü",
		strings.Repeat("a", 125) + "😀b": strings.Repeat("a", 125),
		"bad \xff byte":                 "bad \uFFFD byte",
		strings.Repeat("\xff", 200):     "\uFFFD",
	} {
		if got := DiagnosticText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for n := range 300 {
		if got := DiagnosticText(strings.Repeat("€", n) + "x"); len(got) > maxText || !utf8.ValidString(got) {
			t.Fatalf("%d: %d bytes, valid %v", n, len(got), utf8.ValidString(got))
		}
	}
}
