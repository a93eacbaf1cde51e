package expr

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

	kiosk = &Device{
		ID: "id-1", UEID: "01ab", Name: "kiosk", Labels: map[string]string{"site": "hall-3", "tier": "edge"},
		State: "accepted", OEMID: "pen:4711", HWModel: "626f617264", HWModelText: "board", CreatedAt: noon.Add(-48 * time.Hour),
		Attested: Attested{Accepted: 9, Failed: 3, FailedBy: map[string]int64{"nonce": 3}},
		Agents:   []Agent{{Key: "aa", LastSeen: noon}, {Key: "bb"}},
	}
	warned = &Result{
		Status: "warning", Reason: "executables: unrecognized", Verifier: "local", Format: "application/eat+cwt",
		Vector: map[string]int64{"executables": 33, "hardware": 2}, Tiers: map[string]string{"executables": "warning", "hardware": "affirming"},
		Differences: []Difference{{Element: "executables", Name: "PCR 7", Measured: "aa", Expected: []string{"bb", "cc"}}},
	}
	claims = map[string]any{
		"dbgstat": "disabled", "boots": 3.0, "sw": []any{map[string]any{"version": "1.2"}}, "psa-lifecycle": "secured",
	}
	groups = map[string]string{"edge": `device.labels["tier"] == "edge"`, "broken": "device.\nlables", "nested": `group("edge")`}
)

