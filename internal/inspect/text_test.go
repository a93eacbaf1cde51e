package inspect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestClosingLine: what is said last is no more than what was looked at.
func TestClosingLine(t *testing.T) {
	signed := func(payload []byte, form cosekit.Form) []byte {
		return must[[]byte](t)(cosekit.Sign1(signer(t, 0), payload, form))
	}
	claims := must[*Result](t)(Inspect(evidence(t), Options{})).Tree.child("payload").raw
	message := enc(arr{4, m{19: []byte("ABCDEFGH")}})
	for _, c := range []struct {
		name string
		data []byte
		as   Kind
		want string
	}{
		{"good", signed(message, cosekit.Form{}), "", "accepts the TEEP message as it is encoded."},
		{"envelope", helloEnvelope(t), "", "accepts the SUIT_Envelope as it is encoded."},
		{"bare", message, "", "accepts the TEEP message as it is encoded; nothing signs it."},
		{"opaque", signed([]byte("Hello"), cosekit.Form{}), "", "accepts the COSE_Sign1; its payload is nothing that Tamarack reads."},
		{"opaque, forced", signed([]byte("Hello"), cosekit.Form{}), KindTEEP, "refuses the TEEP message at /: "},
		{"detached", signed(message, cosekit.Form{Detached: true}), "", "accepts the COSE_Sign1; its payload is not in it."},
		{"detached, forced", signed(message, cosekit.Form{Detached: true}), KindTEEP, "refuses the TEEP message at /: "},
		{"trailing", signed(append(message, 0), cosekit.Form{}), "", "mind the errors above."},
		{"trailing, forced", signed(append(message, 0), cosekit.Form{}), KindTEEP, "refuses the TEEP message at /: "},
		{"trailing claims", signed(append(claims, 0), cosekit.Form{}), "", "mind the errors above."},
		{"unknown type", signed(enc(arr{7, m{}}), cosekit.Form{}), KindTEEP, "refuses the TEEP message at /: "},
		{"encrypted, forced", enc(tag{Number: 16, Content: enc(arr{[]byte{}, m{}, []byte("x")})}), KindTEEP, "refuses the TEEP message at /: "},
		{"JWT, forced", []byte("eyJhbGciOiJub25lIn0.e30.x"), KindEAT, "refuses the EAT claims at /: "},
		{"version", enc(arr{1, 2}), "", "reads no object of this kind by itself."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(c.data, Options{As: c.as}))
			var b strings.Builder
			if err := r.WriteText(&b, true); err != nil {
				t.Fatal(err)
			}
			_, last, _ := strings.Cut(b.String(), "\nTamarack")
			if !strings.Contains(last, c.want) || strings.HasPrefix(c.want, "refuses") && strings.Contains(last, "accepts") {
				t.Errorf("Tamarack%s, want %s", last, c.want)
			}
		})
	}
}

// TestWidth: no line of the text is wider than a terminal, and with everything wanted
// nothing is left out.
func TestWidth(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	deep := any(arr{[]byte(strings.Repeat("\x01", 40)), long, strings.Repeat("\x1b", 60)})
	for range 20 {
		deep = arr{deep}
	}
	objects := map[string][]byte{
		"deep": enc(deep), "keys": enc(m{-70000: m{long[:62]: long}}), "bytes": enc(m{long: strings.Repeat("ä", 400)}),
		"envelope": helloEnvelope(t), "evidence": evidence(t), "message": successMessage(t),
	}
	files, err := filepath.Glob("../../testvectors/*/*.cbor")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors", err)
	}
	for _, file := range files {
		if objects[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range objects {
		r, err := Inspect(data, Options{Numbering: teep.PreIANA, As: map[bool]Kind{true: KindTEEP}[strings.Contains(name, "teep")]})
		if err != nil {
			continue // not CBOR
		}
		var b strings.Builder
		if err := r.WriteText(&b, false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(line) - 1; n > width {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
	var b strings.Builder
	if err := must[*Result](t)(Inspect(objects["deep"], Options{})).WriteText(&b, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), long) || !strings.Contains(b.String(), strings.Repeat("01", 40)) {
		t.Errorf("something is left out:\n%s", &b)
	}
}
