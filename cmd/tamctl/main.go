// Command tamctl works on manifests in files, and on a Tamarack server as one of
// its operators.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tamarack-tam/tamarack/internal/lines"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes, which scripts may rely on.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitRefused     = 3
	exitUnreachable = 4
	exitUnsound     = 5
	exitFindings    = 6
)

const longHelp = `tamctl makes, checks and tries SUIT manifests ("tamctl suit", "tamctl keygen"), makes
reference values ("tamctl reference-values") and shows what messages say ("tamctl
inspect"), all on files only, and operates a Tamarack server (everything else).

The server is found by --server or TAMCTL_SERVER. Its token is read from the file
given by --token-file or TAMCTL_TOKEN_FILE; the server wrote it at its first start.

Exit codes:
  0  done
  1  something on this side failed, a file for example
  2  the command line is wrong
  3  the server refused, or a simulated device did, and says why
  4  the server was not reached, or could not do its work
  5  what was inspected or verified has a signature, MAC or digest that does not hold
  6  'tamctl suit lint' found what must not stay`

// run is the whole program.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand(&app{env: env, stderr: stderr})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	// cobra's own group is to refuse what it does not know, as ours do.
	root.InitDefaultCompletionCmd(args...)
	for _, cmd := range root.Commands() {
		if !cmd.Runnable() {
			cmd.RunE = sayWhat
		}
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, lines.Fold(fmt.Sprintf("tamctl: %v", err), 2))
	if next := nextStep(cmd, err); next != "" {
		fmt.Fprintln(stderr, lines.Fold("  next: "+next, 8))
	}
	return exitCode(err)
}

func rootCommand(app *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "tamctl",
		Short:         "Make manifests, and operate a Tamarack server",
		Long:          longHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; see '%s --help'", flagFault(err), cmd.CommandPath())
	})
	root.AddCommand(suitCommand(app), keygenCommand(), app.showing(inspectCommand(app)))
	for _, cmd := range []*cobra.Command{
		manifestCommand(app), deviceCommand(app),
		attestationCommand(app), policyCommand(app), groupCommand(app),
		publisherCommand(app), attestationAnchorCommand(app), deviceCACommand(app),
		verifierCommand(app), referenceProviderCommand(app),
		keyCommand(app), eventCommand(app),
	} {
		root.AddCommand(app.showing(app.asking(cmd)))
	}
	root.AddCommand(allReferenceValues(app))
	return root
}

// flagFault says what a number is where pflag says how it parses one.
func flagFault(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "uint64" {
		return fmt.Errorf("--%s %q is not a whole number from 0 up, or is too large", invalid.GetFlag().Name, invalid.GetValue())
	}
	return err
}

// asking gives a command, and those below it, the flags that find the server.
func (a *app) asking(cmd *cobra.Command) *cobra.Command {
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.server, "server", "", "URL of the server's API (env TAMCTL_SERVER; default "+defaultServer+")")
	flags.StringVar(&a.tokenFile, "token-file", "", "file that holds the API token (env TAMCTL_TOKEN_FILE)")
	return cmd
}

// showing gives a command, and those below it, the choice of the format.
func (a *app) showing(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().StringVarP(&a.format, "output", "o", "table", "how to show results: table, json or yaml")
	return cmd
}

func exitCode(err error) int {
	var refused *refusedError
	var unreachable *unreachableError
	switch {
	case errors.As(err, new(usageError)), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &refused):
		return exitRefused
	case errors.Is(err, errUnsound):
		return exitUnsound
	case errors.Is(err, errDeviceRefuses):
		return exitRefused
	case errors.Is(err, errFindings):
		return exitFindings
	}
	return exitFailure
}

// usageError is a fault of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: knownCommand,
		RunE: sayWhat,
	}
	cmd.AddCommand(commands...)
	return cmd
}

// knownCommand refuses what is no command of the group, and says which one it is like.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return usage("unknown command %q; is '%s %s' meant?", args[0], cmd.CommandPath(), like[0])
	}
	return usage("unknown command %q; see '%s --help'", args[0], cmd.CommandPath())
}

func sayWhat(cmd *cobra.Command, _ []string) error {
	return usage("say what to do; see '%s --help'", cmd.CommandPath())
}

// exactly is cobra.ExactArgs with a message that names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usage("want %s; see '%s --help'", strings.Join(names, " and "), cmd.CommandPath())
		}
		return nil
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%q is not wanted here; see '%s --help'", args[0], cmd.CommandPath())
	}
	return nil
}
