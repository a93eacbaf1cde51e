package inspect

import (
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// TestManagementParameters shows parameters that are wrong or not known in part.
func TestManagementParameters(t *testing.T) {
	inside := func(v any) []byte { return cosekit.MustMarshal(v) }
	for _, c := range []struct {
		name      string
		parameter suit.ParameterCode
		value     any
		lint      string // a part of it; empty for none
		shown     string // a part of the text
	}{
		{"second after the last of a day", suit.ParameterWaitInfo, inside(map[int]int{6: 86400}), "86400 seconds since midnight", "time-of-day: 86400"},
		{"eighth day of a week", suit.ParameterWaitInfo, inside(map[int]int{9: 7}), "day 7 of the week", "day-of-week-utc: 7"},
		{"event of a later draft", suit.ParameterWaitInfo, inside(map[int]int{10: 1}), "", "10: 1"},
		{"wait for a text", suit.ParameterWaitInfo, inside(map[int]string{2: "mains"}), "want an integer", `power: "mains"`},
		{"permission of a later draft", suit.ParameterComponentMetadata, inside(map[int]int{1: 1<<14 + 1}), "",
			"traverse_exec, bits that are not registered (16385)"},
		{"file type of a later draft", suit.ParameterComponentMetadata, inside(map[int]int{5: 4}), "", "file type 4 (4)"},
		{"user with a number", suit.ParameterComponentMetadata, inside(map[int]map[int]int{2: {7: 0}}), "", "7: none (0)"},
		{"user with bytes", suit.ParameterComponentMetadata, []byte{0xa1, 2, 0xa1, 0x41, 7, 1}, "", "h'07': traverse_exec (1)"},
		{"user with a UUID", suit.ParameterComponentMetadata, append(append([]byte{0xa1, 2, 0xa1, 0xd8, 37, 0x50}, make([]byte, 16)...), 1), "", "00000000-0000-0000-0000-000000000000: traverse_exec (1)"},
		{"comparison that is not defined", suit.ParameterVersion, inside([]any{6, []int{1}}), "want a version", "- 6"},
		{"metadata that is no map", suit.ParameterComponentMetadata, inside([]int{1}), "want a map", "- 1"},
		{"encryption with half a counter", suit.ParameterEncryptionInfo,
			inside(cosekit.Tag{Number: cosekit.TagEncrypt, Content: inside([]any{[]byte{}, map[int]any{1: -65534, 5: make([]byte, 8)}, nil, []any{}})}),
			"IV of 8 bytes for A128CTR, want 16", "alg: A128CTR (-65534)"},
		{"battery as text", suit.ParameterMinimumBattery, "half", "want an unsigned integer", `minimum-battery: "half"`},
		{"private parameter", -300, 1, "", "private parameter -300: 1"},
		{"parameter of a later draft", 4711, 1, "", "4711: 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(cosekit.MustMarshal(map[int64]any{int64(c.parameter): c.value}), Options{As: KindParameters}))
			var text strings.Builder
			if err := r.WriteText(&text, false); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text.String(), c.shown) {
				t.Errorf("%q is not shown:\n%s", c.shown, &text)
			}
			if c.lint == "" && len(r.Lint) > 0 || c.lint != "" && !hasLint(r, c.lint) {
				t.Errorf("lint %+v, want %q", r.Lint, c.lint)
			}
		})
	}
}
