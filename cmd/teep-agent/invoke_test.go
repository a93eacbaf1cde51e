package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

// offer makes the Update of the next session of an application, as described.
func (f *fakeTAM) offer(t *testing.T, sequence uint64, module []byte, describe func(*author.Description)) {
	t.Helper()
	d := &author.Description{
		Component: suit.ComponentID{[]byte("app"), []byte("hello")}, SequenceNumber: sequence,
		VendorDomain: "example.com", ClassInfo: "lamp", Payload: author.Payload{Integrated: true},
		SelfTest: true, Invoke: &author.Invoke{Args: []string{"--now"}},
	}
	if describe != nil {
		describe(d)
	}
	m, payloads, err := author.CreateFrom(d, bytes.NewReader(module))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := suit.Sign(m, payloads, f.publisher)
	if err != nil {
		t.Fatal(err)
	}
	data, err := envelope.Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	f.update = &teep.Update{Token: append([]byte{byte(sequence)}, updToken...), Manifests: [][]byte{data}}
}

func application(t *testing.T, version string, healthy bool) []byte {
	t.Helper()
	module, err := sample.Application(version, healthy)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// TestInvoke takes an application that is encrypted to the device through its life: it
// is installed, run, refused in a broken version, and run again.
func TestInvoke(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	want := func(code int, text string, args ...string) string {
		t.Helper()
		out, got := execute(t, append(args, "--dir", dir)...)
		if got != code || !strings.Contains(flat(out), text) {
			t.Fatalf("%s: exit %d, want %d and %q\n%s", args, got, code, text, out)
		}
		return out
	}
	want(exitFailure, "none has a section invoke", "invoke")
	want(exitRefused, "not installed", "invoke", "--manifest", "app/hello/suit")
	want(exitUsage, "--manifest", "invoke", "--manifest", "a//b")

	encrypted := func(d *author.Description) { d.Payload.EncryptTo = []string{device.DecryptionKeyPath(dir)} }
	f.offer(t, 1, application(t, "1", true), encrypted)
	if bytes.Contains(f.update.Manifests[0], []byte("fd_write")) {
		t.Fatal("the module can be read in the envelope")
	}
	want(exitOK, "app/hello: version 1, self-test: passed", "poll")
	const greeting = "app/hello: Hello from a Trusted Application, version 1."
	want(exitOK, greeting, "invoke")
	narrow(t, want(exitOK, greeting, "invoke", "--manifest", "app/hello/suit"))
	want(exitOK, "| Hello from a Trusted Application, version 1.", "status")

	f.offer(t, 2, application(t, "2", false), encrypted)
	want(exitRefused, "app/hello: version 2, self-test: FAILED", "poll")
	if _, ok := f.answered.(*teep.Error); !ok {
		t.Errorf("the TAM was told %T", f.answered)
	}
	want(exitOK, greeting, "invoke")

	// One that fails when it is run says so to whoever runs it, and in the status.
	f.offer(t, 3, application(t, "3", false), func(d *author.Description) {
		d.SelfTest, d.Invoke.Args = false, []string{"--self-test"}
	})
	want(exitOK, "installed", "poll")
	want(exitRefused, "the application failed: exit code 1", "invoke")
	out := want(exitOK, "exit_code", "status", "-o", "json")
	var s device.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Runs) != 1 || s.Runs[0].ExitCode != 1 || s.Runs[0].Output != "version 3, self-test: FAILED\n" {
		t.Errorf("runs %+v, %v", s.Runs, err)
	}

	f.offer(t, 1, application(t, "1", true), func(d *author.Description) { d.Component = suit.ComponentID{[]byte("app"), []byte("other")} })
	want(exitOK, "installed", "poll")
	want(exitUsage, "app/hello/suit, app/other/suit", "invoke")
}
