package teep

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func ptr[T any](v T) *T { return &v }

var bothNumberings = []Numbering{IANA, PreIANA}

// fullMessages has every field of every message set.
func fullMessages() []Message {
	token := []byte("0123456789abcdef")
	report := cosekit.MustMarshal(map[int]any{99: 1})
	attestation := &AttestationPayload{Format: `application/eat+cwt; eat_profile="urn:ietf:rfc:rfc9711"`, Payload: []byte("evidence")}
	digest := suit.SumSHA256([]byte("image"))
	component := suit.ComponentID{[]byte("app"), []byte("hello")}
	unknown := Options{200: {0x18, 0x2a}, 1 << 40: {0x81, 0xf6}}
	return []Message{
		&QueryRequest{
			Token: token, FreshnessMechanisms: []FreshnessMechanism{FreshnessNonce, FreshnessTimestamp},
			Challenge: bytes.Repeat([]byte{7}, 32), Versions: []uint32{0, 1<<32 - 1}, Attestation: attestation,
			SUITReports: [][]byte{report}, CipherSuites: []CipherSuite{SuiteESP256, SuiteEd25519},
			COSEProfiles: TEEPProfiles, DataItems: ItemAttestation | ItemTrustedComponents | 1<<40, Unknown: unknown,
		},
		&QueryResponse{
			Token: token, SelectedVersion: 3, Attestation: attestation, SUITReports: [][]byte{report, report},
			TCList: []suit.PropertyClaims{
				{Component: component, ImageDigest: &digest, ImageSize: ptr(uint64(5)), Other: suit.Parameters{
					Version: &suit.VersionMatch{Comparison: suit.Equal, Version: []int64{1}},
					Other:   map[suit.ParameterCode]cosekit.RawMessage{-1: {0xf6}},
				}},
				{Component: suit.ComponentID{}, ImageSize: ptr(uint64(0))},
			},
			RequestedTCs: []RequestedTC{
				{Component: component},
				{Component: component, MinSequence: ptr(uint64(0)), HaveBinary: true},
			},
			UnneededManifests: []suit.ComponentID{component, {}}, Extensions: []uint32{9}, Unknown: unknown,
		},
		&Update{
			Token: token, UnneededManifests: []suit.ComponentID{component}, Manifests: [][]byte{{0xa0}, {0xa1, 1, 2}},
			Attestation: attestation, ErrCode: ManifestProcessingFailed, ErrMsg: "über", ErrLang: "de", Unknown: unknown,
		},
		&Success{Token: token, Msg: strings.Repeat("m", 128), SUITReports: [][]byte{report}, Unknown: unknown},
		&Error{
			Token: token, Code: 17, ErrMsg: "no", ErrLang: strings.Repeat("l", 35), CipherSuites: []CipherSuite{SuiteEd25519},
			FreshnessMechanisms: []FreshnessMechanism{5}, COSEProfiles: []suit.COSEProfile{suit.ProfileHMACA128KWA128CTR},
			Challenge: bytes.Repeat([]byte{1}, 512), Versions: []uint32{1}, SUITReports: [][]byte{report}, Unknown: unknown,
		},
	}
}

// emptyMessages has the least that each message may carry.
func emptyMessages() []Message {
	return []Message{
		&QueryRequest{CipherSuites: []CipherSuite{SuiteESP256}, COSEProfiles: TEEPProfiles[:1]},
		&QueryResponse{}, &Update{}, &Success{}, &Error{Code: PermanentError},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, n := range bothNumberings {
		for _, m := range append(fullMessages(), emptyMessages()...) {
			checkRoundTrip(t, n, m)
		}
	}
}

// checkRoundTrip encodes and decodes, and holds the encoding to be a fixpoint.
func checkRoundTrip(tb rapid.TB, n Numbering, m Message) {
	tb.Helper()
	payload, err := Encode(n, m)
	if err != nil {
		tb.Fatalf("%s %s: %v", n, m.Kind(), err)
	}
	got, err := Decode(n, payload)
	if err != nil {
		tb.Fatalf("%s %s: %v", n, m.Kind(), err)
	}
	if !reflect.DeepEqual(got, m) {
		tb.Fatalf("%s %s:\ngot  %+v\nwant %+v", n, m.Kind(), got, m)
	}
	again, err := Encode(n, got)
	if err != nil || !bytes.Equal(again, payload) {
		tb.Fatalf("%s %s: encoding is not a fixpoint: %v\n%x\n%x", n, m.Kind(), err, payload, again)
	}
}

// TestFullMessagesAreFull keeps fullMessages honest when a field is added.
func TestFullMessagesAreFull(t *testing.T) {
	for _, m := range fullMessages() {
		v := reflect.ValueOf(m).Elem()
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s: %s is not set", m.Kind(), v.Type().Field(i).Name)
			}
		}
	}
}

