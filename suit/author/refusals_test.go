package author

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// single is a description to which something is added that does not fit.
const single = head + "component: app/hello\npayload: {file: hello.wasm, uri: 'https://tam.example.com/x'}\n"

// Bad descriptions of all kinds. Each message names the line or the key, and says what
// is wrong.
var badDescriptions = []struct{ name, document, want string }{
	// Structure.
	{"unknown key", head + "colour: red\n", "line 5: colour: unknown key"},
	{"unknown inner key", head + "payload:\n  uri: x\n  fiel: y\n", "line 7: payload.fiel: unknown key"},
	{"unknown key in a list", head + "components:\n  - id: a\n  - id: b\n    colour: red\n", "line 8: components[1].colour: unknown key"},
	{"key twice", head + "version: 2.0\n", "line 5: mapping key \"version\" already defined"},
	{"key twice in two spellings", head + "'version': 2.0\n", "line 5: "},
	{"key twice on one line", head + "payload: {uri: a, 'uri': b}\n", "line 5: mapping key"},
	{"no value", head + "component:\n", "line 5: component: want text, not nothing"},
	{"empty text", head + "reference-uri: ''\n", "line 5: reference-uri: is empty"},
	{"list for a mapping", head + "payload: [a]\n", "line 5: payload: want keys with values, not a list"},
	{"text for a mapping", head + "payload: a\n", "line 5: payload: want keys with values, not a single value"},
	{"mapping for a list", head + "components: {id: a}\n", "line 5: components: want a list"},
	{"list for text", head + "component: [a]\n", "line 5: component: want text"},
	{"an anchor", head + "component: &a app\nmanifest-component: *a\n", "line 5: component: want text, not an anchor"},
	{"a merge", head + "<<: {component: app}\n", "anchors and merges"},
	{"a tag", head + "component: !!binary aGVsbG8=\n", "line 5: component: want text, not an anchor, an alias or a tag"},
	{"two documents", single + "---\n" + single, "more than one YAML document"},
	{"not yaml", "{", "line 1"},
	{"a list", "- a\n", "line 1: want keys with values, not a list"},
	{"nothing", "# nothing\n", "the document is empty"},
	{"large", "version: '" + strings.Repeat("x", MaxDescription) + "'", "at most"},
	// Values.
	{"component", head + "component: a//b\n", "line 5: component: component id"},
	{"uuid", head + "device-id: 12\n", "line 5: device-id: \"12\" is no UUID"},
	{"switch", single + "uninstall: 'no'\n", "line 7: uninstall: want true or false"},
	{"slot", head + "components:\n  - slot: -1\n", "line 6: components[0].slot: want a whole number"},
	{"algorithm", head + "payload: {content-algorithm: AES}\n", "line 5: payload.content-algorithm: \"AES\": want A128GCM"},
	{"time", single + "conditions: {use-before: tomorrow}\n", "line 7: conditions.use-before: want a time"},
	{"early time", single + "conditions: {use-before: 1960-01-01}\n", "line 7: conditions.use-before: want whole seconds, and not before 1970"},
	{"comparison", single + "conditions:\n  version: ['> 1', '~ 2']\n", "line 8: conditions.version[1]: \"~ 2\": want >"},
	{"version of a comparison", single + "conditions: {version: '> x'}\n", "line 7: conditions.version: version \"x\""},
	{"priority", single + "conditions: {update-authorized: true, update-priority: high}\n", "line 7: conditions.update-priority: want a whole number"},
	{"time of day", single + "wait: {time-of-day: 25:00}\n", "line 7: wait.time-of-day: want a time of day"},
	{"day", single + "wait: {day-of-week: someday}\n", "line 7: wait.day-of-week: want a day"},
	{"permission", head + "components: [{metadata: {permissions: [rwx]}}]\n", "components[0].metadata.permissions: \"rwx\" is none of the permissions"},
	{"file type", head + "components: [{metadata: {file-type: socket}}]\n", "components[0].metadata.file-type: \"socket\": want regular-file"},
	{"severable", single + "severable: [install, uninstall]\n", "line 7: severable[1]: \"uninstall\" is not severable"},
	// Contradictions.
	{"component and components", single + "components: []\n", "line 5: component is for a single component"},
	{"payload and components", head + "payload: {uri: 'https://a/b'}\ncomponents: [{id: a}]\n", "line 5: payload is for a single component"},
	{"no components", head + "components: []\n", "component is missing"},
	{"payload of nothing", head + "manifest-component: b\npayload: {content: x}\ndependencies: [{file: library.suit, integrated: true}]\n", "component is missing"},
	{"no id", head + "components:\n  - payload: {content: x}\n", "components[0].id is missing"},
	{"dots", head + "components:\n  - {id: a/.., payload: {content: x}}\n", "line 6: components[0].id a/..: a segment \"..\""},
	{"id twice", head + "components:\n  - {id: a, payload: {content: x}}\n  - {id: a, payload: {content: x}}\n", "line 7: components[1].id a is a component already"},
	{"staging is a component", head + "components:\n  - {id: a/encrypted, payload: {content: x}}\n  - {id: a, payload: {file: hello.wasm, integrated: true, encrypt-to: kek.hex}}\n",
		"components[1].payload.staging a/encrypted is a component already"},
	{"the manifest's own name", single + "manifest-component: app/hello\n", "line 7: manifest-component app/hello is a component already: one would overwrite"},
	{"no file", head + "component: a\npayload: {uri: 'https://a/b'}\n", "line 6: payload.file is missing"},
	{"two ways", head + "component: a\npayload: {file: hello.wasm, integrated: true, uri: 'https://a/b'}\n", "line 6: the payload of a needs exactly one of"},
	{"content and file", head + "component: a\npayload: {file: hello.wasm, content: x}\n", "line 6: give payload.file or payload.content"},
	{"content by URI", head + "component: a\npayload: {content: x, uri: 'https://a/b'}\n", "line 6: the payload of a needs exactly one of"},
	{"copy of nothing", head + "components:\n  - {id: a, payload: {copy-from: b}}\n  - {id: b, payload: {content: x}}\n", "line 6: a is a copy of b, which is not a component further up"},
	{"copy with a file", head + "components:\n  - {id: a, payload: {content: x}}\n  - {id: b, payload: {copy-from: a, file: hello.wasm}}\n", "line 7: b is a copy of a: file, content and encryption"},
	{"copy of what is loaded", head + "components:\n  - {id: a, payload: {content: x}}\n  - {id: b, payload: {load-from: a}}\n  - {id: c, payload: {copy-from: b}}\n", "line 8: c is copied when it is installed"},
	{"algorithm without keys", head + "component: a\npayload: {file: hello.wasm, integrated: true, content-algorithm: A128GCM}\n", "line 6: payload.content-algorithm is about an encrypted payload"},
	{"ciphertext of an integrated payload", head + "component: a\npayload: {file: hello.wasm, integrated: true, encrypt-to: kek.hex, ciphertext: x}\n", "line 6: payload.ciphertext is a file for what is fetched"},
	{"staging of an inline payload", head + "component: a\npayload: {file: hello.wasm, inline: true, encrypt-to: kek.hex, staging: b}\n", "line 6: payload.staging: what is written"},
	{"ciphertext over the payload", head + "component: a\npayload: {file: hello.wasm, uri: 'https://a/b', encrypt-to: kek.hex, ciphertext: hello.wasm}\n", "hello.wasm is a file that the description names already"},
	{"ciphertext over a key", head + "component: a\npayload: {file: hello.wasm, uri: 'https://a/b', encrypt-to: kek.hex, ciphertext: kek.hex}\n", "kek.hex is a file that the description names already"},
	{"priority without authorization", single + "conditions: {update-priority: 1}\n", "line 7: conditions.update-priority is for update-authorized"},
	{"condition about nothing", single + "conditions: {component: app/hello}\n", "line 7: conditions.component is for version"},
	{"condition about another", single + "conditions: {component: app/other, version: '> 1'}\n", "line 7: conditions.component app/other is none"},
	{"condition without a component", head + "manifest-component: b\nconditions: {version: '> 1'}\ndependencies: [{file: library.suit, integrated: true}]\n", "line 6: conditions.version and image-not-match are about a component"},
	{"wait for nothing", single + "wait: {}\n", "line 7: wait says nothing"},
	{"invoke another", single + "invoke: {component: app/other}\n", "line 7: invoke.component app/other is none"},
	{"invoke one of two", head + "components: [{id: a, payload: {content: x}}, {id: b, payload: {content: x}}]\ninvoke: {args: [a]}\n", "line 6: invoke.component is missing"},
	{"text about a component of two", head + "components: [{id: a, payload: {content: x}}, {id: b, payload: {content: x}}]\ntext: {en: {component: x}}\n", "line 6: text.en.component describes a single component"},
	{"text about another", single + "text: {en: {components: {b: {description: x}}}}\n", "text.en.components: b is none of the components"},
	{"text twice", single + "text: {en: {component: x, components: {app/hello: {description: y}}}}\n", "describes the component twice"},
	{"text with an escape", single + "text: {en: {version-required: \"\\e[31m>= 1\"}}\n", "version-required"},
	{"creator with a line end", head + "components: [{id: a, payload: {content: x}, metadata: {creator: \"a\\nb\"}}]\n", "creator"},
	{"two pre-releases", "version: 1.2.3.4-rc\n" + strings.Replace(single, "version: 1.2.3\n", "", 1), "line 1: version \"1.2.3.4-rc\""},
	{"language", single + "text: {en_GB: {manifest: x}}\n", "language tag"},
	{"severing what is not there", single + "severable: [text]\n", "line 7: severable: manifest.text"},
	{"version", "version: v1\n" + strings.Replace(single, "version: 1.2.3\n", "", 1), "line 1: version \"v1\""},
	{"plain http", head + "component: a\npayload: {file: hello.wasm, uri: 'http://a/b'}\n", "line 6: payload: URI \"http://a/b\": http is for loopback only"},
	// Files.
	{"no such payload", head + "component: a\npayload: {file: none, integrated: true}\n", "payload of a: stat"},
	{"no such key", head + "component: a\npayload: {file: hello.wasm, integrated: true, encrypt-to: none}\n", "payload of a: open"},
	{"tab", "component: a\n\tx: 1\n", "line 2: a tab at the beginning of the line: indent with spaces"},
	{"missing colon", "component a\nb: c\n", "line 1: a line without a key: a colon may be missing"},
	{"line that is no key", "component: a\n- b\n", "line 2: a line without a key: a colon may be missing"},
	{"second colon", "component: a: b\n", "line 1: a second colon in the line"},
	{"open list", "component: [a\n", "line 1: a list that begins with [ and has no ]"},
	{"open quote", "component: \"x\n", "line 1: a quote that is not closed"},
	{"ciphertext over another file", head + "component: a\npayload: {file: hello.wasm, uri: 'https://a/b', encrypt-to: kek.hex, ciphertext: hello.conf}\n", "hello.conf: file already exists"},
	{"no key for the second ciphertext", head + "components:\n  - {id: a, payload: {file: hello.wasm, uri: 'https://a/b', encrypt-to: kek.hex}}\n" +
		"  - {id: b, payload: {file: hello.conf, uri: 'https://a/b', encrypt-to: none}}\n", "payload of b: open"},
	{"plain http for a ciphertext", head + "component: a\npayload: {file: hello.wasm, uri: 'http://a/b', encrypt-to: kek.hex}\n", "http is for loopback only"},
	{"no way to encrypt", head + "components:\n  - {id: a, payload: {file: hello.wasm, uri: 'https://a/b', encrypt-to: kek.hex}}\n" +
		"  - {id: b, payload: {file: hello.conf, uri: 'http://a/b', encrypt-to: kek.hex}}\n", "http is for loopback only"},
	{"no key", head + "component: a\npayload: {file: hello.wasm, integrated: true, encrypt-to: hello.conf}\n", "hello.conf is no key to encrypt to"},
	{"no such condition", single + "conditions: {image-not-match: none}\n", "none: no such file"},
	{"no such coswid", single + "coswid: none\n", "none: no such file"},
	{"coswid that is none", single + "coswid: hello.wasm\n", "line 7: coswid "},
	// Dependencies.
	{"dependency without a file", head + "manifest-component: b\ndependencies:\n  - {integrated: true}\n", "line 7: dependencies[0].file is missing"},
	{"dependency without a way", head + "manifest-component: b\ndependencies:\n  - {file: library.suit}\n", "line 7: the dependency"},
	{"no such dependency", head + "manifest-component: b\ndependencies:\n  - {file: none, integrated: true}\n", "dependencies[0]: stat"},
	{"dependency that is none", head + "manifest-component: b\ndependencies:\n  - {file: hello.wasm, integrated: true}\n", "line 7: dependencies[0]: "},
	{"dependency that is not signed", head + "manifest-component: b\ndependencies:\n  - {file: unsigned.suit, integrated: true}\n", "unsigned.suit is not signed"},
	{"dependency without a name", head + "manifest-component: b\ndependencies:\n  - {file: unnamed.suit, integrated: true}\n", "unnamed.suit has no manifest-component-id"},
	{"dependency that was tampered with", head + "manifest-component: b\ndependencies:\n  - {file: tampered.suit, integrated: true}\n", "what is signed is not the manifest that is there"},
	{"dependency twice", head + "manifest-component: b\ndependencies:\n  - {file: library.suit, integrated: true}\n  - {file: library.suit, integrated: true}\n", "line 8: dependencies[1]: lib/crypto/suit is the id of another dependency"},
	{"dependency on itself", head + "manifest-component: lib/crypto/suit\ndependencies:\n  - {file: library.suit, integrated: true}\n", "is the id of the manifest itself"},
	{"dependency as a component", head + "component: lib/crypto/suit\npayload: {content: x}\ndependencies:\n  - {file: library.suit, integrated: true}\n", "is the id of a component"},
	{"dependencies without a name", head + "dependencies:\n  - {file: library.suit, integrated: true}\n", "manifest-component is missing"},
	{"dependency in the clear", head + "manifest-component: b\ndependencies:\n  - {file: library.suit, uri: 'http://a/b'}\n", "line 7: dependencies[0]: URI \"http://a/b\""},
}

