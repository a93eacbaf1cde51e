package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// serveVariable makes this test binary the program itself: the process to kill.
const serveVariable = "TAMARACK_TEST_KILL_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		go func() {
			// The test holds the other end: a server does not outlive it.
			_, err := io.Copy(io.Discard, os.Stdin)
			fmt.Fprintln(os.Stderr, "the test is gone:", err)
			os.Exit(3)
		}()
		main()
	}
	os.Exit(m.Run())
}

// victim is a process that serves, until it is killed.
type victim struct {
	command *exec.Cmd
	stdout  *bufio.Scanner
	killed  atomic.Bool

	teepURL, apiURL string // once it is ready
}

// startVictim starts the server on the data directory. What it logs goes to the end
// of the log file: errors and worse, so that there is nothing to log.
func startVictim(data, log string) (*victim, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	v := &victim{command: exec.Command(program, "serve", "--data="+data,
		"--teep.listen=127.0.0.1:0", "--api.listen=127.0.0.1:0", "--metrics.listen=",
		"--teep.rate_limit.per_address=-1", "--teep.rate_limit.total=-1",
		"--teep.endpoints=[{path: /tam, debug: true}, {path: /old, numbering: pre-iana, debug: true}]",
		"--log.level=error")}
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "TAMARACK_") {
			v.command.Env = append(v.command.Env, line)
		}
	}
	v.command.Env = append(v.command.Env, serveVariable+"=1")
	stderr, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close() // the process has it open itself
	v.command.Stderr = stderr
	stdout, err := v.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.stdout = bufio.NewScanner(stdout)
	if _, err = v.command.StdinPipe(); err != nil { // open for as long as we live
		return nil, err
	}
	return v, v.command.Start()
}

var (
	announcedTEEP = regexp.MustCompile(`^TEEP for devices +(http://\S+)/tam `)
	announcedAPI  = regexp.MustCompile(`^API for operators +(http://\S+)`)
)

// ready waits until the server says that it is.
func (v *victim) ready() error {
	for v.stdout.Scan() {
		line := v.stdout.Text()
		if m := announcedTEEP.FindStringSubmatch(line); m != nil {
			v.teepURL = m[1]
		}
		if m := announcedAPI.FindStringSubmatch(line); m != nil {
			v.apiURL = m[1]
		}
		if strings.HasPrefix(line, "ready") && v.teepURL != "" && v.apiURL != "" {
			return nil
		}
	}
	return errors.Join(errors.New("the server ended before it was ready"), v.stdout.Err(), v.wait())
}

// kill sends SIGKILL. Only what was answered before that had to be answered.
func (v *victim) kill() {
	v.killed.Store(true)
	v.command.Process.Kill() // where it is gone already, wait tells why
}

// wait returns when the process is gone, with an error where nobody killed it.
func (v *victim) wait() error {
	err := v.command.Wait()
	var exit *exec.ExitError
	if v.killed.Load() && errors.As(err, &exit) && exit.ExitCode() == -1 {
		return nil
	}
	return fmt.Errorf("the server ended by itself: %v", err) // also nil is wrong here
}

// interrupt ends the server as people do.
func (v *victim) interrupt() error {
	if err := v.command.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	return v.command.Wait()
}

// firstFiles come into being when a server starts on an empty directory, in this order.
var firstFiles = []string{
	"keys", "keys/tam-esp256.pem", "keys/tam-esp256.pub.pem", "keys/tam-ed25519.pem", "keys/tam-ed25519.pub.pem",
	"keys/tam-reports.pem", "keys/tam-reports.pub.pem", databaseName, databaseName + "-wal", "payloads", "admin.token",
}

// A server that is killed while it makes its keys, its database or its token leaves
// nothing that stops the next one, and the next one keeps what there was.
func TestKillFirstStart(t *testing.T) {
	for range max(1, number(t, roundsVariable, 0)/20) {
		for _, file := range firstFiles {
			t.Run(file, func(t *testing.T) { killFirstStart(t, file) })
		}
	}
}

// killFirstStart kills when the file is there, which is in the middle of what it is
// made for.
func killFirstStart(t *testing.T, file string) {
	data, log := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "log")
	v, err := startVictim(data, log)
	if err != nil {
		t.Fatal(err)
	}
	const looks = 2_000_000
	for range looks {
		if _, err := os.Stat(filepath.Join(data, filepath.FromSlash(file))); err == nil {
			break
		}
		runtime.Gosched()
	}
	v.kill()
	if err := v.wait(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, data)
	if v, err = startVictim(data, log); err != nil {
		t.Fatal(err)
	}
	if err := v.ready(); err != nil {
		said, _ := os.ReadFile(log)
		t.Fatalf("the next start: %v\n%s", err, said)
	}
	v.kill()
	if err := v.wait(); err != nil {
		t.Fatal(err)
	}
	after := contents(t, data)
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
}

// identityFiles are the files that make a server the one that it is.
var identityFiles = []string{
	"keys/tam-esp256.pem", "keys/tam-esp256.pub.pem", "keys/tam-ed25519.pem", "keys/tam-ed25519.pub.pem",
	"keys/tam-reports.pem", "keys/tam-reports.pub.pem", "admin.token",
}

// contents reads those of them that are there.
func contents(t *testing.T, data string) map[string]string {
	found := map[string]string{}
	for _, name := range identityFiles {
		content, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		// The public halves are written anew at each start, from the private ones.
		if err == nil && (len(content) > 0 || !strings.HasSuffix(name, ".pub.pem")) {
			found[name] = string(content)
		}
	}
	return found
}
