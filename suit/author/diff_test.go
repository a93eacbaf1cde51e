package author

import (
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

const earlierDocument = `
sequence-number: 3
vendor-domain: example.com
class-info: thermostat
version: 1.2.3
manifest-component: app/suit
components:
  - {id: app/hello, payload: {file: hello.wasm, uri: "https://tam.example.com/hello.wasm"}}
  - {id: app/conf, payload: {file: hello.conf, integrated: true}}
conditions: {minimum-battery: 500}
text: {en: {manifest: Hello}}
`

const laterDocument = `
sequence-number: 4
vendor-domain: example.com
class-info: thermostat rev 2
version: 1.3
manifest-component: app/suit
reference-uri: https://example.com/m
components:
  - {id: app/hello, payload: {file: broken.wasm, uri: "https://tam.example.com/hello.wasm", encrypt-to: kek.hex}, metadata: {permissions: list-read}}
  - {id: app/motd, payload: {content: welcome}}
dependencies: [{file: library.suit, integrated: true}]
conditions: {minimum-battery: 700, use-before: 2030-01-01}
invoke: {component: app/hello}
uninstall: false
text: {en: {manifest: Hello again}}
`

func inWords(changes []Change) string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.Kind+" | "+c.Text)
	}
	return strings.Join(lines, "\n")
}

func TestDiff(t *testing.T) {
	dir := folder(t)
	before, after := encode(t, create(t, dir, earlierDocument)), encode(t, create(t, dir, laterDocument))
	changes, err := Diff(before, after)
	if err != nil {
		t.Fatal(err)
	}
	got := inWords(changes)
	position := 0
	for _, want := range []string{
		"sequence-number | the sequence number goes up from 3 to 4\n",
		"version | the version is 1.3, that was 1.2.3\n",
		"reference-uri | the full manifest is at https://example.com/m, that was no address\n",
		"device | it was for class 115b22b1-e161-5af3-926f-7b269633932c and is not any more\n",
		"device | it is for class ",
		"component-removed | app/conf is not listed any more",
		"image | the image of app/hello is sha-256:",
		"size | the size of app/hello is 6 bytes, that was 27 bytes\n",
		"source | the source of app/hello is copy of app/hello/encrypted, encrypted with A128GCM to ",
		"metadata | the metadata of app/hello is sha-256:",
		"component-added | app/motd is new: 7 bytes, sha-256:",
		"component-added | app/hello/encrypted is new: ",
		"dependency | it depends on lib/crypto/suit (sha-256:",
		"condition | minimum-battery 500 mWh of app/hello is not demanded any more\n",
		"condition | use-before 2030-01-01T00:00:00Z of app/hello is demanded now\n",
		"condition | minimum-battery 700 mWh of app/hello is demanded now\n",
		"section | the section dependency-resolution is new: use-before app/hello, minimum-battery app/hello, fetch lib/crypto/suit, dependency-integrity lib/crypto/suit, process-dependency lib/crypto/suit\n",
		"section | the section payload-fetch is new: fetch app/hello/encrypted, image-match app/hello/encrypted\n",
		"section | the section install does other things: ",
		"section | the section validate does other things: dependency-integrity lib/crypto/suit, process-dependency lib/crypto/suit, image-match app/hello, image-match app/motd\n",
		"section | the section invoke is new: ",
		"section | the section uninstall is gone\n",
		"text | the text en: \"Hello\" goes\n",
		"text | the text en: \"Hello again\" is new\n",
		"signer | key ",
		"signer | key ",
	} {
		i := strings.Index(got[position:]+"\n", want)
		if i < 0 {
			t.Fatalf("no %q behind the ones before in\n%s", want, got)
		}
		position += i + 1
	}
	if n := strings.Count(got, "\n") + 1; n != 30 {
		t.Errorf("%d changes:\n%s", n, got)
	}
}

func TestDiffOfSequenceNumbers(t *testing.T) {
	make := func(sequence uint64, id, content string) []byte {
		parsed, err := suit.ParseComponentID(id)
		if err != nil {
			t.Fatal(err)
		}
		m, payloads, err := CreateFrom(description(func(d *Description) {
			d.SequenceNumber, d.ManifestComponent = sequence, parsed
		}), strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return encode(t, &Result{Manifest: m, Payloads: payloads})
	}
	for name, test := range map[string]struct {
		a, b []byte
		want string
	}{
		"down":             {make(4, "a", "x"), make(3, "a", "x"), "the sequence number goes down from 4 to 3: a device that has the first one refuses the second"},
		"same":             {make(4, "a", "x"), make(4, "a", "y"), "the sequence number stays 4 although the manifest changes"},
		"another manifest": {make(4, "a", "x"), make(4, "b", "x"), "it is another manifest, b and not a: a device keeps both"},
	} {
		changes, err := Diff(test.a, test.b)
		if err != nil || !strings.Contains(inWords(changes), test.want) {
			t.Errorf("%s: %v\n%s", name, err, inWords(changes))
		}
	}
	same := make(4, "a", "x")
	if changes, err := Diff(same, same); err != nil || len(changes) > 0 {
		t.Errorf("with itself: %v, %v", changes, err)
	}
	for _, bad := range [][2][]byte{{nil, same}, {same, nil}} {
		if _, err := Diff(bad[0], bad[1]); err == nil {
			t.Error("nothing has a difference")
		}
	}
}