// TestNumbers holds the encoding against numbers written down here once more, by
// hand, from the registry and from the drafts.
func TestNumbers(t *testing.T) {
	token := "48 0102030405060708"
	tests := []struct {
		name          string
		m             Message
		iana, preIANA string
	}{
		{"success", &Success{Token: unhex(t, token)[1:], Msg: "m", SUITReports: [][]byte{{0}}},
			"82 04 a3 0a 616d 12 814100 13" + token, "82 05 a3 0b 616d 13 814100 14" + token},
		{"error", &Error{Code: ManifestProcessingFailed, ErrMsg: "m", ErrLang: "en", FreshnessMechanisms: []FreshnessMechanism{0}},
			"83 05 a3 0b 616d 14 8100 15 62656e 0b", "83 06 a3 0c 616d 15 8100 16 62656e 11"},
		{"error of a code that only one numbering has", &Error{Code: 17}, "83 05 a0 11", "83 06 a0 0b"},
		{"error with what is supported", &Error{
			Code: 5, CipherSuites: []CipherSuite{SuiteESP256}, Challenge: make([]byte, 8), Versions: []uint32{0},
			COSEProfiles: []suit.COSEProfile{suit.ProfileESP256ECDHA128GCM},
		},
			"83 05 a4 01 81818212 28 02 480000000000000000 03 8100 04 81842f28381c01 05",
			"83 06 a4 01 81818212 28 02 480000000000000000 03 8100 04 81842f28381c01 05"},
		{"update", &Update{Manifests: [][]byte{{0xa0}}, UnneededManifests: []suit.ComponentID{{{1}}}, ErrCode: 11},
			"82 03 a3 09 8141a0 0e 81814101 16 0b", "82 03 a3 0a 8141a0 0f 81814101 17 11"},
		{"query response", &QueryResponse{
			Attestation: &AttestationPayload{Format: "a/b", Payload: []byte{}}, Extensions: []uint32{1},
			TCList:       []suit.PropertyClaims{{Component: suit.ComponentID{{1}}, ImageSize: ptr(uint64(2))}},
			RequestedTCs: []RequestedTC{{Component: suit.ComponentID{{1}}, MinSequence: ptr(uint64(2)), HaveBinary: true}},
		},
			"82 02 a6 05 00 06 40 07 81a200814101 0e02 08 8101 0c 63612f62 0d 81a3 0f814101 1002 11f5",
			"82 02 a6 06 00 07 40 08 81a200814101 0e02 09 8101 0d 63612f62 0e 81a3 10814101 1102 12f5"},
	}
	for _, tt := range tests {
		for n, want := range map[Numbering]string{IANA: tt.iana, PreIANA: tt.preIANA} {
			got, err := Encode(n, tt.m)
			if err != nil || !bytes.Equal(got, unhex(t, want)) {
				t.Errorf("%s %s:\ngot  %x (%v)\nwant %x", tt.name, n, got, err, unhex(t, want))
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name, payload string
		want          error
	}{
		{"nothing", "", ErrMalformed},
		{"not an array", "a0", ErrMalformed},
		{"empty array", "80", ErrMalformed},
		{"type alone", "8104", ErrMalformed},
		{"type 0", "8200a0", ErrUnknownType},
		{"type 6", "8206a0", ErrUnknownType},
		{"type 2^64-1", "821bffffffffffffffffa0", ErrUnknownType},
		{"negative type", "8220a0", ErrMalformed},
		{"type null", "82f6a0", ErrMalformed},
		{"tagged", "d28204a0", ErrMalformed},
		{"trailing byte", "8204a000", ErrMalformed},
		{"an element too many", "8304a000", ErrMalformed},
		{"an element too few", "8205a0", ErrMalformed},
		{"options null", "8204f6", ErrMalformed},
		{"options an array", "820480", ErrMalformed},
		{"indefinite options", "8204bfff", ErrMalformed},
		{"duplicate option", "8204a2 13 480102030405060708 13 480102030405060708", ErrMalformed},
		{"duplicate option in a longer encoding", "8204a2 13 480102030405060708 1813 480102030405060708", ErrMalformed},
		{"duplicate unknown option", "8204a2 18c8 00 18c8 00", ErrMalformed},
		{"negative option", "8204a1 20 00", ErrMalformed},
		{"text option", "8204a1 6161 00", ErrMalformed},

		{"token of 7 bytes", "8204a1 13 47" + strings.Repeat("00", 7), ErrMalformed},
		{"token of 65 bytes", "8204a1 13 5841" + strings.Repeat("00", 65), ErrMalformed},
		{"token null", "8204a1 13 f6", ErrMalformed},
		{"token text", "8204a1 13 68" + strings.Repeat("61", 8), ErrMalformed},
		{"token an array of numbers", "8204a1 13 88" + strings.Repeat("00", 8), ErrMalformed},
		{"token tagged", "8204a1 13 d82a48" + strings.Repeat("00", 8), ErrMalformed},
		{"empty msg", "8204a1 0a 60", ErrMalformed},
		{"msg of 129 bytes", "8204a1 0a 7881" + strings.Repeat("61", 129), ErrMalformed},
		{"msg that is not UTF-8", "8204a1 0a 61ff", ErrMalformed},
		{"msg bytes", "8204a1 0a 4161", ErrMalformed},
		{"empty suit-reports", "8204a1 12 80", ErrMalformed},
		{"suit-reports not bytes", "8204a1 12 81a0", ErrMalformed},
		{"suit-reports null", "8204a1 12 f6", ErrMalformed},

		{"err-code 0", "8305a000", ErrMalformed},
		{"err-code null", "8305a0f6", ErrMalformed},
		{"err-code bignum", "8305a0c24101", ErrMalformed},
		{"empty err-lang", "8305a1 15 60 01", ErrMalformed},
		{"err-lang of 36 bytes", "8305a1 15 7824" + strings.Repeat("61", 36) + "01", ErrMalformed},
		{"err-msg of 129 bytes", "8305a1 0b 7881" + strings.Repeat("61", 129) + "01", ErrMalformed},
		{"challenge of 7 bytes", "8305a1 02 47" + strings.Repeat("00", 7) + "01", ErrMalformed},
		{"challenge of 513 bytes", "8305a1 02 590201" + strings.Repeat("00", 513) + "01", ErrMalformed},
		{"empty versions", "8305a1 03 80 01", ErrMalformed},
		{"version over 32 bits", "8305a1 03 811b0000000100000000 01", ErrMalformed},
		{"negative version", "8305a1 03 8120 01", ErrMalformed},
		{"empty cipher suites", "8305a1 01 80 01", ErrMalformed},
		{"empty cipher suite", "8305a1 01 8180 01", ErrMalformed},
		{"operation of one", "8305a1 01 81818112 01", ErrMalformed},
		{"operation of three", "8305a1 01 818183122800 01", ErrMalformed},
		{"operation of text", "8305a1 01 818182126161 01", ErrMalformed},
		{"negative COSE type", "8305a1 01 8181822028 01", ErrMalformed},
		{"empty profiles", "8305a1 04 80 01", ErrMalformed},
		{"profile of two", "8305a1 04 81822f28 01", ErrMalformed},
		{"profile of five", "8305a1 04 81852f28381c0100 01", ErrMalformed},
		{"empty freshness", "8305a1 14 80 01", ErrMalformed},

		{"update err-code 0", "8203a1 16 00", ErrMalformed},
		{"empty manifest-list", "8203a1 09 80", ErrMalformed},
		{"manifest not bytes", "8203a1 09 81a0", ErrMalformed},
		{"empty unneeded-manifest-list", "8203a1 0e 80", ErrMalformed},
		{"component of text", "8203a1 0e 81816161", ErrMalformed},
		{"wrapped component with trailing byte", "8203a1 0e 8143814000", ErrMalformed},
		{"wrapped component that is none", "8203a1 0e 8141a0", ErrMalformed},
		{"component wrapped twice", "8203a1 0e 81444381414100", ErrMalformed},
		{"format without payload", "8203a1 0c 63612f62", ErrMalformed},
		{"empty format", "8203a2 06 4100 0c 60", ErrMalformed},
		{"payload null", "8203a1 06 f6", ErrMalformed},

		{"selected-version over 32 bits", "8202a1 05 1b0000000100000000", ErrMalformed},
		{"selected-version null", "8202a1 05 f6", ErrMalformed},
		{"empty ext-list", "8202a1 08 80", ErrMalformed},
		{"empty tc-list", "8202a1 07 80", ErrMalformed},
		{"claims without a property", "8202a1 07 81a100814101", ErrMalformed},
		{"claims without a component", "8202a1 07 81a10e02", ErrMalformed},
		{"empty requested-tc-list", "8202a1 0d 80", ErrMalformed},
		{"requested without component", "8202a1 0d 81a11002", ErrMalformed},
		{"have-binary without number", "8202a1 0d 81a20f814101 11f5", ErrMalformed},
		{"have-binary null", "8202a1 0d 81a30f814101 1002 11f6", ErrMalformed},
		{"requested with more", "8202a1 0d 81a20f814101 1202", ErrMalformed},

		{"request of two elements", "8201a0", ErrMalformed},
		{"request without data items", "8401a08181821228 81842f28381c01", ErrMalformed},
		{"request with no suites", "8501a080 81842f28381c01 01", ErrMalformed},
		{"request with data items null", "8501a081818212 28 81842f28381c01 f6", ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Decode(IANA, unhex(t, tt.payload))
			if !errors.Is(err, tt.want) || m != nil {
				t.Errorf("got %v, %v; want %v", m, err, tt.want)
			}
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	tests := []struct {
		name, payload string
		want          Message
	}{
		{"no selected-version", "8202a0", &QueryResponse{}},
		{"have-binary false", "8202a1 0d 81a20f814101 11f4", &QueryResponse{RequestedTCs: []RequestedTC{{Component: suit.ComponentID{{1}}}}}},
		{"options out of order", "8305a2 15 62656e 0b 616d 01", &Error{Code: 1, ErrMsg: "m", ErrLang: "en"}},
		{"unknown error code", "8305a0 1903e7", &Error{Code: 999}},
		{"wrapped component", "8203a1 0e 8143814101", &Update{UnneededManifests: []suit.ComponentID{{{1}}}}},
		{"wrapped beside bare", "8203a1 0e 8243814101814102", &Update{UnneededManifests: []suit.ComponentID{{{1}}, {{2}}}}},
		{"unknown option", "8204a1 18c8 82f6a0", &Success{Unknown: Options{200: {0x82, 0xf6, 0xa0}}}},
		{"option of another message", "8204a1 09 8141a0", &Success{Unknown: Options{9: {0x81, 0x41, 0xa0}}}},
		{"member of requested-tc-info as an option", "8204a1 11 f5", &Success{Unknown: Options{17: {0xf5}}}},
		{"suite of two unknown operations", "8305a1 01 8182 8218600a 821904003903e7 05",
			&Error{Code: 5, CipherSuites: []CipherSuite{{{COSEType: 96, Algorithm: 10}, {COSEType: 1024, Algorithm: -1000}}}}},
		{"empty payload", "8203a1 06 40", &Update{Attestation: &AttestationPayload{Payload: []byte{}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Decode(IANA, unhex(t, tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(m, tt.want) {
				t.Fatalf("got %+v, want %+v", m, tt.want)
			}
			checkRoundTrip(t, IANA, m)
		})
	}
}

func TestDecodeTruncated(t *testing.T) {
	for _, n := range bothNumberings {
		for _, m := range fullMessages() {
			payload, err := Encode(n, m)
			if err != nil {
				t.Fatal(err)
			}
			for i := range payload {
				if _, err := Decode(n, payload[:i]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s %s cut to %d bytes: got %v, want ErrMalformed", n, m.Kind(), i, err)
				}
			}
		}
	}
}

func TestDecodeDoesNotAlias(t *testing.T) {
	for _, m := range fullMessages() {
		payload, err := Encode(IANA, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(IANA, payload)
		if err != nil {
			t.Fatal(err)
		}
		clear(payload)
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s changed with the buffer it was decoded from", m.Kind())
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	one := suit.ComponentID{{1}}
	tests := map[string]Message{
		"short token":                    &Success{Token: make([]byte, 7)},
		"empty token":                    &Success{Token: []byte{}},
		"long msg":                       &Success{Msg: strings.Repeat("a", 129)},
		"msg that is not UTF-8":          &Success{Msg: "\xff"},
		"no error code":                  &Error{},
		"no cipher suites":               &QueryRequest{COSEProfiles: TEEPProfiles},
		"no profiles":                    &QueryRequest{CipherSuites: []CipherSuite{SuiteESP256}},
		"empty cipher suite":             &Error{Code: 5, CipherSuites: []CipherSuite{{}}},
		"format without payload":         &Update{Attestation: &AttestationPayload{Format: "a/b"}},
		"attestation of nothing":         &QueryResponse{Attestation: &AttestationPayload{}},
		"claims without property":        &QueryResponse{TCList: []suit.PropertyClaims{{Component: one}}},
		"claims with an empty digest":    &QueryResponse{TCList: []suit.PropertyClaims{{Component: one, ImageDigest: &suit.Digest{}}}},
		"have-binary without number":     &QueryResponse{RequestedTCs: []RequestedTC{{Component: one, HaveBinary: true}}},
		"a known option as unknown":      &Success{Unknown: Options{19: {0x48, 1, 2, 3, 4, 5, 6, 7, 8}}},
		"an unknown option that is none": &Success{Unknown: Options{200: {0xff}}},
		"an unknown option of two":       &Success{Unknown: Options{200: {0, 0}}},
		"an empty unknown option":        &Success{Unknown: Options{200: {}}},
	}
	for name, m := range tests {
		if payload, err := Encode(IANA, m); !errors.Is(err, ErrMalformed) || payload != nil {
			t.Errorf("%s: got %x, %v; want ErrMalformed", name, payload, err)
		}
	}
	if _, err := Encode(numberings, &Success{}); !errors.Is(err, ErrNumbering) {
		t.Errorf("no numbering: got %v, want ErrNumbering", err)
	}
	if _, err := Decode(numberings, unhex(t, "8204a0")); !errors.Is(err, ErrNumbering) {
		t.Errorf("no numbering: got %v, want ErrNumbering", err)
	}
}

// TestUnknownOptionsAreOfANumbering: 5 is unknown before IANA, and known after.
func TestUnknownOptionsAreOfANumbering(t *testing.T) {
	m, err := Decode(PreIANA, unhex(t, "8202a2 05 00 06 00"))
	if err != nil {
		t.Fatal(err)
	}
	checkRoundTrip(t, PreIANA, m)
	if _, err := Encode(IANA, m); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed: 5 would become the selected version", err)
	}
}

func TestCheck(t *testing.T) {
	token, challenge := make([]byte, 32), make([]byte, 32)
	nonce := []FreshnessMechanism{FreshnessNonce}
	tests := []struct {
		name string
		m    QueryRequest
		ok   bool
	}{
		{"token, no attestation", QueryRequest{Token: token, DataItems: ItemTrustedComponents}, true},
		{"challenge and attestation", QueryRequest{Challenge: challenge, FreshnessMechanisms: nonce, DataItems: ItemAttestation}, true},
		{"passport", QueryRequest{DataItems: ItemAttestation}, true},
		{"token and attestation", QueryRequest{Token: token, DataItems: ItemAttestation | ItemTrustedComponents}, false},
		{"neither", QueryRequest{DataItems: ItemTrustedComponents}, false},
		{"challenge, no attestation", QueryRequest{Token: token, Challenge: challenge}, false},
		{"freshness, no attestation", QueryRequest{Token: token, FreshnessMechanisms: nonce}, false},
	}
	for _, tt := range tests {
		err := tt.m.Check()
		var fault *ProtocolError
		if tt.ok != (err == nil) || err != nil && (!errors.As(err, &fault) || fault.Code != PermanentError || fault.Msg == "") {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}