func TestSelector(t *testing.T) {
	for text, want := range map[string]bool{
		`true`:                                                                        true,
		`device.labels["site"] == "hall-3"`:                                           true,
		`device.labels.site == "hall-3"`:                                              true,
		`device.labels["floor"] == ""`:                                                true,
		`device.labels.floor != "2"`:                                                  true,
		`"floor" in device.labels`:                                                    false,
		`has(device.labels.floor)`:                                                    false,
		`has(device.labels.site)`:                                                     true,
		`has(device.last_seen)`:                                                       false,
		`device.labels.exists(k, device.labels[k] == "edge")`:                         true,
		`.device.labels["floor"] == ""`:                                               true,
		`group("edge") && device.state == "accepted"`:                                 true,
		`!group("edge") || !group("edge")`:                                            false,
		`device.agents.exists(a, a.key == "bb" && !has(a.last_seen))`:                 true,
		`device.agents.filter(a, has(a.last_seen)).size() == 1`:                       true,
		`device.attested.failed > 2 && device.attested.failed_by.nonce > 2`:           true,
		`device.hw_model.startsWith("62") && device.hw_model_text.matches("^bo.*d$")`: true,
		`matches(device.name, "^kio")`:                                                true,
		`device.state in ["quarantined", "rejected"]`:                                 false,
		`device.created_at < timestamp("2026-11-22T00:00:00Z")`:                       true,
		`device.created_at.getHours("Europe/Berlin") == 13`:                           true,
	} {
		s, err := NewSelector(text, groups)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := s.Matches(kiosk, NewBudget(PerAppraisal)); err != nil || got != want {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
}

func TestRule(t *testing.T) {
	reject := func(reason string) Decision { return Decision{Verb: Reject, Reason: reason} }
	for text, want := range map[string]Decision{
		`true`:            {Verb: Accept},
		`1 == 2`:          reject("the policy does not hold"),
		`accept()`:        {Verb: Accept},
		`reject("no")`:    reject("no"),
		`pending("look")`: {Verb: Pending, Reason: "look"},
		`result.status == "warning" ? quarantine(result.reason) : accept()`:               {Verb: Quarantine, Reason: "executables: unrecognized"},
		`accept_until(now + duration("24h"), "for " + device.name)`:                       {Verb: AcceptUntil, Until: noon.Add(24 * time.Hour), Reason: "for kiosk"},
		`result.vector["executables"] == 33 && result.tiers.hardware == "affirming"`:      {Verb: Accept},
		`result.differences.all(d, d.name == "PCR 7" && "bb" in d.expected)`:              {Verb: Accept},
		`claims.dbgstat == "disabled" && claims.boots < 4 && claims.boots == 3`:           {Verb: Accept},
		`has(claims.gone) ? accept() : reject("gone")`:                                    reject("gone"),
		`claims["psa-lifecycle"] == "secured" && claims.sw.exists(s, s.version == "1.2")`: {Verb: Accept},
		`now - device.created_at > duration("24h") && group("edge")`:                      {Verb: Accept},
		`result.format.startsWith("application/eat+cwt") ? accept() : reject("format")`:   {Verb: Accept},
		`reject("two\nlines\x00")`: reject("two lines "),
	} {
		r, err := NewAdmission(text, groups)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := r.Decide(Input{kiosk, warned, claims, noon}, NewBudget(PerAppraisal))
		if err != nil || !got.Until.Equal(want.Until) || got.Verb != want.Verb || got.Reason != want.Reason {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestRuleFails(t *testing.T) {
	for text, want := range map[string]string{
		`claims.gone == 1`:                       "line 1, column 7: no such key: gone",
		`claims.dbgstat.deeper == "x"`:           "line 1, column 15",
		`timestamp(claims.dbgstat) < now`:        "line 1, column 10",
		`1 / (3 - int(claims.boots)) == 1`:       "division by zero",
		`claims.dbgstat ? accept() : reject("")`: "no such overload",
		`device.attested.failed_by["x"] > 1`:     "no such key: x",
	} {
		r, err := NewAppraisal(text, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = r.Decide(Input{kiosk, warned, claims, noon}, NewBudget(PerAppraisal))
		if !errors.Is(err, ErrEvaluate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// An error repeats what a device says only as one short line.
func TestErrorsAreShort(t *testing.T) {
	r, err := NewAppraisal(`timestamp(claims.t) < now`, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Decide(Input{kiosk, warned, map[string]any{"t": "\x1b[2J\n" + strings.Repeat("é", MaxReason)}, noon}, NewBudget(PerAppraisal))
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > MaxReason+100 {
		t.Errorf("%q", err)
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		`device.lables["site"] == "x"`: `line 1, column 8: there is no field "lables"
  device.lables["site"] == "x"
         ^
did you mean "labels"?`,
		"true &&\n\tdevcie.name == \"x\"": `line 2, column 2: there is no variable or function "devcie" here
   devcie.name == "x"
   ^
did you mean "device"?`,
		`device.name == 3`:                      "line 1, column 13: == does not go with (string, int)",
		`device.name`:                           `line 1, column 1: it returns a string, not a bool`,
		`device.`:                               "line 1, column 8",
		`"open`:                                 "line 1, column 1",
		``:                                      "there is no expression",
		" \n":                                   "there is no expression",
		"\xff":                                  "not valid UTF-8",
		`now == now`:                            "selectors are about device alone",
		`foo(device)`:                           `line 1, column 1: there is no variable or function "foo" here`,
		`device.agents.exists(a, a.kye == "x")`: `did you mean "key"?`,
		`device.attested.faild == 1`:            `did you mean "failed"?`,
		`device.nonsense == 1`:                  "device has id, ueid, name",
		`device.agents.map(a, a.key) == []`:     "has, all, exists, exists_one and filter",
		`device.state == "acepted"`:             `device.state is never "acepted"`,
		`"x" != device.state`:                   `it is one of pending, accepted`,
		`device.state in ["accepted", "retierd"]`:                                `did you mean "retired"?`,
		`device.name.matches(device.id)`:                                         "a regular expression is not taken from a value",
		`matches("x", device.id)`:                                                "a regular expression is not taken from a value",
		`device.name.matches("(")`:                                               "not a regular expression",
		`device.name.matches("(a{1,30}){1,30}")`:                                 "instructions, at most 256",
		`device.name.matches("` + strings.Repeat("a", MaxPattern+1) + `")`:       "a regular expression of 257 bytes",
		`device.created_at.getHours(device.name) == 1`:                           "a time zone is not taken from a value",
		`device.created_at == timestamp("today")`:                                "invalid timestamp argument",
		`expr.Device{id: "x"}.id == "x"`:                                         "an expression does not make a Device",
		`google.protobuf.Struct{} == 1`:                                          "an expression does not make a google.protobuf.Struct",
		`device.agents.exists(device, true)`:                                     `the variable of a macro would hide "device"`,
		`group("egde")`:                                                          `did you mean "edge"?`,
		`group(device.name)`:                                                     "the name of a group is not taken from a value",
		`group()`:                                                                `as in group("edge")`,
		`group("nested")`:                                                        "a group does not refer to another one",
		`group("broken")`:                                                        `group "broken": line 1, column 7: there is no field "lables"`,
		"true || " + strings.Repeat(" ", MaxText):                                "bytes, at most 16384 are read",
		strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200):             "limit",
		"[" + strings.Repeat("1,", 5000) + "1] == []":                            "limit",
		`device.agents.all(a, device.agents.all(b, device.agents.all(c, true)))`: "it may cost too much",
		strings.Repeat(`group("edge") || `, maxGroups) + `group("edge")`:         "more than 64 groups",
	} {
		_, err := NewSelector(text, groups)
		var fault *Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s:\n%v", text, err)
		}
	}
}

func TestFaultsOfRules(t *testing.T) {
	for text, want := range map[string]string{
		`true ? true : reject("x")`:                `write accept() for true`,
		`pending("x")`:                             "pending is for admission policies",
		`accept(3)`:                                "accept does not go with (int)",
		`accept_until("tomorrow", "x")`:            `write accept_until(timestamp("2027-01-31T00:00:00Z"), "why")`,
		`quarantine()`:                             `write quarantine("why")`,
		`result.status = "affirming"`:              "to compare, write ==",
		"true ? accept()\n":                        "line 1, column 16: the text ends too soon",
		`result.vector["excutables"] == 2`:         `did you mean "executables"?`,
		`result.tiers.firmware == "affirming"`:     "the elements are instance-identity",
		`result.tiers["hardware"] == "affirmin"`:   `did you mean "affirming"?`,
		`result.tiers.hardware == "good"`:          "it is one of affirming",
		`result.status == "ok"`:                    "it is one of affirming, warning",
		`result.staus == "ok"`:                     `did you mean "status"?`,
		`result.differences.exists(d, d.nam == 1)`: `did you mean "name"?`,
		`claims`:                           "not a decision or a bool",
		`claims.x`:                         "not a decision or a bool",
		`@label(device.labels, "x") == ""`: "line 1, column 1",
	} {
		_, err := NewAppraisal(text, groups)
		var fault *Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v", text, err)
		}
	}
}

// A long line is shown around the fault, and the caret stays under it.
func TestFaultInALongLine(t *testing.T) {
	for _, before := range []int{0, 30, 200} {
		text := `"` + strings.Repeat("é", before) + `" == device.nmae || "` + strings.Repeat("y", 200) + `" == ""`
		_, err := NewSelector(text, nil)
		var fault *Error
		if !errors.As(err, &fault) {
			t.Fatal(err)
		}
		lines := strings.Split(fault.Error(), "\n")
		line, caret := []rune(lines[1]), strings.Index(lines[2], "^")
		if len(line) > excerptWidth+4 || caret < 0 || !strings.HasPrefix(string(line[min(caret, len(line)):]), "nmae") {
			t.Errorf("%d before:\n%v", before, err)
		}
	}
}

// Nothing that a comprehension goes over and no single call escapes the bound. A fault
// of it is a test that does not end.
func TestEvaluationIsBounded(t *testing.T) {
	var numbers, texts []any
	for i := range 20_000 {
		numbers = append(numbers, float64(i))
	}
	for range 2_000 {
		texts = append(texts, strings.Repeat("a", MaxMatched))
	}
	hostile := map[string]any{"n": numbers, "k": numbers[:500], "s": texts, "t": strings.Repeat("a", 1<<20)}
	for text, want := range map[string]string{
		`claims.n.exists(x, claims.n.exists(y, y == -1))`:      "more than it may",
		`claims.n.filter(x, true).filter(x, true).size() == 1`: "more than it may",
		`claims.n.all(x, claims == claims)`:                    "more than it may",
		`claims.n.all(x, claims.n == claims.n)`:                "more than it may",
		`claims.k.all(x, !(-1 in claims.n))`:                   "more than it may",
		`claims.n.all(x, (claims.n + claims.n).size() > 1)`:    "more than it may",
		`claims.n.all(x, (claims.t + claims.t).size() > 1)`:    "more than it may",
		`claims.n.all(x, claims.t.endsWith(claims.t))`:         "more than it may",
		`claims.n.all(x, claims.t.contains(claims.t))`:         "more than it may",
		`claims.n.all(x, bytes(claims.t) != b"x")`:             "more than it may",
		`claims.n.all(x, string(claims.t) != "x")`:             "more than it may",
		`claims.n.all(x, timestamp(claims.t) < now || true)`:   "more than it may",
		`claims.s.all(x, now.getHours("Europe/Berlin") < 25)`:  "more than it may",
		`claims.s.all(x, !x.matches("(a?){40}a{40}b"))`:        "more than it may",
		`claims.t.matches("a*b")`:                              "a text of 1048576 bytes, at most 1024",
		`matches(claims.t, "a*b")`:                             "a text of 1048576 bytes, at most 1024",
	} {
		r, err := NewAppraisal(text, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := r.Decide(Input{kiosk, warned, hostile, noon}, NewBudget(PerAppraisal)); !errors.Is(err, ErrEvaluate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A group is as large as it is where it is named.
func TestGroupsCount(t *testing.T) {
	big := map[string]string{"big": "true" + strings.Repeat(" || device.name == \"x\"", 500)}
	if _, err := NewSelector(`group("big")`, big); err != nil {
		t.Fatal(err)
	}
	_, err := NewSelector(`group("big") || group("big") || group("big")`, big)
	if err == nil || !strings.Contains(err.Error(), "nodes") {
		t.Error(err)
	}
}

func TestValues(t *testing.T) {
	r, err := NewAppraisal(`(group("edge") || device.labels.floor == "2") && has(claims.gone) && claims["psa-lifecycle"] == "secured"
		&& result.differences.all(d, d.name == claims.sw[0].version) ? accept() : reject(device.name)`, groups)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Value{}
	for _, v := range r.Values(Input{kiosk, warned, claims, noon}) {
		got[v.Name] = v
	}
	for name, want := range map[string]string{
		`device.labels["tier"]`: "edge", `device.labels["floor"]`: "", `claims.gone`: "", `claims["psa-lifecycle"]`: "secured",
		`claims.sw[0].version`: "1.2", "device.name": "kiosk",
	} {
		if v, listed := got[name]; !listed || v.Value != want || v.There != (want != "") {
			t.Errorf("%s: %+v, %t", name, v, listed)
		}
	}
	if _, listed := got["claims.sw"]; listed {
		t.Error("lists what only leads to another")
	}
}

func TestReference(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range Reference() {
		name := strings.TrimSuffix(e.Name, ")")
		if _, member, inList := strings.Cut(e.Name, "[]."); inList {
			name = member
		}
		if !strings.Contains(string(source), name) {
			t.Errorf("the documentation lacks %s", e.Name)
		}
		if e.Type == "" || e.In == "" || strings.HasSuffix(e.Name, ".") {
			t.Errorf("incomplete: %+v", e)
		}
		if strings.ContainsAny(e.Name, "([") || !strings.Contains(e.Name, ".") {
			continue
		}
		if _, err := NewAppraisal(e.Name+" == "+e.Name, nil); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}

// The names of the fields are those of CEL and of JSON alike; one without a name would
// show under Go's.
func TestFieldsHaveNames(t *testing.T) {
	for _, object := range []reflect.Type{
		reflect.TypeFor[Device](), reflect.TypeFor[Attested](), reflect.TypeFor[Agent](), reflect.TypeFor[Result](), reflect.TypeFor[Difference](),
	} {
		for f := range object.Fields() {
			if tag := f.Tag.Get("json"); tag == "" || strings.ToLower(tag) != tag || strings.Contains(tag, ",") {
				t.Errorf("%s.%s: tag %q", object.Name(), f.Name, tag)
			}
		}
	}
}
