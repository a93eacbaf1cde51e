package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// TestKillCampaign kills a real server with SIGKILL again and again, at random points
// under load, starts it on the same data, and compares what it holds with what it has
// acknowledged. TAMARACK_TEST_ROUNDS says how often (for thousands, give go test a
// longer -timeout), TAMARACK_TEST_SEED what the points are drawn from; as many work at
// the same time, two runs of one seed still differ.
func TestKillCampaign(t *testing.T) {
	rounds, seed := number(t, roundsVariable, 10), number(t, "TAMARACK_TEST_SEED", rand.Uint64())
	c := newCampaign(t, seed)
	defer func() {
		if t.Failed() {
			t.Logf("%s; data, logs and the copy that was checked are kept in %s", c.summary(), c.dir)
			return
		}
		t.Logf("%s; lost 0", c.summary())
		if err := os.RemoveAll(c.dir); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	if err := c.begin(ctx); err != nil {
		t.Fatalf("first start: %v", err)
	}
	for round := range rounds {
		if err := c.round(ctx, randomPlan(c.random), round%50 == 49); err != nil {
			t.Fatalf("round %d of %d: %v", round+1, rounds, err)
		}
	}
	if err := c.finish(ctx); err != nil {
		t.Fatalf("after %d rounds: %v", rounds, err)
	}
	if c.cut == 0 {
		t.Errorf("of %d kills none came while a request was open: that tries nothing", c.kills)
	}
}

// roundsVariable says how long to go on: 200 rounds take about half a minute.
const roundsVariable = "TAMARACK_TEST_ROUNDS"

// number reads a setting of the campaign.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
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

// campaign is a data directory, and all who have used the server on it.
type campaign struct {
	dir     string // data, the server's log, a copy of the database
	data    string
	seed    uint64
	random  *rand.Rand
	checker *checker

	publishers []*killPublisher
	working    []*killAgent // at the same time, one each
	retired    []*killAgent
	born       int
	identity   map[string]string // files that must not change from start to start

	seen map[*killPublisher]int // publications that were looked at

	kills, falseStarts, cut, spent int
	byMoment                       [moments]int
}

// working agents, and publishers, at a time.
const (
	workingAgents  = 6
	killPublishers = 2
)

func newCampaign(t *testing.T, seed uint64) *campaign {
	dir, err := os.MkdirTemp("", "tamarack-kill-") // not t.TempDir: it outlives a failure
	if err != nil {
		t.Fatal(err)
	}
	c := &campaign{
		dir: dir, data: filepath.Join(dir, "data"), seed: seed, random: rand.New(rand.NewPCG(seed, 0)),
		identity: map[string]string{}, seen: map[*killPublisher]int{},
	}
	c.checker = &checker{data: c.data, log: newKillLog(), files: map[string]fs.FileInfo{}}
	key, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	for i := range killPublishers {
		c.publishers = append(c.publishers, &killPublisher{
			key: key, random: rand.New(rand.NewPCG(seed, 1+uint64(i))),
			component: suit.ComponentID{[]byte("campaign"), fmt.Append(nil, i)},
		})
	}
	for range workingAgents {
		a, err := c.birth()
		if err != nil {
			t.Fatal(err)
		}
		c.working = append(c.working, a)
	}
	return c
}

func (c *campaign) serverLog() string { return filepath.Join(c.dir, "server.log") }

// begin registers the publisher whom the devices trust.
func (c *campaign) begin(ctx context.Context) error {
	v, err := c.start()
	if err != nil {
		return err
	}
	err = c.addPublisher(ctx, v)
	return errors.Join(err, c.end(v))
}

func (c *campaign) addPublisher(ctx context.Context, v *victim) error {
	s, err := c.connect(v, plan{})
	if err != nil {
		return err
	}
	defer s.close()
	r, err := s.api.AddPublisherWithResponse(ctx, client.NewPublisher{
		Title: "publisher", PublicKey: string(c.publishers[0].key.PublicKey().PEM()), Components: []string{"campaign"},
	})
	if err != nil {
		return lost(err)
	}
	return done(r.HTTPResponse, r.Body, false, "")
}

// falseStart kills a server that is not ready yet, after some looks at its data.
func (c *campaign) falseStart() error {
	v, err := startVictim(c.data, c.serverLog())
	if err != nil {
		return err
	}
	const most = 20_000
	for range c.random.IntN(most) {
		stamp(filepath.Join(c.data, databaseName))
		runtime.Gosched()
	}
	c.falseStarts++
	return c.end(v)
}

// start returns a server that is ready and is who it was before.
func (c *campaign) start() (*victim, error) {
	v, err := startVictim(c.data, c.serverLog())
	if err != nil {
		return nil, err
	}
	if err := v.ready(); err != nil {
		return nil, err
	}
	for _, name := range identityFiles {
		content, err := os.ReadFile(filepath.Join(c.data, filepath.FromSlash(name)))
		if before, ok := c.identity[name]; err == nil && ok && before != string(content) {
			err = fmt.Errorf("%s has changed", name)
		}
		if err != nil {
			return nil, errors.Join(err, c.end(v))
		}
		c.identity[name] = string(content)
	}
	return v, nil
}

// end kills a server. It must have had nothing to complain about.
func (c *campaign) end(v *victim) error {
	v.kill()
	if err := v.wait(); err != nil {
		return err
	}
	return c.quiet()
}

func (c *campaign) quiet() error {
	said, err := os.ReadFile(c.serverLog())
	if err == nil && len(said) > 0 {
		err = fmt.Errorf("the server complained:\n%s", said)
	}
	return err
}

func (c *campaign) connect(v *victim, p plan) (*site, error) {
	s, err := newSite(v, p, filepath.Join(c.data, databaseName+"-wal"), strings.TrimSpace(c.identity["admin.token"]))
	if err != nil {
		return nil, err
	}
	s.keys = map[cosekit.Algorithm]*cosekit.PublicKey{}
	for _, name := range []string{"keys/tam-esp256.pub.pem", "keys/tam-ed25519.pub.pem"} {
		key, err := cosekit.ReadPublicKey([]byte(c.identity[name]))
		if err != nil {
			return nil, err
		}
		s.keys[key.Algorithm()] = key
	}
	return s, nil
}

// round is: start, check, load, kill.
func (c *campaign) round(ctx context.Context, p plan, thorough bool) error {
	if c.random.IntN(8) == 0 {
		if err := c.falseStart(); err != nil {
			return fmt.Errorf("while starting: %w", err)
		}
	}
	v, err := c.start()
	if err != nil {
		return err
	}
	if err := c.checkOn(ctx, v, thorough); err != nil {
		return errors.Join(err, c.end(v))
	}
	s, err := c.connect(v, p)
	if err != nil {
		return errors.Join(err, c.end(v))
	}
	defer s.close()
	err = c.load(ctx, s)
	if err := errors.Join(err, c.end(v)); err != nil {
		return fmt.Errorf("under load: %w", err)
	}
	c.kills++
	c.byMoment[p.moment]++
	if s.cut.Load() > 0 {
		c.cut++
	}
	if err := c.checker.integrity(ctx, c.dir); err != nil {
		return fmt.Errorf("database after the kill: %w", err)
	}
	return nil
}

// checkOn compares, and lets one agent see that sessions work again by themselves.
func (c *campaign) checkOn(ctx context.Context, v *victim, thorough bool) error {
	s, err := c.connect(v, plan{})
	if err != nil {
		return err
	}
	defer s.close()
	agents := c.working
	if thorough {
		agents = slices.Concat(c.retired, c.working)
	}
	if err := c.check(ctx, s, agents, thorough); err != nil {
		return err
	}
	one := c.working[c.random.IntN(len(c.working))]
	refused, err := one.repeat(ctx, s)
	if err != nil {
		return err
	}
	c.spent += refused
	return c.session(ctx, s, one)
}

func (c *campaign) check(ctx context.Context, s *site, agents []*killAgent, thorough bool) error {
	if err := c.checker.log.follow(ctx, s); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	for _, p := range c.publishers {
		if err := c.checker.publisher(ctx, s, p, c.seen[p]); err != nil {
			return err
		}
		c.seen[p] = len(p.published)
	}
	for _, a := range agents {
		if err := c.checker.agent(ctx, s, a); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if err := c.checker.payloads(thorough); err != nil {
		return err
	}
	if thorough {
		return c.checker.everything(ctx, s)
	}
	return nil
}

// finish has each working agent get and confirm one more manifest of all that it must
// have, compares everything, and ends the server as people do.
func (c *campaign) finish(ctx context.Context) error {
	v, err := c.start()
	if err != nil {
		return err
	}
	if err := c.lastSessions(ctx, v); err != nil {
		return errors.Join(err, c.end(v))
	}
	if err := v.interrupt(); err != nil {
		return fmt.Errorf("after an interrupt: %w", err)
	}
	return errors.Join(c.quiet(), c.checker.integrity(ctx, c.dir))
}

func (c *campaign) lastSessions(ctx context.Context, v *victim) error {
	if err := c.checkOn(ctx, v, true); err != nil {
		return err
	}
	s, err := c.connect(v, plan{})
	if err != nil {
		return err
	}
	defer s.close()
	for _, p := range c.publishers {
		for last := p.newest(); p.newest() == last || p.next != nil; {
			if err := p.work(ctx, s); err != nil {
				return err
			}
		}
	}
	for _, a := range c.working {
		const sessions = 4 // what the kill left open, then first contact, Update, evidence
		for range sessions {
			if err := c.session(ctx, s, a); err != nil {
				return err
			}
		}
		for _, p := range c.publishers {
			if slices.ContainsFunc(a.wanted, p.component.Equal) && !a.has(p) {
				return fmt.Errorf("%s has not got sequence %d of %s", a.name, p.newest(), p.component)
			}
		}
	}
	return c.check(ctx, s, slices.Concat(c.retired, c.working), true)
}

// summary is the campaign in one line.
func (c *campaign) summary() string {
	n := map[string]int{}
	doubts, taken := 0, 0
	for _, p := range c.publishers {
		n["payloads"] += len(p.payloads)
		n["manifests"] += len(p.published)
	}
	for _, a := range slices.Concat(c.retired, c.working) {
		doubts, taken = doubts+a.doubts, taken+a.taken
		n["attestations"] += a.evidence
		n["requirements"] += len(a.required)
		for thing, acknowledged := range map[string]bool{"anchors": a.registered, "enrolments": a.enrolled, "acceptances": a.accepted} {
			if acknowledged {
				n[thing]++
			}
		}
		for _, claims := range a.claims {
			n["Successes"] += claims
		}
		for _, offers := range a.offers {
			n["Updates"] += offers
		}
	}
	var acknowledged []string
	for _, thing := range slices.Sorted(maps.Keys(n)) {
		acknowledged = append(acknowledged, fmt.Sprintf("%d %s", n[thing], thing))
	}
	var when []string
	for m, kills := range c.byMoment {
		when = append(when, fmt.Sprintf("%d %s", kills, moment(m)))
	}
	return fmt.Sprintf("seed %d: %d kills under load (%s; %d with requests open), %d while starting; "+
		"acknowledged: %s; of %d messages without an answer %d had been taken; %d spent messages refused; %d audit events",
		c.seed, c.kills, strings.Join(when, ", "), c.cut, c.falseStarts, strings.Join(acknowledged, ", "), doubts, taken, c.spent, c.checker.log.last)
}
