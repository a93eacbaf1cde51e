package device

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func source(text string) *Source {
	s := new(Source)
	if err := s.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return s
}

func to[T any](v T) *T { return &v }

// fact writes a file as something else on the device would.
func fact(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fact")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return filePrefix + path
}

// TestNothingConfigured: what nothing is known of must not be there to be asked.
func TestNothingConfigured(t *testing.T) {
	c := Conditions{}.circumstances(time.Now)
	if c.Clock != nil || c.Battery != nil || c.Authorize != nil || c.Wait != nil {
		t.Errorf("%+v", c)
	}
}

func TestBattery(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   uint64
		fault  string
	}{
		{"5000", 5000, ""},
		{fact(t, "4321\n"), 4321, ""},
		{fact(t, ""), 0, "want a charge in mWh"},
		{fact(t, "-1"), 0, "want a charge in mWh"},
		{fact(t, "full"), 0, "want a charge in mWh"},
		{fact(t, strings.Repeat("9", 100)), 0, "more than 64 bytes"},
		{"file:/nowhere/battery", 0, "no such file"},
	} {
		got, err := Conditions{Battery: source(tt.source)}.circumstances(time.Now).Battery(t.Context())
		if tt.fault == "" && (err != nil || got != tt.want) || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: %d, %v", tt.source, got, err)
		}
	}
}

// TestBatteryIsReadEachTime: the file changes while the agent runs.
func TestBatteryIsReadEachTime(t *testing.T) {
	text := fact(t, "10")
	ask := Conditions{Battery: source(text)}.circumstances(time.Now).Battery
	for _, want := range []string{"10", "9"} {
		if err := os.WriteFile(strings.TrimPrefix(text, filePrefix), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ask(t.Context()); err != nil || got != uint64(want[0]-'0') && want != "10" {
			t.Errorf("%d, %v, want %s", got, err, want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	urgent, idle := to(int64(-1)), to(int64(7))
	for _, tt := range []struct {
		source                string
		without, urgent, idle bool
	}{
		{"yes", true, true, true},
		{"true", true, true, true},
		{"no", false, false, false},
		{"false", false, false, false},
		{"3", false, true, false},
		{"7", false, true, true},
		{"-2", false, false, false},
		{fact(t, "yes\n"), true, true, true},
		{fact(t, "3\n"), false, true, false},
		{fact(t, ""), false, false, false},
		{fact(t, "maybe"), false, false, false},
		{"file:/nowhere/authorized", false, false, false},
	} {
		ask := Conditions{Authorized: source(tt.source)}.circumstances(time.Now).Authorize
		for _, one := range []struct {
			priority *int64
			want     bool
		}{{nil, tt.without}, {urgent, tt.urgent}, {idle, tt.idle}} {
			if err := ask(t.Context(), one.priority); (err == nil) != one.want {
				t.Errorf("%s, priority %v: %v", tt.source, one.priority, err)
			}
		}
	}
}

func TestWait(t *testing.T) {
	// A Saturday, 01:30 in a zone that is two hours ahead: Friday 23:30 UTC.
	at := time.Date(2026, 11, 21, 1, 30, 0, 0, time.FixedZone("", 7200))
	all := Conditions{Authorized: source("3"), Clock: true, Wait: 1}
	for name, tt := range map[string]struct {
		c    Conditions
		w    suit.WaitInfo
		want string
	}{
		"authorised":               {all, suit.WaitInfo{Authorization: to(int64(3))}, ""},
		"not authorised":           {all, suit.WaitInfo{Authorization: to(int64(4))}, "waited 1ns: "},
		"nothing to authorise":     {Conditions{Clock: true, Wait: 1}, suit.WaitInfo{Authorization: to(int64(3))}, "nothing configured"},
		"time":                     {all, suit.WaitInfo{Time: to(at)}, ""},
		"later":                    {all, suit.WaitInfo{Time: to(at.Add(time.Second))}, "waited 1ns: "},
		"no clock":                 {Conditions{Wait: 1}, suit.WaitInfo{Time: to(at)}, "no clock"},
		"time of day":              {all, suit.WaitInfo{TimeOfDay: to(uint64(5400))}, ""},
		"later that day":           {all, suit.WaitInfo{TimeOfDay: to(uint64(5401))}, "has not come"},
		"time of day, UTC":         {all, suit.WaitInfo{TimeOfDayUTC: to(uint64(23*3600 + 1800))}, ""},
		"later that day, UTC":      {all, suit.WaitInfo{TimeOfDayUTC: to(uint64(23*3600 + 1801))}, "has not come"},
		"day":                      {all, suit.WaitInfo{DayOfWeek: to(uint64(6))}, ""},
		"another day":              {all, suit.WaitInfo{DayOfWeek: to(uint64(5))}, "has not come"},
		"day, UTC":                 {all, suit.WaitInfo{DayOfWeekUTC: to(uint64(5))}, ""},
		"another day, UTC":         {all, suit.WaitInfo{DayOfWeekUTC: to(uint64(6))}, "has not come"},
		"all of it":                {all, suit.WaitInfo{Time: to(at), DayOfWeek: to(uint64(6)), Authorization: to(int64(0))}, ""},
		"all but one":              {all, suit.WaitInfo{Time: to(at), DayOfWeek: to(uint64(5)), Authorization: to(int64(0))}, "has not come"},
		"power":                    {all, suit.WaitInfo{Power: to(int64(1))}, "knows nothing"},
		"network":                  {all, suit.WaitInfo{Network: to(int64(1))}, "knows nothing"},
		"other device":             {all, suit.WaitInfo{OtherDevice: &suit.OtherDeviceVersion{}}, "knows nothing"},
		"what nobody has heard of": {all, suit.WaitInfo{Other: map[int64]cosekit.RawMessage{-1: {0}}}, "knows nothing"},
	} {
		err := tt.c.circumstances(func() time.Time { return at }).Wait(t.Context(), &tt.w)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if err := all.holds(t.Context(), &suit.WaitInfo{Power: to(int64(1))}, time.Now); errors.Is(err, errNotYet) {
		t.Error("it would wait for what cannot come")
	}
}
