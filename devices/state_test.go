package devices

import (
	"testing"
	"time"
)

func TestCanBecome(t *testing.T) {
	states := []State{Pending, Accepted, Quarantined, Rejected, Retired}
	allowed := map[[2]State]bool{
		{Pending, Accepted}: true, {Pending, Rejected}: true, {Pending, Retired}: true,
		{Accepted, Quarantined}: true, {Accepted, Rejected}: true, {Accepted, Retired}: true,
		{Quarantined, Accepted}: true, {Quarantined, Rejected}: true, {Quarantined, Retired}: true,
		{Rejected, Accepted}: true, {Rejected, Retired}: true,
		{Retired, Pending}: true,
	}
	for _, from := range states {
		for _, to := range states {
			if got := from.CanBecome(to); got != allowed[[2]State{from, to}] {
				t.Errorf("%s.CanBecome(%s) = %t", from, to, got)
			}
		}
		if !from.Valid() {
			t.Errorf("%s is not valid", from)
		}
		if from.CanBecome("lost") || State("lost").CanBecome(from) {
			t.Errorf("%s goes with an unknown state", from)
		}
	}
	if State("").Valid() || State("lost").Valid() {
		t.Error("an unknown state is valid")
	}
}

func TestComponentStateValid(t *testing.T) {
	for s, removal := range map[ComponentState]bool{
		Offered: false, Claimed: false, Confirmed: false, Failed: false,
		Removing: true, Unlinked: true, Removed: true, RemovalFailed: true,
	} {
		if !s.Valid() || s.Removal() != removal {
			t.Errorf("%s: valid %t, removal %t", s, s.Valid(), s.Removal())
		}
	}
	if ComponentState("").Valid() || ComponentState("done").Valid() {
		t.Error("an unknown component state is valid")
	}
}

func TestDisplayName(t *testing.T) {
	for _, test := range []struct {
		device Device
		want   string
	}{
		{Device{ID: "id-1", UEID: []byte{1, 0xab}, Name: "kiosk"}, "kiosk"},
		{Device{ID: "id-1", UEID: []byte{1, 0xab}}, "01ab"},
		{Device{ID: "id-1"}, "id-1"},
	} {
		if got := test.device.DisplayName(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestHoldActive(t *testing.T) {
	now := time.Unix(1000, 0)
	for hold, want := range map[time.Time]bool{
		{}: false, now.Add(-time.Second): false, now: false, now.Add(time.Second): true,
	} {
		if got := (Agent{HoldUntil: hold}).HoldActive(now); got != want {
			t.Errorf("held until %s at %s: %t", hold, now, got)
		}
	}
}
