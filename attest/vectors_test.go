package attest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// vector is one entry of an index.json of the published examples.
type vector struct {
	Name, File, Kind string
	Expect           struct {
		Labels []int64
		Valid  *bool
	}
}

// vectors reads a family of published examples and their files.
func vectors(t testing.TB, family string) (list []vector, key *cosekit.PublicKey, file func(string) []byte) {
	t.Helper()
	folder := os.Getenv("TEEP_VECTORS")
	if folder == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	file = func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, family, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var index struct {
		Vectors []vector
		Keys    map[string]struct {
			Public string `json:"cose_key_public_hex"`
		}
	}
	if err := json.Unmarshal(file("index.json"), &index); err != nil {
		t.Fatal(err)
	}
	if encoded, ok := index.Keys["t_cose-test-es256"]; ok {
		data, err := hex.DecodeString(encoded.Public)
		if err != nil {
			t.Fatal(err)
		}
		if key, err = cosekit.ParsePublicKey(data); err != nil {
			t.Fatal(err)
		}
	}
	return index.Vectors, key, file
}

// outOfScope are the examples that are not EATs which this package reads, and the
// reason that it gives.
var outOfScope = map[string]string{
	"coswid-hlos":       "CBOR tag",
	"coswid-iot-sw":     "CBOR tag",
	"coswid-key-store":  "CBOR tag",
	"coswid-tee-coswid": "CBOR tag",
	"token-valid_deb":   "a detached EAT bundle (tag 602)",
}

func TestPublishedEATs(t *testing.T) {
	list, key, file := vectors(t, "eat")
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) {
			data := file(v.File)
			if reason, out := outOfScope[v.Name]; out {
				_, asToken := ParseEAT(data)
				_, asClaims := DecodeClaims(data)
				if asToken == nil || asClaims == nil {
					t.Fatal("is read, but should not be")
				}
				if !strings.Contains(asToken.Error()+asClaims.Error(), reason) {
					t.Fatalf("refused for %q and %q, want %q", asToken, asClaims, reason)
				}
				return
			}
			switch v.Kind {
			case "eat-claims-set":
				checkClaimsSet(t, v, data)
			case "eat-cwt":
				checkToken(t, v, data, key)
			default:
				t.Fatalf("kind %s is neither read nor out of scope", v.Kind)
			}
		})
	}
}

func checkClaimsSet(t *testing.T, v vector, data []byte) {
	t.Helper()
	c, err := DecodeClaims(data)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(c.Unknown))
	for _, r := range registered {
		if r.present(c) {
			got = append(got, r.label)
		}
	}
	slices.Sort(got)
	slices.Sort(v.Expect.Labels)
	if !slices.Equal(got, v.Expect.Labels) {
		t.Errorf("claims %v, want %v", got, v.Expect.Labels)
	}
	if err := c.CheckProfile(true); !errors.Is(err, ErrProfile) {
		t.Errorf("no example follows the TEEP profile, but: %v", err)
	}
	checkFixpoint(t, c)
}

// checkFixpoint encodes, decodes and encodes: published examples are not all in
// deterministic order, so their own bytes need not come back.
func checkFixpoint(t *testing.T, c *Claims) {
	t.Helper()
	encoded, err := EncodeClaims(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeClaims(encoded)
	if err != nil || !reflect.DeepEqual(back, c) {
		t.Fatalf("decoded again %+v (%v), want %+v", back, err, c)
	}
	if again, err := EncodeClaims(back); err != nil || !bytes.Equal(again, encoded) {
		t.Fatalf("encoded again %x (%v), want %x", again, err, encoded)
	}
}

func checkToken(t *testing.T, v vector, data []byte, key *cosekit.PublicKey) {
	t.Helper()
	eat, err := ParseEAT(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eat.Verify(key, false); !errors.Is(err, cosekit.ErrAlgorithm) {
		t.Errorf("ES256 without leave: %v", err)
	}
	claims, err := eat.Verify(key, cosekit.AllowLegacy)
	if valid := err == nil; valid != *v.Expect.Valid {
		t.Errorf("valid %t (%v), want %t", valid, err, *v.Expect.Valid)
	}
	if err == nil {
		checkFixpoint(t, claims)
	}
}

// TestPublishedTEEPClaims reads the example of the TEEP draft, which holds its
// SUIT_Reference in an older form and under the label of measurements.
func TestPublishedTEEPClaims(t *testing.T) {
	list, _, file := vectors(t, "teep")
	i := slices.IndexFunc(list, func(v vector) bool { return v.Name == "eat_claims" })
	if i < 0 {
		t.Fatal("the index has no eat_claims")
	}
	data := file(list[i].File)
	c, err := DecodeClaims(data)
	if err != nil {
		t.Fatal(err)
	}
	if c.HWVersion != "1.3.4" || len(c.Confirmation.KeyID) != 32 || c.Confirmation.Key != nil {
		t.Errorf("claims %+v", c)
	}
	if len(c.OtherMeasurements) != 1 || c.OtherMeasurements[0].ContentFormat != ContentFormatCBOR {
		t.Errorf("measurements %+v", c.OtherMeasurements)
	}
	if err := c.CheckProfile(true); !errors.Is(err, ErrProfile) || !strings.HasSuffix(err.Error(), ": manifests (272)") {
		t.Errorf("what the example lacks of its own profile: %v", err)
	}
	checkFixpoint(t, c)
	// The same claims under the right label do follow it.
	moved := bytes.Replace(data, []byte{0x19, 0x01, 0x11}, []byte{0x19, 0x01, 0x10}, 1)
	if c, err = DecodeClaims(moved); err != nil || len(c.OtherManifests) != 1 || c.CheckProfile(true) != nil {
		t.Errorf("with label 272: %+v, %v", c, err)
	}
}
