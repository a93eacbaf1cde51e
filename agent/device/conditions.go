package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// Conditions say where the device knows from what the conditions and the wait of
// draft-ietf-suit-update-management ask it. One that is not configured fails.
type Conditions struct {
	// Battery is the charge in mWh.
	Battery *Source `yaml:"battery,omitempty" want:"a charge in mWh, or file: and the path where it stands"`
	// Authorized is whether updates may be made: yes, no, or a number, which is the
	// highest update-priority that may; the smaller, the more urgent.
	Authorized *Source `yaml:"authorized,omitempty" want:"yes, no or a number, or file: and the path where it stands"`
	// Clock says that the clock of the system can be relied on.
	Clock bool `yaml:"clock,omitempty"`
	// Wait is how long one manifest may make the device wait for an event.
	Wait time.Duration `yaml:"wait,omitempty"`
}

// Source is a fact about the device: written down, or in a file that something else on
// the device keeps up to date. People write that as "file:/run/battery".
type Source struct{ Value, File string }

const filePrefix = "file:"

// MarshalText implements encoding.TextMarshaler.
func (s Source) MarshalText() ([]byte, error) {
	if s.File != "" {
		return []byte(filePrefix + s.File), nil
	}
	return []byte(s.Value), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Source) UnmarshalText(text []byte) error {
	if file, ok := strings.CutPrefix(string(text), filePrefix); ok {
		if file == "" {
			return errors.New("file: names no file")
		}
		*s = Source{File: file}
		return nil
	}
	*s = Source{Value: string(text)}
	return nil
}

// maxFact is more than any fact has bytes.
const maxFact = 64

// read returns what is so now.
func (s Source) read() (string, error) {
	if s.File == "" {
		return s.Value, nil
	}
	f, err := os.Open(s.File)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFact+1))
	if err == nil && len(data) > maxFact {
		err = fmt.Errorf("%s has more than %d bytes", s.File, maxFact)
	}
	return strings.TrimSpace(string(data)), err
}

// check finds what can be seen to be wrong before it is needed.
func (c Conditions) check() error {
	if c.Battery != nil && c.Battery.File == "" {
		if _, err := parseBattery(c.Battery.Value); err != nil {
			return wrong("conditions.battery", "%w", err)
		}
	}
	if c.Authorized != nil && c.Authorized.File == "" {
		if _, err := parseAuthorization(c.Authorized.Value); err != nil {
			return wrong("conditions.authorized", "%w", err)
		}
	}
	if c.Wait < 0 {
		return wrong("conditions.wait", "%s is negative", c.Wait)
	}
	return nil
}

// checkFiles looks whether the facts that are in files can be read now.
func (c Conditions) checkFiles() error {
	var faults []error
	for _, fact := range []struct {
		key    string
		source *Source
	}{{"conditions.battery", c.Battery}, {"conditions.authorized", c.Authorized}} {
		if fact.source == nil {
			continue
		}
		if _, err := fact.source.read(); err != nil {
			faults = append(faults, wrong(fact.key, "%w; let what knows it write it there, or correct the path", err))
		}
	}
	return errors.Join(faults...)
}

func parseBattery(text string) (uint64, error) {
	charge, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: want a charge in mWh, such as 3000", text)
	}
	return charge, nil
}

// authorization says which update priorities are authorised, and of others why not; the
// processor puts before it that the update is not.
type authorization func(priority *int64) error

func parseAuthorization(text string) (authorization, error) {
	switch text {
	case "yes", "true":
		return func(*int64) error { return nil }, nil
	case "no", "false":
		return func(*int64) error { return errors.New("the device takes none now") }, nil
	}
	highest, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q: want yes, no or the highest update-priority", text)
	}
	return func(priority *int64) error {
		switch {
		case priority == nil:
			return fmt.Errorf("it has no priority, and up to %d are authorised", highest)
		case *priority > highest:
			return fmt.Errorf("its priority is %d, and up to %d are authorised", *priority, highest)
		}
		return nil
	}, nil
}

// circumstances are what the processor asks.
func (c Conditions) circumstances(clock func() time.Time) processor.Circumstances {
	var out processor.Circumstances
	if c.Clock {
		out.Clock = clock
	}
	if c.Battery != nil {
		out.Battery = c.battery
	}
	if c.Authorized != nil {
		out.Authorize = c.authorize
	}
	if c.Wait > 0 {
		out.Wait = func(ctx context.Context, w *suit.WaitInfo) error { return c.wait(ctx, w, clock) }
	}
	return out
}

func (c Conditions) battery(context.Context) (uint64, error) {
	text, err := c.Battery.read()
	if err != nil {
		return 0, fmt.Errorf("battery: %w", err)
	}
	return parseBattery(text)
}

func (c Conditions) authorize(_ context.Context, priority *int64) error {
	text, err := c.Authorized.read()
	if err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	authorized, err := parseAuthorization(text)
	if err != nil {
		return err
	}
	return authorized(priority)
}

// errNotYet: the event may still come.
var errNotYet = errors.New("the event that the manifest waits for has not come")

// lookAgain is how often the device looks for an event.
const lookAgain = time.Second

// wait returns nil when all of the event holds, and why not when its time is over.
func (c Conditions) wait(ctx context.Context, w *suit.WaitInfo, clock func() time.Time) error {
	patient, stop := context.WithTimeout(ctx, c.Wait)
	defer stop()
	for {
		err := c.holds(ctx, w, clock)
		if !errors.Is(err, errNotYet) {
			return err
		}
		if wait(patient, lookAgain) != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("waited %s: %w", c.Wait, err))
		}
	}
}

// holds looks at every part of the event. A part about which the device knows nothing
// will not come.
func (c Conditions) holds(ctx context.Context, w *suit.WaitInfo, clock func() time.Time) error {
	if w.Power != nil || w.Network != nil || w.OtherDevice != nil || len(w.Other) > 0 {
		return errors.New("the device knows nothing of power states, networks and other devices to wait for")
	}
	if w.Authorization != nil {
		if c.Authorized == nil {
			return errors.New("the device has nothing configured that could authorise the update")
		}
		if err := c.authorize(ctx, w.Authorization); err != nil {
			return fmt.Errorf("%w: %w", errNotYet, err)
		}
	}
	local := clock()
	for _, part := range []struct {
		want func(now time.Time) bool
		set  bool
	}{
		{func(now time.Time) bool { return !now.Before(*w.Time) }, w.Time != nil},
		{func(now time.Time) bool { return secondOfDay(now) >= *w.TimeOfDay }, w.TimeOfDay != nil},
		{func(now time.Time) bool { return uint64(now.Weekday()) == *w.DayOfWeek }, w.DayOfWeek != nil},
		{func(now time.Time) bool { return secondOfDay(now.UTC()) >= *w.TimeOfDayUTC }, w.TimeOfDayUTC != nil},
		{func(now time.Time) bool { return uint64(now.UTC().Weekday()) == *w.DayOfWeekUTC }, w.DayOfWeekUTC != nil},
	} {
		switch {
		case part.set && !c.Clock:
			return errors.New("the device has no clock that can be relied on")
		case part.set && !part.want(local):
			return fmt.Errorf("%w: it is %s", errNotYet, local.Format(time.RFC3339))
		}
	}
	return nil
}

func secondOfDay(t time.Time) uint64 {
	hour, minute, second := t.Clock()
	return uint64(hour*3600 + minute*60 + second)
}
