package teep

import "testing"

func TestNamesByNumber(t *testing.T) {
	for _, c := range []struct {
		numbering  Numbering
		typeNumber uint64
		kind       Kind
		option     uint64
		name       string
	}{
		{IANA, 4, KindSuccess, 19, "token"},
		{PreIANA, 5, KindSuccess, 20, "token"},
		{IANA, 5, KindError, 18, "suit-reports"},
		{PreIANA, 6, KindError, 23, "err-code"},
	} {
		if kind, ok := c.numbering.MessageKind(c.typeNumber); !ok || kind != c.kind {
			t.Errorf("%s type %d: %s, %t", c.numbering, c.typeNumber, kind, ok)
		}
		if name, ok := c.numbering.OptionName(c.option); !ok || name != c.name {
			t.Errorf("%s option %d: %q, %t", c.numbering, c.option, name, ok)
		}
	}
	for _, n := range []Numbering{IANA, PreIANA, numberings} {
		if name, ok := n.OptionName(0); ok {
			t.Errorf("%s: option 0 is %q", n, name)
		}
		if kind, ok := n.MessageKind(9); ok {
			t.Errorf("%s: type 9 is %s", n, kind)
		}
	}
	if got := PreIANA.ErrorCode(17); got != ManifestProcessingFailed {
		t.Errorf("error 17: %s", got)
	}
	if got := IANA.ErrorCode(11); got != ManifestProcessingFailed {
		t.Errorf("error 11: %s", got)
	}
}
