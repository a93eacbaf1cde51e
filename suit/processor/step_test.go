package processor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Every command is told when it has ended, those that failed without consequence too.
func TestSteps(t *testing.T) {
	tr := newTrial()
	var got []string
	tr.Observe = func(s Step) {
		if s.Section == suit.SectionInstall {
			got = append(got, fmt.Sprintf("%d %s %d failed=%v softened=%v", s.Depth, s.Command, s.Index, s.Err != nil, s.Softened))
		}
	}
	written := []suit.Command{override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite)}
	tr.succeed(t, install(tries(inner(runs(check(suit.ConditionAbort))), inner(written...))), newImage)
	want := []string{
		"2 abort 0 failed=true softened=false",
		"1 run-sequence 0 failed=true softened=true",
		"1 override-parameters 0 failed=false softened=false",
		"1 write 0 failed=false softened=false",
		"0 try-each 0 failed=false softened=false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A private command goes by the name that the caller knows, else by its number.
func TestCommandNames(t *testing.T) {
	for want, names := range map[string]suit.CommandNames{
		"self-test":    {-300: "self-test"},
		"command -300": {suit.ConditionAbort: "nothing", -301: "other"},
	} {
		tr := newTrial()
		var steps []string
		tr.Names, tr.Observe = names, func(s Step) { steps = append(steps, s.Name) }
		tr.Custom = map[suit.CommandCode]CustomCommand{-300: {Run: func(context.Context, CustomCall) error { return ErrNoImage }}}
		_, failure := tr.fail(t, install(check(-300)), ErrNoImage)
		if !strings.HasPrefix(failure.Error(), "install: "+want+" at byte ") || !slices.Contains(steps, want) {
			t.Errorf("%v, %q, want %s", failure, steps, want)
		}
		tr.Custom = nil
		if _, failure := tr.fail(t, install(check(-300)), ErrUnsupportedCommand); !strings.HasPrefix(failure.Error(), "install: "+want+" at byte ") {
			t.Errorf("%v, want %s", failure, want)
		}
		if _, failure := tr.fail(t, install(check(suit.ConditionAbort)), ErrAbort); !strings.HasPrefix(failure.Error(), "install: abort at byte ") {
			t.Errorf("%v", failure)
		}
	}
	if f := (&Failure{Section: suit.SectionInstall, Command: -300, Err: ErrAbort}); !strings.HasPrefix(f.Error(), "install: command -300 at byte 0: ") {
		t.Errorf("%v", f)
	}
}

// A device that lacks something says what it has.
func TestCapabilityReport(t *testing.T) {
	tr := newTrial()
	outcome, _ := tr.fail(t, install(check(suit.ConditionComponentSlot)), ErrUnsupportedCommand)
	c := outcome.Report.Capabilities
	if c == nil || slices.Contains(c.Commands, suit.ConditionComponentSlot) || !slices.Contains(c.Commands, suit.DirectiveSwap) {
		t.Fatalf("capabilities %+v", c)
	}
	if _, err := outcome.Report.Encode(); err != nil {
		t.Error(err)
	}
	outcome, _ = tr.fail(t, install(check(suit.ConditionAbort)), ErrAbort)
	if outcome.Report.Capabilities != nil {
		t.Error("capabilities with a condition that did not hold")
	}

	bare := New(Config{Host: tr.host}).Capabilities()
	tr.slot, tr.Invoke = ptr(uint64(0)), (&runner{}).invoke
	tr.Custom = map[suit.CommandCode]CustomCommand{-300: {}, -256: {}}
	_, tr.Keys = secret(t)
	full := tr.processor().Capabilities()
	for _, code := range []suit.CommandCode{suit.ConditionComponentSlot, suit.DirectiveInvoke, -300} {
		if slices.Contains(bare.Commands, code) || !slices.Contains(full.Commands, code) {
			t.Errorf("%s: %v and %v", code, bare.Commands, full.Commands)
		}
	}
	if slices.Contains(full.Commands, -256) || slices.Contains(full.Commands, suit.DirectiveWait) {
		t.Errorf("commands %v", full.Commands)
	}
	if slices.Contains(bare.Parameters, suit.ParameterEncryptionInfo) || !slices.Contains(full.Parameters, suit.ParameterEncryptionInfo) {
		t.Errorf("parameters %v and %v", bare.Parameters, full.Parameters)
	}
	if !slices.Contains(full.Common, 1) || slices.Contains(bare.Common, 1) || full.Dependency != nil || len(full.Algorithms) <= len(bare.Algorithms) {
		t.Errorf("%+v and %+v", bare, full)
	}
	if !slices.Equal(full.Envelope, []int64{2, 3, 14, 15, 16, 18, 20, 23}) || len(full.Text) != 4 || len(full.ComponentText) != 8 {
		t.Errorf("%+v", full)
	}
}

// What a device does not know about itself it does not claim to compare; a manifest that
// asks for it is run for the sake of its alternatives.
func TestCapabilitiesOfCircumstances(t *testing.T) {
	commands := []suit.CommandCode{suit.ConditionUseBefore, suit.ConditionMinimumBattery, suit.ConditionUpdateAuthorized}
	parameters := []suit.ParameterCode{suit.ParameterUseBefore, suit.ParameterMinimumBattery, suit.ParameterUpdatePriority}
	for i := range commands {
		for j, about := range []Circumstances{
			{Clock: time.Now},
			{Battery: func(context.Context) (uint64, error) { return 0, nil }},
			{Authorize: func(context.Context, *int64) error { return nil }},
		} {
			c := New(Config{Host: newMemory(device), Circumstances: about}).Capabilities()
			if slices.Contains(c.Commands, commands[i]) != (i == j) || slices.Contains(c.Parameters, parameters[i]) != (i == j) {
				t.Errorf("with %d: %s", j, commands[i])
			}
		}
	}
}

// chosen is a memory with a list of components.
type chosen struct{ *memory }

func (chosen) Components() []suit.ComponentCapability {
	return []suit.ComponentCapability{{ID: app}, {ID: lib, Wildcard: true}}
}

func TestCapabilitiesOfHostAndCaller(t *testing.T) {
	c := New(Config{Host: chosen{newMemory(device)}, Signatures: []cosekit.Algorithm{cosekit.HSSLMS}}).Capabilities()
	if len(c.Components) != 2 || !slices.Contains(c.Algorithms, cosekit.HSSLMS) {
		t.Errorf("%+v", c)
	}
	c = New(Config{Host: newMemory(device)}).Capabilities()
	if len(c.Components) != 1 || c.Components[0].String() != "*" || slices.Contains(c.Algorithms, cosekit.HSSLMS) {
		t.Errorf("%+v", c)
	}
}
