package ear

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// isJWT and hasTimes tell the forms apart where a fault does.
func (f form) isJWT() bool { return strings.Contains(f.format, "jwt") }

// TestBadClaims spoils what a trusted verifier has signed. Nothing of it is believed.
func TestBadClaims(t *testing.T) {
	for _, test := range []struct {
		name  string
		want  error
		spoil func(f form, c object) bool // false: not in this form
	}{
		{"expired", attest.ErrExpired, func(_ form, c object) bool { c["exp"] = now.Add(-skew).Unix(); return true }},
		{"issued in the future", attest.ErrNotYetValid, func(_ form, c object) bool { c["iat"] = now.Add(skew + time.Second).Unix(); return true }},
		{"not yet valid", attest.ErrNotYetValid, func(_ form, c object) bool { c["nbf"] = now.Add(skew + time.Second).Unix(); return true }},
		{"iat as float", ErrResult, func(_ form, c object) bool { c["iat"] = float(now.Unix()); return true }},
		{"exp as float", ErrResult, func(_ form, c object) bool { c["exp"] = float(now.Add(time.Hour).Unix()); return true }},
		{"iat as text", ErrResult, func(_ form, c object) bool { c["iat"] = "now"; return true }},
		{"iat before 1970", ErrResult, func(_ form, c object) bool { c["iat"] = -1; return true }},
		{"exp after 9999", ErrResult, func(_ form, c object) bool { c["exp"] = latest + 1; return true }},
		{"no iat", ErrResult, inEAR(func(c object) { delete(c, "iat") })},
		{"unknown profile", ErrResult, func(_ form, c object) bool { c["eat_profile"] = "tag:example.com,2026:other"; return true }},
		{"profile of another form", ErrResult, func(_ form, c object) bool { c["eat_profile"] = attest.ProfileEAT; return true }},
		{"no profile", ErrResult, inEAR(func(c object) { delete(c, "eat_profile") })},
		{"profile as number", ErrResult, func(_ form, c object) bool { c["eat_profile"] = 3; return true }},

		{"another challenge", attest.ErrNonce, func(f form, c object) bool { return setNonce(f, c, bytes.Repeat([]byte{1}, 32)) }},
		{"no nonce", attest.ErrNonce, func(f form, c object) bool {
			if f.appraisal != nil {
				delete(f.appraisal(c), "eat_nonce")
			}
			if f.device != nil {
				delete(f.device(c), "eat_nonce")
			}
			delete(c, "eat_nonce")
			return true
		}},
		{"only the verifier's session nonce", attest.ErrNonce, func(f form, c object) bool {
			if f.appraisal == nil {
				return false
			}
			delete(f.appraisal(c), "eat_nonce")
			if f.device != nil {
				delete(f.device(c), "eat_nonce")
			}
			return true
		}},
		{"array of nonces", ErrResult, func(f form, c object) bool { return setNonce(f, c, []any{challenge}) }},
		{"array of session nonces", ErrResult, func(f form, c object) bool { c["eat_nonce"] = []any{challenge, session}; return true }},
		{"short nonce", ErrResult, func(f form, c object) bool { return setNonce(f, c, challenge[:7]) }},
		{"long nonce", ErrResult, func(f form, c object) bool { return setNonce(f, c, make([]byte, 65)) }},
		{"nonce as number", ErrResult, func(f form, c object) bool { return setNonce(f, c, 12345678) }},
		{"two nonces of the evidence", ErrResult, func(f form, c object) bool {
			if f.appraisal == nil || f.device == nil {
				return false
			}
			f.appraisal(c)["eat_nonce"] = session
			return true
		}},

		{"affirming over contraindicated", attest.ErrNotAffirmed, inSubmod(func(s object) { s["ear_trustworthiness_vector"].(object)["executables"] = 96 })},
		{"no vector", attest.ErrNotAffirmed, inSubmod(func(s object) { delete(s, "ear_trustworthiness_vector") })},
		{"empty vector", attest.ErrNotAffirmed, inSubmod(func(s object) { s["ear_trustworthiness_vector"] = object{} })},
		{"vector as list", ErrResult, inSubmod(func(s object) { s["ear_trustworthiness_vector"] = []any{2} })},
		{"element as float", ErrResult, inSubmod(func(s object) { s["ear_trustworthiness_vector"].(object)["hardware"] = float(2) })},
		{"element of 9 bits", ErrResult, inSubmod(func(s object) { s["ear_trustworthiness_vector"].(object)["hardware"] = 258 })},
		{"no status", ErrResult, inSubmod(func(s object) { delete(s, "ear_status") })},
		{"unknown status", ErrResult, inSubmod(func(s object) { s["ear_status"] = 3 })},
		{"status in the way of the other form", ErrResult, func(f form, c object) bool {
			if f.appraisal == nil {
				return false
			}
			if f.appraisal(c)["ear_status"] = any(2); !f.isJWT() {
				f.appraisal(c)["ear_status"] = cosekit.RawMessage(cosekit.MustMarshal("affirming"))
			}
			return true
		}},
		{"no submods", ErrResult, inEAR(func(c object) { delete(c, "submods") })},
		{"empty submods", ErrResult, inEAR(func(c object) { c["submods"] = object{} })},
		{"submods as list", ErrResult, inEAR(func(c object) { c["submods"] = []any{} })},
		{"submod as text", ErrResult, inEAR(func(c object) { c["submods"].(object)["TEE"] = "x" })},
		{"submod without a name", ErrResult, inEAR(func(c object) { c["submods"].(object)[""] = submod(c) })},
		{"submod with a name that hides", ErrResult, inEAR(func(c object) { c["submods"].(object)["A\nB"] = submod(c) })},
		{"too many submods", ErrResult, inEAR(func(c object) {
			for i := range maxSubmods {
				c["submods"].(object)[fmt.Sprint(i)] = submod(c)
			}
		})},
		{"two devices in one result", ErrResult, func(f form, c object) bool {
			if f.appraisal == nil || f.device == nil {
				return false
			}
			c["submods"].(object)["B"] = submod(c)
			return true
		}},

		{"other device", attest.ErrDevice, inDevice(func(c object) { c["ueid"] = append([]byte{1}, bytes.Repeat([]byte{7}, 16)...) })},
		{"short ueid", ErrResult, inDevice(func(c object) { c["ueid"] = []byte{1} })},
		{"oemid of no size", ErrResult, inDevice(func(c object) { c["oemid"] = []byte{1, 2, 3, 4} })},
		{"manifests of no form", ErrResult, inDevice(func(c object) { c["manifests"] = []any{3} })},
		{"TEEP claims of no form", ErrResult, func(f form, c object) bool {
			if f.appraisal == nil || f.device == nil {
				return false
			}
			f.appraisal(c)["ear_teep_claims"] = []any{}
			return true
		}},
		{"claim under its label and its name", ErrResult, func(f form, c object) bool {
			if f.isJWT() || f.appraisal == nil {
				return false
			}
			c["submods"] = cosekit.RawMessage(cosekit.MustMarshal(map[string]any{"TEE": map[any]any{
				1000: 2, "ear_status": 2, 1001: map[int]int{0: 2},
			}}))
			return true
		}},
		{"other agent's cnf", attest.ErrKeyBinding, func(f form, c object) bool {
			c["cnf"] = cosekit.RawMessage(cosekit.MustMarshal(map[int]any{1: testSigner(2).PublicKey()}))
			return f.appraisal == nil
		}},
		{"no cnf", ErrResult, func(f form, c object) bool { delete(c, "cnf"); return f.appraisal == nil }},
	} {
		for _, f := range allForms {
			claims := f.claims()
			if !test.spoil(f, claims) {
				continue
			}
			t.Run(test.name+"/"+f.name, func(t *testing.T) {
				r, err := verify(t, f, claims)
				if err == nil {
					err = believe(r)
				} else if r != nil {
					t.Error("a result comes with the error")
				}
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			})
		}
	}
}

