package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

// A part of an event about which nothing is known never comes.
func TestHolds(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC) // a Sunday
	later := now.Add(time.Second)
	noon, afternoon := uint64(12*3600), uint64(12*3600+1)
	sunday, monday := uint64(time.Sunday), uint64(time.Monday)
	two, any := int64(2), int64(9)
	known := circumstances{now: &now, authorization: &authorization{highest: &two}}
	for name, c := range map[string]struct {
		of   circumstances
		wait suit.WaitInfo
		want string // of the error, empty for none
	}{
		"reached":              {known, suit.WaitInfo{Time: &now}, ""},
		"not reached":          {known, suit.WaitInfo{Time: &later}, "simulated time stays at 2027-01-31T12:00:00Z"},
		"no clock":             {circumstances{}, suit.WaitInfo{Time: &now}, "does not know the time"},
		"time of day":          {known, suit.WaitInfo{TimeOfDayUTC: &noon}, ""},
		"too early":            {known, suit.WaitInfo{TimeOfDayUTC: &afternoon}, "waits for"},
		"day":                  {known, suit.WaitInfo{DayOfWeekUTC: &sunday}, ""},
		"another day":          {known, suit.WaitInfo{DayOfWeekUTC: &monday}, "waits for"},
		"day and time":         {known, suit.WaitInfo{DayOfWeekUTC: &sunday, TimeOfDayUTC: &afternoon}, "waits for"},
		"authorised":           {known, suit.WaitInfo{Authorization: &two}, ""},
		"not urgent enough":    {known, suit.WaitInfo{Authorization: &any}, "priorities up to 2"},
		"nothing authorises":   {circumstances{now: &now}, suit.WaitInfo{Authorization: &two}, "nothing says"},
		"power":                {known, suit.WaitInfo{Power: &two}, "knows nothing of power"},
		"network":              {known, suit.WaitInfo{Network: &two}, "knows nothing of power"},
		"both, one unknown":    {known, suit.WaitInfo{Time: &now, Network: &two}, "knows nothing of power"},
		"both, one not so yet": {known, suit.WaitInfo{Time: &later, Authorization: &two}, "waits for"},
	} {
		err := c.of.holds(&c.wait)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAuthorization(t *testing.T) {
	low, high := int64(1), int64(7)
	for given, want := range map[string][3]bool{ // without a priority, urgent, not urgent
		"yes": {true, true, true}, "no": {}, "3": {false, true, false}, "-5": {},
	} {
		a, err := parseAuthorization(given)
		if err != nil {
			t.Fatal(err)
		}
		for i, priority := range []*int64{nil, &low, &high} {
			if got := a.allow(priority) == nil; got != want[i] {
				t.Errorf("%s, priority %d: %t", given, i, got)
			}
		}
	}
}

// What is not said is not known to the processor either.
func TestUnsaidIsUnknown(t *testing.T) {
	c, err := (&circumstanceFlags{}).parse()
	if err != nil {
		t.Fatal(err)
	}
	p := c.processor()
	if p.Clock != nil || p.Battery != nil || p.Authorize != nil {
		t.Errorf("something is known: %+v", p)
	}
	if c, err = (&circumstanceFlags{time: "now", battery: "5", authorized: "yes"}).parse(); err != nil {
		t.Fatal(err)
	}
	p = c.processor()
	if charge, err := p.Battery(t.Context()); charge != 5 || err != nil || time.Since(p.Clock()) > time.Hour || p.Authorize(t.Context(), nil) != nil {
		t.Errorf("charge %d, %v, clock %s", charge, err, p.Clock())
	}
}
