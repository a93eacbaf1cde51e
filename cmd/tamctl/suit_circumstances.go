package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// circumstanceFlags are what a simulated device knows of itself and its surroundings. Of
// what is not said it knows nothing, and a condition about it fails.
type circumstanceFlags struct{ battery, authorized, time string }

// authorization says which update priorities are authorised: all of them, none, or those
// up to a number; the smaller, the more urgent.
type authorization struct {
	all     bool
	highest *int64
}

func (f *circumstanceFlags) parse() (c circumstances, err error) {
	err = errors.Join(
		parse(&c.battery, "--battery", f.battery, func(s string) (*uint64, error) {
			charge, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%q is no charge in mWh", s)
			}
			return &charge, nil
		}),
		parse(&c.authorization, "--authorized", f.authorized, parseAuthorization),
		parse(&c.now, "--time", f.time, parseMoment),
	)
	return c, err
}

func parseAuthorization(s string) (*authorization, error) {
	switch s {
	case "yes":
		return &authorization{all: true}, nil
	case "no":
		return &authorization{}, nil
	}
	highest, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q: want yes, no or the highest update-priority", s)
	}
	return &authorization{highest: &highest}, nil
}

func parseMoment(s string) (*time.Time, error) {
	t := time.Now()
	if s == "now" {
		return &t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, fmt.Errorf("%q: want now, or a time such as 2027-01-31T12:00:00Z", s)
	}
	return &t, nil
}

// circumstances are those that are known; nil for what is not.
type circumstances struct {
	battery       *uint64
	authorization *authorization
	now           *time.Time
}

func (c circumstances) processor() (out processor.Circumstances) {
	if c.now != nil {
		out.Clock = func() time.Time { return *c.now }
	}
	if c.battery != nil {
		out.Battery = func(context.Context) (uint64, error) { return *c.battery, nil }
	}
	if c.authorization != nil {
		out.Authorize = func(_ context.Context, priority *int64) error { return c.authorization.allow(priority) }
	}
	out.Wait = func(_ context.Context, w *suit.WaitInfo) error { return c.holds(w) }
	return out
}

func (a *authorization) allow(priority *int64) error {
	switch {
	case a.all, a.highest != nil && priority != nil && *priority <= *a.highest:
		return nil
	case a.highest == nil:
		return errors.New("the simulated device authorises nothing")
	}
	return fmt.Errorf("the simulated device authorises priorities up to %d", *a.highest)
}

// holds looks at every part of the event once: time stands still in a simulation.
func (c circumstances) holds(w *suit.WaitInfo) error {
	if w.Power != nil || w.Network != nil || w.OtherDevice != nil || len(w.Other) > 0 {
		return errors.New("a simulated device knows nothing of power states, networks and other devices to wait for")
	}
	if w.Authorization != nil {
		if c.authorization == nil {
			return errors.New("nothing says whether the update is authorised")
		}
		if err := c.authorization.allow(w.Authorization); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		set  bool
		want func(now time.Time) bool
	}{
		{w.Time != nil, func(now time.Time) bool { return !now.Before(*w.Time) }},
		{w.TimeOfDay != nil, func(now time.Time) bool { return secondOfDay(now.Local()) >= *w.TimeOfDay }},
		{w.DayOfWeek != nil, func(now time.Time) bool { return uint64(now.Local().Weekday()) == *w.DayOfWeek }},
		{w.TimeOfDayUTC != nil, func(now time.Time) bool { return secondOfDay(now.UTC()) >= *w.TimeOfDayUTC }},
		{w.DayOfWeekUTC != nil, func(now time.Time) bool { return uint64(now.UTC().Weekday()) == *w.DayOfWeekUTC }},
	} {
		switch {
		case !part.set:
		case c.now == nil:
			return errors.New("the simulated device does not know the time")
		case !part.want(*c.now):
			return fmt.Errorf("it waits for %s, and the simulated time stays at %s", w, c.now.Format(time.RFC3339))
		}
	}
	return nil
}

func secondOfDay(t time.Time) uint64 {
	hour, minute, second := t.Clock()
	return uint64(hour*3600 + minute*60 + second)
}
