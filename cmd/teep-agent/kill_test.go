package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestKilled is the agent under kill -9, for real: the program runs as a process and is
// killed at a moment that a random number picks, in the middle of a session in which it
// installs, updates or unlinks. TAMARACK_TEST_ROUNDS sets how often,
// TAMARACK_TEST_SEED repeats a run.
//
// After each kill, what the device reports is one whole state, the old or the new one,
// and the new one if the TAM was told of it. The program then recovers without help:
// sessions end in the state that the TAM wants, confirmed by a tc-list, and with no file
// left over.
func TestKilled(t *testing.T) {
	c := newCampaign(t)
	for c.round = range number(t, "TAMARACK_TEST_ROUNDS", 40) {
		c.plan(t)
		k := c.pick()
		killed := c.pollKilled(t, k)
		c.check(t, k)
		polls := c.recover(t)
		if t.Failed() {
			t.Fatalf("round %d, seed %d: killed %v at %s", c.round, c.seed, killed, k)
		}
		c.count(k, killed, polls)
	}
	t.Log(c.summary())
	if c.killed == 0 {
		t.Error("nobody was killed: the test shows nothing")
	}
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// campaign is a device, its TAM, and what the TAM wants.
type campaign struct {
	*fakeTAM
	dir, program string
	seed         uint64
	random       *rand.Rand

	round       uint64
	sequence    uint64
	tokens      uint64
	before      state
	wanted      state
	update      teep.Update // the last one
	confirmed   bool        // a tc-list shows it
	killed      int
	kills       map[string]int // by kind of moment
	found       map[string]int // states after a kill
	mostSession int
}

// state is the digest of the component, or none.
type state string

const nothing state = "nothing"

func digestOf(image []byte) state { return state(fmt.Sprintf("%x", sha256.Sum256(image))) }

func newCampaign(t *testing.T) *campaign {
	t.Helper()
	c := &campaign{
		fakeTAM: newFakeTAM(t), program: filepath.Join(t.TempDir(), "teep-agent"),
		seed: number(t, "TAMARACK_TEST_SEED", rand.Uint64()), before: nothing, wanted: nothing,
		kills: map[string]int{}, found: map[string]int{},
	}
	// The program as it is shipped: a test binary with the race detector starts slowly.
	if out, err := exec.Command("go", "build", "-o", c.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	c.dir = c.initDevice(t)
	c.random = rand.New(rand.NewPCG(c.seed, 0))
	c.fakeTAM.plan = c.answer
	return c
}

// plan decides what the TAM wants now: another image, or none.
func (c *campaign) plan(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before, c.confirmed, c.answered = c.wanted, false, nil
	if c.random.IntN(2) == 0 {
		c.agent = nil // the TAM has forgotten the key: first contact, with evidence
	}
	if c.before != nothing && c.random.IntN(3) == 0 {
		c.wanted, c.update = nothing, teep.Update{UnneededManifests: []suit.ComponentID{{[]byte("app"), []byte("hello"), []byte("suit")}}}
		return
	}
	image := make([]byte, 1+c.random.IntN(100_000))
	for i := range image {
		image[i] = byte(c.random.Uint32())
	}
	c.sequence++
	c.publish(t, c.sequence, image, c.publisher)
	c.wanted, c.update = digestOf(image), teep.Update{Manifests: c.fakeTAM.update.Manifests}
}

// answer is the TAM's planner: an Update, until the tc-list shows what is wanted.
func (c *campaign) answer(r *teep.QueryResponse) (*teep.Update, error) {
	has, err := inventory(r.TCList)
	switch {
	case err != nil:
		return nil, err
	case has == c.wanted:
		c.confirmed = true
		return nil, nil
	case has != c.before:
		return nil, fmt.Errorf("the tc-list shows %s, neither %s nor %s", has, c.before, c.wanted)
	case c.told():
		return nil, errors.New("the device has said that it is done, and is not")
	}
	c.tokens++
	c.update.Token = binary.BigEndian.AppendUint64(nil, c.tokens)
	return &c.update, nil
}

// told reports whether the device has answered the last Update with Success.
func (c *campaign) told() bool {
	s, ok := c.answered.(*teep.Success)
	return ok && bytes.Equal(s.Token, c.update.Token)
}

// inventory reads a tc-list: a component and its manifest, or nothing.
func inventory(list []suit.PropertyClaims) (state, error) {
	switch len(list) {
	case 0:
		return nothing, nil
	case 2:
		return state(fmt.Sprintf("%x", list[0].ImageDigest.Bytes)), nil
	}
	return "", fmt.Errorf("tc-list of %d entries", len(list))
}

// moment is when the program dies: at the n-th event of this kind. Events are messages
// that reach the TAM, answers and pieces of the payload that leave it, and names that
// appear in the store.
type moment struct {
	kind string
	n    int
}

func (m moment) String() string { return fmt.Sprintf("%s %d", m.kind, m.n) }

// file kinds are prefixes of names in the store.
var fileKinds = []string{"index.tmp", "image-", "manifest-"}

func (c *campaign) pick() moment {
	switch kind := c.random.IntN(8); kind {
	case 0, 1:
		return moment{"message", 1 + c.random.IntN(5)}
	case 2, 3:
		return moment{"answer", 1 + c.random.IntN(5)}
	case 4:
		return moment{"piece", 1 + c.random.IntN(25)}
	case 5:
		return moment{"payload", 1}
	default:
		kind := fileKinds[c.random.IntN(len(fileKinds))]
		if kind == "index.tmp" {
			return moment{kind, 1 + c.random.IntN(3)} // accepted, installed, recorded
		}
		return moment{kind, 1}
	}
}

// pollKilled runs the program until the moment comes, or to its end where it does not.
func (c *campaign) pollKilled(t *testing.T, at moment) (killed bool) {
	t.Helper()
	cmd := exec.Command(c.program, "poll", "--dir", c.dir)
	var once sync.Once
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	files := slices.Contains(fileKinds, at.kind)
	known := storeFiles(t, c.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { once.Do(func() { cmd.Process.Kill() }) } // it may have ended
	left := at.n
	c.setEvent(func(name string) {
		if name == at.kind {
			if left--; left == 0 {
				kill()
			}
		}
	})
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if files {
			watchFiles(filepath.Join(c.dir, "store"), known, at, ended, kill)
		}
	}()
	cmd.Wait() // it is killed on purpose
	close(ended)
	<-watched
	c.setEvent(func(string) {})
	if killed = !cmd.ProcessState.Exited(); !killed && cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("the session failed by itself:\n%s", &output)
	}
	return killed
}

// setEvent waits for the handler of a request that has lost its client.
func (c *campaign) setEvent(event func(string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.event = event
}

// watchFiles looks at the directory again and again, and kills when a name of the kind
// has appeared for the n-th time.
func watchFiles(dir string, known []string, at moment, ended <-chan struct{}, kill func()) {
	seen := map[string]bool{}
	for _, name := range known {
		seen[name] = true
	}
	for left := at.n; left > 0; runtime.Gosched() {
		select {
		case <-ended:
			return
		default:
		}
		now := map[string]bool{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			now[e.Name()] = true
			if !seen[e.Name()] && strings.HasPrefix(e.Name(), at.kind) {
				left--
			}
		}
		seen = now
	}
	kill()
}

// check looks at the device that the kill has left, as people would.
func (c *campaign) check(t *testing.T, at moment) {
	t.Helper()
	has := c.status(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if has != c.before && has != c.wanted {
		t.Errorf("killed at %s, the device shows %s, neither %s nor %s", at, has, c.before, c.wanted)
	}
	if (c.told() || c.confirmed) && has != c.wanted {
		t.Errorf("killed at %s, the device has told the TAM that it is done and shows %s", at, has)
	}
	c.found[map[bool]string{true: "new", false: "old"}[has == c.wanted]]++
}

func (c *campaign) status(t *testing.T) state {
	t.Helper()
	out, code := execute(t, "status", "--dir", c.dir, "-o", "json")
	var s device.Status
	if err := json.Unmarshal([]byte(out), &s); code != exitOK || err != nil {
		t.Fatalf("status: exit %d, %v\n%s", code, err, out)
	}
	if len(s.Components) == 0 {
		return nothing
	}
	return state(s.Components[0].SHA256.String())
}

// recover starts the program again, as often as it takes, and returns how often.
func (c *campaign) recover(t *testing.T) (polls int) {
	t.Helper()
	// A kill may have come between a message of the agent and the TAM's look at it.
	const most = 3
	confirmed := false
	for ; !confirmed && polls < most; polls++ {
		out, err := exec.Command(c.program, "poll", "--dir", c.dir).CombinedOutput()
		if err != nil {
			t.Errorf("poll after the kill: %v\n%s", err, out)
			return polls
		}
		c.mu.Lock()
		confirmed = c.confirmed
		c.mu.Unlock()
	}
	has := c.status(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !confirmed || has != c.wanted {
		t.Errorf("not recovered after %d sessions: %s, want %s", polls, has, c.wanted)
	}
	if c.faults != nil {
		t.Errorf("the TAM found %v", c.faults)
	}
	kept := 3 // index, lock and reserve
	if c.wanted != nothing {
		kept = 5 // image and manifest too
	}
	if files := storeFiles(t, c.dir); len(files) != kept {
		t.Errorf("%d files, want %d: %q", len(files), kept, files)
	}
	return polls
}

func (c *campaign) count(at moment, killed bool, polls int) {
	if killed {
		c.killed++
		c.kills[at.kind]++
	}
	c.mostSession = max(c.mostSession, polls)
}

func (c *campaign) summary() string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(c.kills)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", c.kills[kind], kind))
	}
	return fmt.Sprintf("agent campaign: seed %d, %d rounds, %d killed (%s); found %d old, %d new, 0 broken; recovered within %d sessions",
		c.seed, c.round+1, c.killed, strings.Join(kinds, ", "), c.found["old"], c.found["new"], c.mostSession)
}
