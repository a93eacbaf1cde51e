package corim

import (
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TestScope holds files of one statement against what their signer speaks for.
func TestScope(t *testing.T) {
	ueid := ID{KindUEID, []byte("\x01instance")}
	class, instance := "class=psa.impl-id:"+strings.Repeat("01", 32), "instance=ueid:01696e"
	scope := []string{class, "vendor=Acme", instance}
	for _, c := range []struct {
		name string
		e    Environment
		good bool
	}{
		{"its class", Environment{ClassID: ID{KindImplID, implID(1).Value}}, true},
		{"its class by the other tag", Environment{ClassID: ID{KindBytes, implID(1).Value}}, true},
		{"its class and any instance", Environment{ClassID: implID(1), Instance: ID{KindUEID, []byte("\x01another")}}, true},
		{"its vendor", Environment{Vendor: "Acme", Model: "RoadRunner"}, true},
		{"its instances", Environment{Instance: ueid}, true},
		{"its instances in any class", Environment{Instance: ueid, ClassID: implID(2)}, true},
		{"another class", Environment{ClassID: implID(2)}, false},
		{"another class under its vendor's name", Environment{ClassID: implID(2), Vendor: "Acme"}, false},
		{"another instance", Environment{Instance: ID{KindUEID, []byte("\x01another")}}, false},
		{"another instance under its vendor's name", Environment{Instance: ID{KindUEID, []byte("\x01another")}, Vendor: "Acme"}, false},
		{"instance of another kind", Environment{Instance: ID{KindBytes, ueid.Value}}, false},
		{"another vendor", Environment{Vendor: "Other"}, false},
		{"a group", Environment{Group: ID{KindBytes, []byte("group")}}, false},
	} {
		narrow, err := ParseScope(scope)
		if err != nil {
			t.Fatal(err)
		}
		for what, u := range map[string]*Unsigned{
			"values": {ID: "a", References: []Reference{{Environment: c.e, Key: "BL", Digests: sha256Of(1)}}},
			"keys":   {ID: "a", Keys: []AttestKey{{Environment: c.e, Public: publicKey(t, newSigner(t, cosekit.ESP256))}}},
		} {
			f := readFile(t, encoded(t, u))
			if err := narrow.Check(f); (err == nil) != c.good || err != nil && (!errors.Is(err, ErrScope) || !strings.Contains(err.Error(), what+" of ")) {
				t.Errorf("%s of %s: %v", what, c.name, err)
			}
			if err := (Scope{}).Check(f); err != nil {
				t.Errorf("%s of %s, without a scope: %v", what, c.name, err)
			}
		}
	}
}

func TestScopeText(t *testing.T) {
	for _, text := range []string{"", "vendor=", "class=", "class=acme", "instance=ueid:", "model=x", "Acme"} {
		if s, err := ParseScope([]string{"vendor=Acme", text}); err == nil {
			t.Errorf("%q is %+v", text, s)
		}
	}
}