func TestBadDescriptions(t *testing.T) {
	dir := folder(t)
	badEnvelopes(t, dir)
	before := names(t, dir)
	for _, test := range badDescriptions {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, "description.yaml")
			if err := os.WriteFile(path, []byte(test.document), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := Load(path)
			if err == nil {
				_, err = Create(d)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v\nwant %s", err, test.want)
			}
			if !strings.Contains(test.name, "no") && !errors.Is(err, ErrDescription) && !strings.Contains(test.name, "over") {
				t.Errorf("not a fault of the description: %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("several lines: %v", err)
			}
			os.Remove(path)
			if after := names(t, dir); after != before {
				t.Errorf("the folder has %s, it had %s", after, before)
			}
		})
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// badEnvelopes writes envelopes that nobody may depend on.
func badEnvelopes(t *testing.T, dir string) {
	t.Helper()
	m, payloads, err := CreateFrom(description(nil), strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, e *suit.Envelope, change func([]byte) []byte) {
		raw, err := e.Encode(true)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			raw = change(raw)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := suit.NewEnvelope(m, payloads)
	if err != nil {
		t.Fatal(err)
	}
	write("unsigned.suit", e, nil)
	if e, err = suit.Sign(m, payloads, signer(t)); err != nil {
		t.Fatal(err)
	}
	write("tampered.suit", e, func(raw []byte) []byte {
		at := strings.Index(string(raw), "hello\x44suit")
		raw[at] = 'j'
		return raw
	})
	m.ComponentID = nil
	if e, err = suit.Sign(m, payloads, signer(t)); err != nil {
		t.Fatal(err)
	}
	write("unnamed.suit", e, nil)
}

func TestIntegratedPayloadsFitTogether(t *testing.T) {
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "half"), make([]byte, MaxIntegrated/2+1), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Parse([]byte(head + "components:\n  - {id: a, payload: {file: half, integrated: true}}\n  - {id: b, payload: {file: half, integrated: true}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Components {
		d.Components[i].Payload.File = filepath.Join(dir, "half")
	}
	if _, err = Create(d); !errors.Is(err, ErrDescription) || !strings.Contains(err.Error(), "line 7: the payload of b is too large") {
		t.Errorf("%v", err)
	}
	d.Components = d.Components[:1]
	d.Components[0].Payload.Integrated, d.Components[0].Payload.Inline = false, true
	if _, err = Create(d); !errors.Is(err, ErrDescription) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "half"), make([]byte, MaxInline), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Create(d); err != nil {
		t.Errorf("inline payload of the largest size: %v", err)
	}
}
