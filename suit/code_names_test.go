package suit

import "testing"

// TestCodeNames: every registered code and those of the private range are read back from
// their names, and nothing else is.
func TestCodeNames(t *testing.T) {
	for c := range commands {
		if got, err := ParseCommandCode(c.String()); err != nil || got != c {
			t.Errorf("%s: %d, %v", c, int64(got), err)
		}
	}
	for c := range parameterNames {
		if got, err := ParseParameterCode(c.String()); err != nil || got != c {
			t.Errorf("%s: %d, %v", c, int64(got), err)
		}
	}
	for _, s := range []string{"-300", "command -300"} {
		if got, err := ParseCommandCode(s); err != nil || got != -300 {
			t.Errorf("%q: %d, %v", s, int64(got), err)
		}
	}
	for _, s := range []string{"-300", "parameter -300"} {
		if got, err := ParseParameterCode(s); err != nil || got != -300 {
			t.Errorf("%q: %d, %v", s, int64(got), err)
		}
	}
	for _, s := range []string{"", "Fetch", "fetch ", "suit-directive-fetch", "21", "command 21", "99", "-256", "-0300", "-9223372036854775809", "parameter -300", "uri"} {
		if got, err := ParseCommandCode(s); err == nil {
			t.Errorf("command %q is %d", s, int64(got))
		}
	}
	for _, s := range []string{"", "URI", "21", "-256", "- 300", "command -300", "fetch"} {
		if got, err := ParseParameterCode(s); err == nil {
			t.Errorf("parameter %q is %d", s, int64(got))
		}
	}
}