// float is written with a point or an exponent in JSON, as a float in CBOR.
type float float64

func (f float) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%e", float64(f)), nil }
func (f float) MarshalCBOR() ([]byte, error) { return cosekit.Marshal(float64(f)) }

// setNonce sets the nonce that counts for freshness.
func setNonce(f form, c object, nonce any) bool {
	if f.device == nil {
		c["eat_nonce"] = nonce // Veraison tells no other
		return true
	}
	f.device(c)["eat_nonce"] = nonce
	if f.appraisal != nil {
		f.appraisal(c)["eat_nonce"] = nonce
	}
	return true
}

func inEAR(spoil func(object)) func(form, object) bool {
	return func(f form, c object) bool {
		if f.appraisal == nil {
			return false
		}
		spoil(c)
		return true
	}
}

func inSubmod(spoil func(object)) func(form, object) bool {
	return func(f form, c object) bool {
		if f.appraisal == nil {
			return false
		}
		spoil(f.appraisal(c))
		return true
	}
}

func inDevice(spoil func(object)) func(form, object) bool {
	return func(f form, c object) bool {
		if f.device == nil {
			return false
		}
		spoil(f.device(c))
		return true
	}
}

// TestBadTokens has good claims in bad envelopes.
func TestBadTokens(t *testing.T) {
	verifier, stranger := testKeys()["ES256"], testKeys()["stranger"]
	der, err := x509.MarshalPKIXPublicKey(verifier.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, f := range allForms {
		payload := f.encode(t, f.claims())
		good := f.token(t, f.claims())
		changed := bytes.Replace(payload, []byte("tag:"), []byte("TAG:"), 1)
		if f.appraisal == nil {
			changed = bytes.Replace(payload, []byte("board"), []byte("BOARD"), 1)
		}
		bad := map[string]struct {
			token []byte
			want  error
		}{
			"wrong signer":         {f.sign(t, "ES256", stranger, payload), ErrSignature},
			"other algorithm":      {f.sign(t, "ES384", testKeys()["ES384"], payload), ErrSignature},
			"claims changed":       {f.withPayload(good, payload, changed), ErrSignature},
			"oversize":             {append(bytes.Clone(good), make([]byte, MaxSize)...), attest.ErrTooLarge},
			"empty":                {nil, ErrResult},
			"HTML":                 {[]byte("<html><body>Bad Gateway</body></html>"), ErrResult},
			"bytes behind the end": {append(bytes.Clone(good), 'x'), nil},
		}
		add := func(name string, token []byte) {
			bad[name] = struct {
				token []byte
				want  error
			}{token, nil}
		}
		if f.isJWT() {
			jwk := jose.JSONWebKey{Key: stranger.Public(), Algorithm: "ES256"}
			add("alg none", append([]byte(base64url([]byte(`{"alg":"none"}`))+"."+base64url(payload)+"."), ""...))
			add("alg None with a signature", signJWS(t, object{"alg": "None"}, verifier, payload))
			add("no alg", signJWS(t, object{"typ": "JWT"}, verifier, payload))
			for _, secret := range [][]byte{public, der, []byte(base64url(der))} {
				add(fmt.Sprintf("HMAC with the public key, %d bytes", len(secret)), hmacJWT(payload, secret))
			}
			add("RS256", signJWS(t, object{"alg": "RS256"}, verifier, payload))
			add("algorithm of another curve", signJWS(t, object{"alg": "ES384"}, verifier, payload))
			add("crit", signJWS(t, object{"alg": "ES256", "crit": []string{"x"}, "x": 1}, verifier, payload))
			add("b64", signJWS(t, object{"alg": "ES256", "crit": []string{"b64"}, "b64": false}, verifier, payload))
			add("key in the header", signJWS(t, object{"alg": "ES256", "jwk": jwk}, stranger, payload))
			add("URL in the header", signJWS(t, object{"alg": "ES256", "jku": "https://attacker.example/keys"}, stranger, payload))
			add("alg twice", append([]byte(base64url([]byte(`{"alg":"ES256","alg":"ES256"}`))), good[bytes.IndexByte(good, '.'):]...))
			add("JSON serialization", fmt.Appendf(nil, `{"payload":%q,"protected":"","signature":""}`, base64url(payload)))
			add("four parts", append(bytes.Clone(good), ".e30"...))
			for _, where := range []string{`{`, `"submods":{`, `"TEE":{`} {
				add("twice behind "+where, signJWT(t, "ES256", verifier, bytes.Replace(payload, []byte(where), []byte(where+`"iat":1,"iat":1,`), 1)))
			}
			add("claims twice, once escaped", signJWT(t, "ES256", verifier, bytes.Replace(payload, []byte(`{`), []byte(`{"\u0069at":1,`), 1)))
			add("not UTF-8", signJWT(t, "ES256", verifier, bytes.Replace(payload, []byte(`{`), []byte("{\"x\":\"\xff\","), 1)))
			add("two values", signJWT(t, "ES256", verifier, append(bytes.Clone(payload), "{}"...)))
			add("a list", signJWT(t, "ES256", verifier, []byte("[]")))
			add("deep", signJWT(t, "ES256", verifier, bytes.Replace(payload, []byte(`{`), []byte(`{"x":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`,`), 1)))
			add("many values", signJWT(t, "ES256", verifier, bytes.Replace(payload, []byte(`{`), []byte(`{"x":[`+strings.Repeat("1,", cosekit.MaxItems)+`1],`), 1)))
		} else {
			add("no alg", signCOSE(t, map[int]any{}, verifier, payload))
			add("HMAC as alg", signCOSE(t, map[int]any{1: 5}, verifier, payload))
			add("algorithm of another curve", signCOSE(t, map[int]any{1: -35}, verifier, payload))
			add("crit", signCOSE(t, map[int]any{1: -7, 2: []any{99}, 99: 1}, verifier, payload))
			add("a MAC", macOf(t, der, payload))
			add("no payload", good[:0:0])
			add("two COSE tags", append([]byte{0xd2}, good...))
			add("two CWT tags", append([]byte{0xd8, 61, 0xd8, 61}, good...))
			add("claim twice", signCWT(t, "ES256", verifier, append(append([]byte{payload[0] + 1}, payload[1:]...), 6, 1)))
			add("bytes behind the claims", signCWT(t, "ES256", verifier, append(bytes.Clone(payload), 0)))
			add("tagged time", signCWT(t, "ES256", verifier, f.encode(t, with(f.claims(), "iat", cosekit.RawMessage{0xc1, 0x1a, 0x6a, 0, 0, 0}))))
			add("not a map", signCWT(t, "ES256", verifier, []byte{0x80}))
		}
		for name, b := range bad {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				r, err := Verify(f.format, b.token, options())
				switch {
				case err == nil || r != nil:
					t.Fatalf("got %+v, %v", r, err)
				case b.want != nil && !errors.Is(err, b.want):
					t.Fatalf("got %v, want %v", err, b.want)
				case b.want == nil && !errors.Is(err, ErrResult) && !errors.Is(err, ErrSignature):
					t.Fatalf("got %v, want an error of this package", err)
				}
			})
		}
		for n := 0; n < len(good); n += 7 {
			if r, err := Verify(f.format, good[:n], options()); err == nil || r != nil {
				t.Fatalf("%s, cut at %d: %v", f.name, n, r)
			}
		}
	}
}

// withPayload puts another payload under a signature.
func (f form) withPayload(token, payload, other []byte) []byte {
	if f.isJWT() {
		payload, other = []byte(base64url(payload)), []byte(base64url(other))
	}
	return bytes.Replace(token, payload, other, 1)
}

func with(c object, name string, v any) object { c[name] = v; return c }

func hmacJWT(payload, secret []byte) []byte {
	input := base64url([]byte(`{"alg":"HS256"}`)) + "." + base64url(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return []byte(input + "." + base64url(mac.Sum(nil)))
}

func macOf(t testing.TB, secret, payload []byte) []byte {
	t.Helper()
	key, err := cosekit.NewSecretKey(secret[:64], nil)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := cosekit.Mac0(key, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// TestFormats: the media type decides how a result is read, and has to fit it.
func TestFormats(t *testing.T) {
	for _, f := range allForms {
		token := f.token(t, f.claims())
		for _, g := range allForms {
			if f.name == g.name {
				continue
			}
			if r, err := Verify(g.format, token, options()); err == nil {
				t.Errorf("%s taken for %s: %+v", f.name, g.name, r)
			}
		}
	}
	for _, format := range []string{"nonsense", "application/json", attest.EvidenceMediaType, `application/eat+jwt; eat_profile="urn:ietf:rfc:rfcXXXX"`} {
		f := allForms[2]
		if _, err := Verify(format, f.token(t, f.claims()), options()); !errors.Is(err, attest.ErrFormat) && !errors.Is(err, ErrResult) {
			t.Errorf("%s: %v", format, err)
		}
	}
	// A JWT may leave its profile to the claims, which does not let every profile in.
	for _, f := range allForms[:2] {
		format, _, _ := strings.Cut(f.format, ";")
		for _, profile := range []string{"tag:example.com,2026:other", attest.ProfileEAT, attest.ProfileTEEP, ""} {
			if r, err := Verify(format, f.token(t, with(f.claims(), "eat_profile", profile)), options()); !errors.Is(err, ErrResult) {
				t.Errorf("%s with profile %q: %+v, %v", f.name, profile, r, err)
			}
		}
	}
	// Without a profile in the media type the one in the claims counts; a CWT is evidence then.
	for _, f := range allForms {
		format, _, _ := strings.Cut(f.format, ";")
		_, err := Verify(format, f.token(t, f.claims()), options())
		if isJWT := strings.HasSuffix(format, "jwt"); isJWT && err != nil || !isJWT && !errors.Is(err, attest.ErrFormat) {
			t.Errorf("%s as %s: %v", f.name, format, err)
		}
	}
}

// TestFormsOfResults: what attest takes for a result is read here, and nothing else is.
func TestFormsOfResults(t *testing.T) {
	tokens := [][]byte{bundle(t, draftEAR(), nil)}
	for _, f := range allForms {
		tokens = append(tokens, f.token(t, f.claims()))
	}
	for _, essence := range []string{
		"application/eat+jwt", "application/eat-jwt", "application/eat+cwt", "application/eat-cwt",
		"application/eat-bun+cbor", "application/eat-bun+json", "application/eat+json", "application/psa-attestation-token",
	} {
		for _, profile := range []string{"", attest.ProfileTEEP, attest.ProfileEAT, attest.ProfileEAR03, attest.ProfileEARVeraison, "tag:example.com,2026:other"} {
			format := attest.MediaType{Type: essence}
			if profile != "" {
				format.Parameters = map[string]string{"eat_profile": profile}
			}
			read := false
			for _, token := range tokens {
				_, err := Verify(format.String(), token, options())
				read = read || err == nil
			}
			if is := attest.IsResult(format.String()); is != read {
				t.Errorf("%s: taken for a result %t, and read %t", format, is, read)
			}
		}
	}
}

func TestKeyIDs(t *testing.T) {
	f := allForms[0]
	o := options()
	o.Keys[0].ID = "right"
	payload := f.encode(t, f.claims())
	for kid, want := range map[string]error{"right": nil, "wrong": ErrSignature} {
		token := signJWS(t, object{"alg": "ES256", "kid": kid}, testKeys()["ES256"], payload)
		if _, err := Verify(f.format, token, o); !errors.Is(err, want) {
			t.Errorf("kid %s: %v", kid, err)
		}
	}
	if _, err := Verify(f.format, f.token(t, f.claims()), o); err != nil {
		t.Errorf("no kid: %v", err)
	}
	o.Keys = nil
	if _, err := Verify(f.format, f.token(t, f.claims()), o); !errors.Is(err, ErrSignature) {
		t.Errorf("no keys: %v", err)
	}
	o.Keys = []Key{{Public: "key"}, {}}
	if _, err := Verify(f.format, f.token(t, f.claims()), o); !errors.Is(err, ErrSignature) {
		t.Errorf("keys that are none: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	for name, key := range testKeys() {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		jwk, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: "id"})
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseKey(block)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := ParseKey(jwk)
		if err != nil || b.ID != "id" {
			t.Fatalf("%s: %+v, %v", name, b, err)
		}
		left, err := a.Thumbprint()
		if err != nil {
			t.Fatal(err)
		}
		if right, err := b.Thumbprint(); err != nil || left != right {
			t.Errorf("%s: thumbprints %s and %s, %v", name, left, right, err)
		}
		if k, err := cosekit.NewPublicKey(key.Public()); err == nil && k.Thumbprint() != left {
			t.Errorf("%s: thumbprint %s, of cosekit %s", name, left, k.Thumbprint())
		}
	}
	for name, data := range map[string]string{
		"nothing": "", "text": "key", "empty JWK": "{}", "long": strings.Repeat(" ", maxKey+1),
		"symmetric":        `{"kty":"oct","k":"AAAA"}`,
		"for encryption":   `{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"for another alg":  `{"kty":"OKP","crv":"Ed25519","alg":"ES256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"a private key":    `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"PEM of a secret":  "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"PEM with nothing": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"certificate":      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		if k, err := ParseKey([]byte(data)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}
