package anchor

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func scope(t testing.TB, text string) Scope {
	t.Helper()
	s, err := ParseScope(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseScope(t *testing.T) {
	for _, text := range []string{
		"app", "0x0a1b/app", "app/hello commands=fetch", "app parameters=uri,encryption-info",
		"app commands=process-dependency,-300 parameters=uri,-257",
	} {
		s := scope(t, text)
		if got := s.String(); got != text {
			t.Errorf("%q is %q", text, got)
		}
	}
	got := scope(t, "app  parameters=uri   commands=fetch ")
	want := Scope{component(t, "app"), []suit.CommandCode{suit.DirectiveFetch}, []suit.ParameterCode{suit.ParameterURI}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for text, reason := range map[string]string{
		"a//b":                              "segment",
		"app commands":                      `"commands": want commands=NAME`,
		"app fetch":                         "want commands=NAME",
		"app commands=":                     `no command is called ""`,
		"app commands=fetch,":               `no command is called ""`,
		"app commands=fetch, copy":          `no command is called ""`,
		"app commands=fly":                  `component prefix app: no command is called "fly"`,
		"app commands=-256":                 "no command",
		"app parameters=fetch":              `no parameter is called "fetch"`,
		"app commands=fetch commands=copy":  "each once",
		"app parameters=uri parameters=uri": "each once",
		"app\tcommands=fetch":               "segment",
	} {
		if s, err := ParseScope(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %+v, %v; want %q", text, s, err, reason)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	f.Add("app commands=process-dependency,-300 parameters=uri")
	f.Add(" parameters=")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScope(text)
		if err != nil {
			return
		}
		back, err := ParseScope(s.String())
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%q is %q, and that %+v, %v", text, s, back, err)
		}
	})
}

func TestMayUse(t *testing.T) {
	a := Anchor{Key: testKey(t, 1), Purposes: []Purpose{TCSigner}}
	for _, text := range []string{
		"own", "app commands=process-dependency parameters=uri,encryption-info",
		"app/more commands=fetch", "data parameters=content", "run commands=-300",
	} {
		a.Constraints.Admit(scope(t, text))
	}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	const none = 0
	for _, test := range []struct {
		component string
		command   suit.CommandCode
		parameter suit.ParameterCode
		want      bool
	}{
		{"own/x", suit.DirectiveFetch, none, true}, {"own/x", none, suit.ParameterImageDigest, true},
		{"app/hello", none, none, true}, {"app", suit.DirectiveProcessDependency, none, true},
		{"app/hello", suit.DirectiveFetch, none, false}, {"app", suit.DirectiveWrite, none, false},
		{"app", suit.DirectiveCopy, none, false}, {"app", suit.DirectiveSwap, none, false},
		{"app", suit.DirectiveInvoke, none, false}, {"app", suit.DirectiveUnlink, none, false},
		{"app", suit.DirectiveWait, none, false}, {"app", -300, none, false}, {"app", 99, none, false},
		{"app", suit.ConditionImageMatch, none, true}, {"app", suit.ConditionDependencyIntegrity, none, true},
		{"app", suit.DirectiveSetComponentIndex, none, true}, {"app", suit.DirectiveTryEach, none, true},
		{"app", suit.DirectiveRunSequence, none, true}, {"app", suit.DirectiveSetParameters, none, true},
		{"app", suit.DirectiveOverrideParameters, none, true}, {"app", suit.DirectiveOverrideMultiple, none, true},
		{"app", suit.DirectiveCopyParams, none, true},
		{"app", none, suit.ParameterURI, true}, {"app", none, suit.ParameterEncryptionInfo, true},
		{"app", none, suit.ParameterImageDigest, false}, {"app", none, suit.ParameterVendorID, false},
		{"app", none, suit.ParameterSourceComponent, false}, {"app", none, 99, false},
		{"app", none, suit.ParameterSoftFailure, true}, {"app", none, suit.ParameterStrictOrder, true},
		{"app/more/x", suit.DirectiveFetch, none, true}, {"app/more/x", suit.DirectiveProcessDependency, none, true},
		{"app/more/x", none, suit.ParameterImageDigest, true},
		{"data", suit.DirectiveWrite, none, true}, {"data", none, suit.ParameterURI, false},
		{"run", -300, none, true}, {"run", -301, none, false},
		{"elsewhere", none, none, false}, {"elsewhere", suit.ConditionImageMatch, none, false}, {"", none, none, false},
	} {
		if got := a.MayUse(component(t, test.component), test.command, test.parameter); got != test.want {
			t.Errorf("%q, %s, %s: %t", test.component, test.command, test.parameter, got)
		}
		if test.command == none && test.parameter == none && a.MayPublish(component(t, test.component)) != test.want {
			t.Errorf("MayPublish %q: %t", test.component, !test.want)
		}
	}
	a.Constraints.Components = nil
	if a.MayUse(component(t, "elsewhere"), none, none) || !a.MayUse(component(t, "app"), none, none) {
		t.Error("scopes alone do not narrow")
	}
	a.Purposes = []Purpose{Manager}
	if a.MayUse(component(t, "app"), none, none) {
		t.Error("a key that is for other purposes may publish")
	}
}

func TestScopesThatAreRefused(t *testing.T) {
	many := make([]Scope, MaxList+1)
	long := Scope{Prefix: component(t, "x")}
	for i := range many {
		many[i] = Scope{Prefix: suit.ComponentID{{byte(i)}}, Commands: []suit.CommandCode{suit.DirectiveFetch}}
		long.Commands = append(long.Commands, suit.CommandCode(-257-i))
	}
	one := func(s Scope) []Scope { return []Scope{s} }
	for _, test := range []struct {
		name, reason string
		scopes       []Scope
	}{
		{"no prefix", "without a component prefix", one(Scope{Commands: []suit.CommandCode{suit.DirectiveFetch}})},
		{"no lists", "neither commands nor parameters under x", one(Scope{Prefix: component(t, "x")})},
		{"unknown command", `no command is called "command 99"`, one(Scope{Prefix: component(t, "x"), Commands: []suit.CommandCode{99}})},
		{"command zero", "no command", one(Scope{Prefix: component(t, "x"), Commands: []suit.CommandCode{0}})},
		{"unknown parameter", `no parameter is called "parameter 99"`, one(Scope{Prefix: component(t, "x"), Parameters: []suit.ParameterCode{99}})},
		{"condition", "image-match is allowed wherever", one(scope(t, "x commands=fetch,image-match"))},
		{"try-each", "try-each is allowed wherever", one(scope(t, "x commands=try-each"))},
		{"soft-failure", "soft-failure is allowed wherever", one(scope(t, "x parameters=soft-failure"))},
		{"command twice", "fetch twice under x", one(scope(t, "x commands=fetch,fetch"))},
		{"parameter twice", "uri twice under x", one(scope(t, "x parameters=uri,uri"))},
		{"prefix twice", "component prefix x twice", []Scope{scope(t, "x commands=fetch"), scope(t, "x parameters=uri")}},
		{"within a whole prefix", "narrow nothing", one(scope(t, "os/x commands=fetch"))},
		{"the same as a whole prefix", "narrow nothing", one(scope(t, "os commands=fetch"))},
		{"too many", "more than 64 entries", many},
		{"too many commands", "more than 64 commands", one(long)},
	} {
		a := publisher(t)
		a.Constraints.Scopes = test.scopes
		if err := a.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want %q", test.name, err, test.reason)
		}
	}
	tam := Anchor{Key: testKey(t, 2), Purposes: []Purpose{TAM}, Constraints: Constraints{Scopes: one(scope(t, "x commands=fetch"))}}
	if err := tam.Validate(); err == nil || !strings.Contains(err.Error(), "are for tc-signer and manager") {
		t.Errorf("of a TAM: %v", err)
	}
}

// TestStoresOfBefore: a store without scopes is encoded as it was before there were any,
// and scopes stand in one form only.
func TestStoresOfBefore(t *testing.T) {
	key := cosekit.RawMessage(testKey(t, 2).COSEKey())
	encoded := func(limits map[int]any) []byte {
		return cosekit.MustMarshal(map[int]any{1: []any{map[int]any{1: key, 3: []string{"tc-signer"}, 4: limits}}})
	}
	prefix, fetch := [][]byte{[]byte("app")}, []int{21}
	before := encoded(map[int]any{1: []any{prefix}})
	s, err := NewStore(Anchor{Key: testKey(t, 2), Purposes: []Purpose{TCSigner}, Constraints: Constraints{Components: []suit.ComponentID{prefix}}})
	if err != nil || string(s.Encode()) != string(before) {
		t.Errorf("encoded otherwise: %x, %v", s.Encode(), err)
	}
	if _, err := DecodeStore(encoded(map[int]any{5: []any{map[int]any{1: prefix, 2: fetch, 3: []int{-300, 21}}}})); err != nil {
		t.Errorf("the good one: %v", err)
	}
	for i, scopes := range []any{
		[]any{}, nil, 1, []any{nil}, []any{map[int]any{}},
		[]any{map[int]any{1: prefix}},
		[]any{map[int]any{2: fetch}},
		[]any{map[int]any{1: prefix, 2: fetch, 3: []int{}}},
		[]any{map[int]any{1: prefix, 2: []int{22, 21}}},
		[]any{map[int]any{1: prefix, 2: []int{21, 21}}},
		[]any{map[int]any{1: prefix, 2: []int{99}}},
		[]any{map[int]any{1: prefix, 2: []int{3}}},
		[]any{map[int]any{1: prefix, 2: []any{21.0}}},
		[]any{map[int]any{1: prefix, 2: []any{"fetch"}}},
		[]any{map[int]any{1: prefix, 2: []any{uint64(1 << 63)}}},
		[]any{map[int]any{1: prefix, 2: fetch, 4: fetch}},
		[]any{map[int]any{1: "app", 2: fetch}},
		[]any{map[int]any{1: [][]byte{{1}}, 2: fetch}, map[int]any{1: [][]byte{{0}}, 2: fetch}},
	} {
		if s, err := DecodeStore(encoded(map[int]any{5: scopes})); !errors.Is(err, ErrMalformed) || len(s.anchors) != 0 {
			t.Errorf("%d: %s: %v", i, fmt.Sprint(scopes), err)
		}
	}
}
