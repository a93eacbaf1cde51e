package teep

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// vectorFamilies are the published examples and their numbering. They hold the same
// messages, so that they decode to equal values.
var vectorFamilies = map[string]Numbering{"teep": PreIANA, "teep-iana": IANA}

func vectorRoot(tb testing.TB) (root string, set bool) {
	tb.Helper()
	root = os.Getenv("TEEP_VECTORS")
	return root, root != ""
}

func readVector(tb testing.TB, parts ...string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// vectorPayloads returns the example messages of a family, or none, to seed fuzzing.
func vectorPayloads(tb testing.TB, family string) [][]byte {
	tb.Helper()
	root, set := vectorRoot(tb)
	if !set {
		return nil
	}
	var payloads [][]byte
	for name := range publishedMessages(tb, nil) {
		payloads = append(payloads, readVector(tb, root, family, name+".cbor"))
	}
	return payloads
}

// publishedMessages are the facts of the examples of Appendix D.
func publishedMessages(tb testing.TB, manifest []byte) map[string]Message {
	tb.Helper()
	token := unhex(tb, "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF")
	digest := suit.Digest{
		Algorithm: suit.SHA256,
		Bytes:     unhex(tb, "A7FD6593EAC32EB4BE578278E6540C5C09CFD7D4D234973054833B2B93030609"),
	}
	return map[string]Message{
		"query_request": &QueryRequest{
			Token: token, Versions: []uint32{0}, CipherSuites: []CipherSuite{SuiteESP256, SuiteEd25519},
			COSEProfiles: TEEPProfiles, DataItems: ItemAttestation | ItemTrustedComponents,
		},
		"query_response": &QueryResponse{
			Token: token, Attestation: &AttestationPayload{Payload: []byte{}},
			TCList: []suit.PropertyClaims{{Component: suit.ComponentID{unhex(tb, "0102030405060708090A0B0C0D0E0F")}, ImageDigest: &digest}},
		},
		"update":       &Update{Token: token, Manifests: [][]byte{manifest}},
		"teep_success": &Success{Token: token},
		"teep_error":   &Error{Token: token, ErrMsg: "disk-full", Code: ManifestProcessingFailed},
	}
}

func TestPublishedExamples(t *testing.T) {
	root, set := vectorRoot(t)
	if !set {
		t.Skip("TEEP_VECTORS is not set: it names the folder of the published examples")
	}
	manifest := readVector(t, root, "teep", "update.manifest.cbor")
	for family, n := range vectorFamilies {
		var index struct {
			Vectors []struct{ Name, File, Kind string }
		}
		if err := json.Unmarshal(readVector(t, root, family, "index.json"), &index); err != nil {
			t.Fatal(err)
		}
		want := publishedMessages(t, manifest)
		for _, v := range index.Vectors {
			if v.Kind != "teep-message" {
				continue // manifests and claims, which suit and attest test
			}
			t.Run(family+"/"+v.Name, func(t *testing.T) {
				got, err := Decode(n, readVector(t, root, family, v.File))
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want[v.Name]) {
					t.Fatalf("got  %+v\nwant %+v", got, want[v.Name])
				}
				checkRoundTrip(t, n, got)
			})
			delete(want, v.Name)
		}
		for name := range want {
			t.Errorf("%s: no example %s", family, name)
		}
	}
}

// TestPublishedRequestBreaksTheRule: the example has a token beside the attestation
// bit. It decodes, and Check says so.
func TestPublishedRequestBreaksTheRule(t *testing.T) {
	request := publishedMessages(t, nil)["query_request"].(*QueryRequest)
	if request.Check() == nil {
		t.Error("Check passes a token beside the attestation bit")
	}
}

// TestPublishedExamplesInTheWrongNumbering: the type changes what a message is, the
// labels what its options are. Neither passes for the message that was sent.
func TestPublishedExamplesInTheWrongNumbering(t *testing.T) {
	root, set := vectorRoot(t)
	if !set {
		t.Skip("TEEP_VECTORS is not set: it names the folder of the published examples")
	}
	for family, n := range vectorFamilies {
		wrong := PreIANA - n
		for name, want := range publishedMessages(t, readVector(t, root, "teep", "update.manifest.cbor")) {
			got, err := Decode(wrong, readVector(t, root, family, name+".cbor"))
			if err == nil && reflect.DeepEqual(got, want) {
				t.Errorf("%s/%s decodes the same as %s", family, name, wrong)
			}
			if kind := want.Kind(); err == nil && (kind == KindSuccess || kind == KindError) {
				t.Errorf("%s/%s decodes as %s: %+v", family, name, wrong, got)
			}
		}
	}
}
