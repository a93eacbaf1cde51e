// Command teep-agent is the device side: a TEEP agent in a directory, with a software
// TEE that keeps what it installs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/broker"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes, which scripts may rely on.
const (
	exitOK          = 0 // done; for run: ended by an interrupt
	exitFailure     = 1 // of this machine: files, settings
	exitUsage       = 2 // wrong command line
	exitRefused     = 3 // the session was held, but the agent or the TAM refused something; or an application failed
	exitUnreachable = 4 // no TAM answers at that URL
	exitInUse       = 5 // another agent uses the directory
)

const exitCodes = `Exit codes:
  0  done (run: ended by an interrupt)
  1  failure on this machine
  2  wrong command line
  3  the session was held, but something was refused or not installed;
     or an application did not run to a good end
  4  the TAM cannot be reached, or is not one
  5  another agent uses the directory`

// program is what the commands share.
type program struct {
	dir string
	env map[string]string
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	p := &program{env: environment(env)}
	root := &cobra.Command{
		Use:           "teep-agent",
		Short:         "TEEP agent: attests a device to its TAM and installs what the TAM sends",
		Long:          "TEEP agent: attests a device to its TAM and installs what the TAM sends.\n\n" + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", flagFault(err), cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&p.dir, "dir", p.defaultDir(), "`directory` of the device (environment: TEEP_AGENT_DIR)")
	root.AddCommand(p.initCommand(), p.pollCommand(), p.runCommand(), p.statusCommand(), p.requestCommand(), p.invokeCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "teep-agent: interrupted")
		return exitFailure
	}
	fmt.Fprintln(stderr, lines.Fold(fmt.Sprintf("teep-agent: %v", err), 2))
	advice, command := p.hint(err)
	if advice != "" {
		fmt.Fprintln(stderr, lines.Fold("  "+advice, 2))
	}
	if command != "" {
		fmt.Fprintln(stderr, "    "+command)
	}
	return exitCode(err)
}

func environment(env []string) map[string]string {
	m := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		m[name] = value
	}
	return m
}

func (p *program) defaultDir() string {
	if dir := p.env["TEEP_AGENT_DIR"]; dir != "" {
		return dir
	}
	return "teep-device" // not the name of the program, which may lie beside it
}

// usageError is a fault of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// arguments makes a wrong number of arguments a usageError.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
		}
		return nil
	}
}

// flagFault says what a number is where pflag says how it parses one.
func flagFault(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "uint64" {
		return fmt.Errorf("--%s %q is not a whole number from 0 up, or is too large", invalid.GetFlag().Name, invalid.GetValue())
	}
	return err
}

func exitCode(err error) int {
	var told *agent.TAMError
	var status *broker.StatusError
	switch {
	case errors.As(err, new(usageError)), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.Is(err, tee.ErrLocked):
		return exitInUse
	case errors.Is(err, broker.ErrUnreachable), errors.Is(err, broker.ErrAnswer), errors.As(err, &status):
		return exitUnreachable
	case errors.Is(err, agent.ErrUntrustedTAM), errors.Is(err, agent.ErrTAMAttestation), errors.Is(err, agent.ErrReplayed), errors.Is(err, agent.ErrRefused),
		errors.Is(err, agent.ErrManifest), errors.Is(err, agent.ErrUnlink), errors.Is(err, agent.ErrInvoke), errors.Is(err, broker.ErrEndless), errors.As(err, &told):
		return exitRefused
	}
	return exitFailure
}

// hint says what to do next about an error, where that is not in the error itself:
// advice, and the command to paste if there is one.
func (p *program) hint(err error) (advice, command string) {
	var told *agent.TAMError
	switch {
	case errors.Is(err, device.ErrNoDevice):
		return "make one with:", fmt.Sprintf("teep-agent init --dir %s --tam URL --tam-key FILE --vendor DOMAIN --class NAME", lines.Quote(p.dir))
	case errors.Is(err, device.ErrNotDirectory):
		return "choose another --dir: a device is a directory of several files", ""
	case errors.Is(err, device.ErrExists):
		return "choose another --dir, or remove the directory to start again with new keys", ""
	case errors.Is(err, agent.ErrPassport):
		return "poll again: the passport was dropped. Where the TAM asks for none but passports, poll another of its endpoints: set tam.url", ""
	case errors.As(err, &told) && told.Code == teep.AttestationRequired:
		return p.hintAttestation(told.Msg)
	case errors.Is(err, agent.ErrTAMAttestation):
		return "ask the TAM's operator whether it attests itself, and with which key; make the device with --tam-attestation-key for that", ""
	case errors.Is(err, agent.ErrUntrustedTAM):
		return "get the public keys of the TAM from its operator and make the device with --tam-key for each", ""
	case errors.Is(err, agent.ErrNumbering):
		return fmt.Sprintf("ask the TAM's operator for the numbering of this endpoint, and set tam.numbering in %s", device.SettingsPath(p.dir)), ""
	case errors.Is(err, suit.ErrNoSignature), errors.Is(err, processor.ErrUnauthorized):
		return "the signer may not publish this here: make the device with --publisher-key for its key and component prefix", ""
	case errors.Is(err, broker.ErrUnreachable):
		return fmt.Sprintf("check that the TAM runs, and tam.url in %s", device.SettingsPath(p.dir)), ""
	}
	return "", ""
}

// hintAttestation is for a device whose evidence the TAM does not take. A Tamarack TAM ends
// its message with the reason; any other may have meant that it does not know the key.
func (p *program) hintAttestation(msg string) (advice, command string) {
	var settings device.Settings
	if data, err := os.ReadFile(device.SettingsPath(p.dir)); err == nil {
		settings, _ = device.ParseSettings(data) // the device has read them before
	}
	why := "tamctl attestation diff " + settings.Identity.UEID.String()
	a := settings.Attestation
	reason := msg[strings.LastIndexByte(msg, ' ')+1:]
	switch {
	case slices.Contains(judged, reason):
		return "the TAM knows this device and does not accept what it shows; its operator sees why:", why
	case reason == "evidence-time":
		return "check the clock of this device: the TAM finds its evidence too old, or from the future", ""
	case a.Attester == device.AttesterTSM:
		return "ask the TAM's operator whether it knows reference values for this system; if it knows the device:", why
	case a.Certificates != "":
		return "ask the TAM's operator whether the authority of " + a.Certificates + " is registered ('tamctl device-ca add'); if it knows the device:", why
	}
	return "if '" + why + "' does not tell its operator why, register this device with the TAM:", p.registration(a.Attester)
}

// judged are the reasons of a TAM that found the evidence genuine, or the device's key
// another than before: to register the key is no help.
var judged = []string{"policy-rejected", "policy-quarantined", "attestation-key", "second-key", "ueid-mismatch"}
