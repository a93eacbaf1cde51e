package main

import (
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit/author"
)

// With --verbose each command of a manifest is a line, the one that failed with its reason.
func TestVerbose(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	f.offer(t, 1, application(t, "1", true), nil)
	out, code := execute(t, "poll", "--verbose", "--dir", dir)
	for _, want := range []string{
		"command shared-sequence, byte ", "vendor-identifier on app/hello: ok",
		"fetch on app/hello: ok", "image-match on app/hello: ok", "self-test on app/hello: ok",
	} {
		if !strings.Contains(flat(out), want) {
			t.Errorf("no %q, exit %d:\n%s", want, code, out)
		}
	}
	if out, _ := execute(t, "invoke", "-v", "--dir", dir); !strings.Contains(flat(out), "command invoke, byte ") {
		t.Errorf("invoke:\n%s", out)
	}
	f.offer(t, 2, application(t, "2", false), nil)
	out, code = execute(t, "poll", "-v", "--dir", dir)
	if want := "self-test on app/hello failed: condition not met: self-test: the application failed: exit code 1"; code != exitRefused || strings.Count(flat(out), want) != 1 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	f.offer(t, 3, application(t, "3", true), func(d *author.Description) { d.SelfTest = false })
	if out, code := execute(t, "poll", "--dir", dir); code != exitOK || strings.Contains(out, "command") {
		t.Errorf("not asked for, exit %d:\n%s", code, out)
	}
}
