package agent_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// console is where the applications of these tests are run: it reads them.
type console struct {
	ran   []string
	fault error
}

func (c *console) invoke(_ context.Context, i processor.Invocation) error {
	image, _, err := i.Open()
	if err != nil {
		return err
	}
	defer image.Close()
	data, err := io.ReadAll(image)
	c.ran = append(c.ran, i.Component.String()+" "+string(data)+" "+string(i.Args))
	return errors.Join(err, c.fault)
}

func invocable(d *author.Description) { d.Invoke = &author.Invoke{Args: []string{"x"}} }

func TestInvoke(t *testing.T) {
	c := new(console)
	w := newWorld(t, func(config *agent.Config) { config.Processing.Invoke = c.invoke })
	must[*teep.Success](w, w.update(
		release{component: "app/hello", sequence: 1, image: "one", signer: w.publisher, describe: invocable},
		release{component: "app/data", sequence: 1, image: "data", signer: w.publisher},
	))
	if list, err := w.agent.Invocable(); err != nil || len(list) != 1 || list[0].String() != "app/hello/suit" {
		t.Errorf("invocable %s, %v", list, err)
	}
	if report, err := w.agent.Invoke(t.Context(), id(t, "app/hello/suit")); err != nil || !report.Succeeded() {
		t.Errorf("%+v, %v", report, err)
	}
	if want := []string{"app/hello one \x81ax"}; !slices.Equal(c.ran, want) {
		t.Errorf("ran %q, want %q", c.ran, want)
	}
	c.fault = errors.New("exit code 1")
	report, err := w.agent.Invoke(t.Context(), id(t, "app/hello/suit"))
	if !errors.Is(err, agent.ErrInvoke) || !errors.Is(err, c.fault) || report.Succeeded() || report.Failure.Reason != suit.ReasonOperationFailed {
		t.Errorf("%+v, %v", report, err)
	}
	for name, manifest := range map[string]string{"nothing to invoke": "app/data/suit", "not installed": "app/none/suit", "a component": "app/hello"} {
		if _, err := w.agent.Invoke(t.Context(), id(t, manifest)); !errors.Is(err, agent.ErrInvoke) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(c.ran) != 2 {
		t.Errorf("ran %q", c.ran)
	}
}

// TestInvokeNeedsTrust: an application of a publisher who is trusted no more does not
// start, though it is installed.
func TestInvokeNeedsTrust(t *testing.T) {
	c := new(console)
	var config agent.Config
	w := newWorld(t, func(made *agent.Config) {
		made.Processing.Invoke = c.invoke
		config = *made
	})
	must[*teep.Success](w, w.update(release{component: "app/hello", sequence: 1, image: "one", signer: w.publisher, describe: invocable}))
	var err error
	if config.Anchors, err = anchor.NewStore(); err != nil {
		t.Fatal(err)
	}
	if w.agent, err = agent.New(config); err != nil {
		t.Fatal(err)
	}
	report, err := w.agent.Invoke(t.Context(), id(t, "app/hello/suit"))
	if !errors.Is(err, suit.ErrNoSignature) || report == nil || report.Failure.Reason != suit.ReasonUnauthorised || len(c.ran) > 0 {
		t.Errorf("%+v, %v, ran %q", report, err, c.ran)
	}
}

// TestSelfTestDecides: a condition of the private range that does not hold keeps the
// old version in place; one that the device does not know is refused.
func TestSelfTestDecides(t *testing.T) {
	broken := errors.New("broken")
	selfTest := processor.CustomCommand{Condition: true, Run: func(_ context.Context, call processor.CustomCall) error {
		image, _, err := call.Open()
		if err != nil {
			return err
		}
		defer image.Close()
		data, err := io.ReadAll(image)
		if string(data) == "broken" {
			err = errors.Join(processor.ErrMismatch, broken)
		}
		return err
	}}
	w := newWorld(t, func(c *agent.Config) {
		c.Processing.Custom = map[suit.CommandCode]processor.CustomCommand{author.SelfTestCondition: selfTest}
	})
	tested := func(d *author.Description) { d.SelfTest = true }
	must[*teep.Success](w, w.update(release{component: "app/hello", sequence: 1, image: "sound", signer: w.publisher, describe: tested}))
	before := w.installed()
	u := w.update(release{component: "app/hello", sequence: 2, image: "broken", signer: w.publisher, describe: tested})
	failed := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, broken)
	if w.installed() != before {
		t.Fatalf("holds %s", w.installed())
	}
	f := w.reports(failed.SUITReports)[0].Failure
	if f.Reason != suit.ReasonConditionFailed || f.Record.Section != suit.SectionValidate || f.Code != int64(author.SelfTestCondition) {
		t.Errorf("report %+v", f)
	}

	w = newWorld(t)
	u = w.update(release{component: "app/hello", sequence: 1, image: "sound", signer: w.publisher, describe: tested})
	w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, processor.ErrUnsupportedCommand)
}
