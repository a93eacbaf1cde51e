package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// nextStep is what to do about a procedure that failed.
func (d *simulator) nextStep(err error) string {
	for _, known := range []struct {
		err  error
		step string
	}{
		{processor.ErrRollback, "raise the sequence number above the one that the device has had"},
		{processor.ErrNotInstalled, "only what is installed can be uninstalled, in that very version"},
		{processor.ErrReferenced, "uninstall first what needs it"},
		{cosekit.ErrNoDecryptionKey, d.decryptionStep()},
		{processor.ErrUnsupportedCommand, "a simulated device has no slots, and of private commands only the self-test (-257)"},
		{processor.ErrUnsupportedParameter, "make the manifest without it: a simulated device has no slots, and takes no values that it cannot act on"},
		{processor.ErrUnauthenticated, "give the key of the dependency's signer too, with --key"},
		{processor.ErrUnauthorized, d.publishers.rightsStep()},
		{processor.ErrUnknown, "say what the device knows, with --battery, --authorized and --time"},
		{processor.ErrSevered, "put it back with 'tamctl suit restore'"},
		{processor.ErrRule, "change the manifest, or see what --compat makes of it"},
		{processor.ErrIncompatible, "check vendor and class in the manifest, or see what --compat makes of it"},
		{wasm.ErrExit, "the application itself ended so: its output says more; mend it, and make a manifest for it with a higher sequence number"},
		{wasm.ErrTrap, mendApplication},
		{wasm.ErrTime, mendApplication},
		{wasm.ErrOutput, mendApplication},
		{wasm.ErrModule, "devices run WebAssembly modules only: install another file, or leave self-test and invoke out"},
		{tee.ErrFull, "uninstall something, or choose another folder with --device"},
	} {
		if errors.Is(err, known.err) {
			return known.step
		}
	}
	if errors.Is(err, processor.ErrURI) && !d.fetches {
		return "say where payloads are, with --fetch-from FOLDER or --fetch-from network"
	}
	var failure *processor.Failure
	if errors.As(err, &failure) {
		if step, known := commandSteps[failure.Command]; known {
			return step
		}
	}
	return fmt.Sprintf("'tamctl suit lint %s' looks for mistakes in the manifest", lines.Quote(d.path))
}

const mendApplication = "mend the application, and make a manifest for it with a higher sequence number"

const otherDevices = "the manifest is for other devices: make it for this one, or try it on another --device"

// commandSteps are for commands that fail where everything about them is in order.
var commandSteps = map[suit.CommandCode]string{
	suit.ConditionVendorIdentifier: otherDevices,
	suit.ConditionClassIdentifier:  otherDevices,
	suit.ConditionDeviceIdentifier: otherDevices,
	suit.ConditionImageMatch:       "the payload is another one than that of the manifest: fetch the right one, or sign a manifest for this one",
	suit.DirectiveFetch:            "put the payload where --fetch-from looks for it",
	suit.ConditionMinimumBattery:   "try it with a higher --battery",
	suit.ConditionUseBefore:        "try it with an earlier --time, or make a manifest that is valid for longer",
	suit.ConditionUpdateAuthorized: "try it with another --authorized",
	suit.DirectiveWait:             "try it with the --time or the --authorized that it waits for",
	suit.ConditionVersion:          "install first the version that it asks for, or try it on another --device",
	suit.ConditionImageNotMatch:    "the device has an image that the manifest is not for: try it on another --device",
	suit.ConditionDependencyIntegrity: "take the very dependency that the manifest was made with, or make the manifest with this one: " +
		"a dependency that is signed anew is another one",
	author.SelfTestCondition: mendApplication,
}

func (d *simulator) decryptionStep() string {
	if d.decrypts {
		return "none of the keys of --decrypt-key is one that it is encrypted to: give the device the right one, or encrypt it to this device"
	}
	return "give the device its key, with --decrypt-key"
}

// rightsStep tells what each key may sign that may not sign for everything.
func (p *publishers) rightsStep() string {
	var narrow []string
	for _, key := range p.ring.KeyList {
		constraints := p.anchors[key.Thumbprint()].Constraints
		var below []string
		for _, prefix := range constraints.Components {
			below = append(below, prefix.String())
		}
		for _, scope := range constraints.Scopes {
			below = append(below, scope.String())
		}
		if len(below) > 0 {
			narrow = append(narrow, fmt.Sprintf("%s may sign for %s only", p.files[key.Thumbprint()], strings.Join(below, " and ")))
		}
	}
	return strings.Join(append(narrow, "have it signed by a key that may do this, or give that key the prefix too (--key FILE=PREFIX)"), "; ")
}
