package teephttp_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/teep"
)

// variant is what devices and TAM speak.
type variant struct {
	numbering teep.Numbering
	algorithm cosekit.Algorithm
}

func (v variant) String() string {
	return v.numbering.String() + "/" + cosekit.AlgorithmName(v.algorithm)
}

// other returns the other numbering.
func (v variant) other() teep.Numbering {
	if v.numbering == teep.IANA {
		return teep.PreIANA
	}
	return teep.IANA
}

// Where the TAM is reached. All return reasons.
const (
	atTAM       = "/tam"
	atChallenge = "/challenge" // asks everybody for evidence at once
	atOther     = "/tan"       // as long as the first one
	atNumbering = "/numbering" // speaks the other numbering
	atLegacy    = "/legacy"    // takes ES256 and EdDSA
	atTimestamp = "/timestamp" // takes evidence that nobody has asked for
	atTry       = "/try"       // tries a key of alice's
)

func (s *stage) endpoints(n teep.Numbering) []*tam.Endpoint {
	other := teep.PreIANA
	if n == other {
		other = teep.IANA
	}
	list := []*tam.Endpoint{
		{Path: atTAM}, {Path: atChallenge, FirstContact: tam.ChallengeFirst}, {Path: atOther},
		{Path: atLegacy, LegacyAlgorithms: true}, {Path: atTimestamp, Freshness: teep.FreshnessTimestamp},
		{Path: atTry, TryKeys: []cosekit.Thumbprint{s.alice.thumbprint()}},
	}
	for _, e := range list {
		e.Numbering, e.Debug = n, true
	}
	return append(list, &tam.Endpoint{Path: atNumbering, Numbering: other, Debug: true})
}

// stage is a TAM in the middle of things: devices are enrolled, tokens, challenges
// and Updates are out, and their answers are ready. Scenes begin with a copy of its
// database, so the same messages are good in each of them.
type stage struct {
	variant
	*cast
	database []byte
	initial  snapshotOf // of the database
	probes   []probe
	at       time.Time

	alice    *virtualDevice // accepted, has all that it should have
	bob      *virtualDevice // accepted, holds an Update
	carol    *virtualDevice // accepted, holds an Update
	dora     *virtualDevice // genuine, not enrolled yet
	stranger *virtualDevice // has a key, and nobody to vouch for it

	manifest           tam.Manifest // in the Updates
	bobToken           []byte       // of bob's Update
	polled, challenged *teep.QueryRequest
	introduced         *teep.QueryRequest // dora's

	poll     *message // alice answers a token
	evidence *message // alice answers a challenge
	contact  *message // dora answers a challenge that was sent to her
	success  *message // carol has done all of the Update
	failure  *message // carol has not
}

// message is one that the TAM accepts, once.
type message struct {
	name    string
	path    string
	by      *virtualDevice
	m       teep.Message
	payload []byte
	wire    []byte
	want    string // the outcome, as outcome has it
	changes string // in the store, as difference has it
}

// title is the name; nil has one too.
func (m *message) title() string {
	if m == nil {
		return ""
	}
	return m.name
}

func (m *message) request() request { return request{path: m.path, body: m.wire} }

func (s *stage) message(name, path string, by *virtualDevice, m teep.Message, want, changes string) *message {
	payload := must(teep.Encode(s.numbering, m))
	return &message{name, path, by, m, payload, newFrame(by.key, payload).encode(), want, changes}
}

const component = "app/one"

// oneReader saves connections, which cost more here than all that is read.
var oneReader = store.Options{Readers: 1}

func setStage(t *testing.T, v variant) *stage {
	s := &stage{variant: v, cast: newCast(), at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	device := func(name string) *virtualDevice { return s.device(name, v.numbering, v.algorithm) }
	s.alice, s.bob, s.carol, s.dora, s.stranger = device("alice"), device("bob"), device("carol"), device("dora"), device("stranger")
	path := filepath.Join(t.TempDir(), "tam.db")
	ctx := t.Context()
	r := startReplica(ctx, path, oneReader, s.cast, s.at, s.endpoints(s.numbering))
	s.trust(ctx, r)
	s.manifest = s.publish(ctx, r, component, []byte("image"))
	s.stranger.attester = s.stranger.key
	s.alice.holds["app/tool"] = suit.SumSHA256([]byte("tool"))
	updates := map[*virtualDevice]*teep.Update{s.bob: nil, s.carol: nil}
	for _, d := range []*virtualDevice{s.alice, s.bob, s.carol} {
		d.enrol(ctx, r, atTAM)
		if _, ok := updates[d]; ok {
			d.require(ctx, r, component)
			updates[d] = d.send(ctx, r, atTAM, d.response(d.connect(ctx, r, atTAM))).(*teep.Update)
		}
	}
	s.bobToken = updates[s.bob].Token
	s.polled, s.challenged = s.alice.connect(ctx, r, atTAM), s.alice.connect(ctx, r, atChallenge)
	s.introduced = s.dora.send(ctx, r, atTAM, s.dora.response(s.dora.connect(ctx, r, atTAM))).(*teep.QueryRequest)
	s.write(updates[s.carol].Token)
	r.stop()
	s.database = must(os.ReadFile(path))
	s.at = s.at.Add(time.Second)
	return s
}

// write makes the messages, and says what each does where it is taken as it is.
func (s *stage) write(update []byte) {
	s.poll = s.message("QueryResponse", atTAM, s.alice, s.alice.response(s.polled),
		"204 nothing-to-do", "~agent alice, +spent poll")
	s.evidence = s.message("evidence", atChallenge, s.alice, s.alice.response(s.challenged),
		"204 nothing-to-do", "~agent alice, +appraisal alice, ~attestations alice, +event attestation.accepted alice, +spent evidence")
	s.contact = s.message("first contact", atTAM, s.dora, s.dora.response(s.introduced),
		"204 device-pending", "+agent dora, +appraisal dora, +attestations dora, +device dora, +event agent.added dora, "+
			"+event attestation.accepted dora, +event device.created dora, +spent contact")
	s.success = s.message("Success", atTAM, s.carol,
		&teep.Success{Token: update, SUITReports: [][]byte{s.carol.report(s.manifest.Digest, update, nil)}},
		"204", "~agent carol, +event agent.report-key carol, +event update.claimed carol, +report carol, ~status carol, -waiting carol")
	failed := &suit.ReportFailure{Reason: suit.ReasonConditionFailed, Record: suit.Record{Section: suit.SectionInstall}}
	s.failure = s.message("Error", atTAM, s.carol,
		&teep.Error{Token: update, Code: teep.ManifestProcessingFailed, ErrMsg: "no room", SUITReports: [][]byte{s.carol.report(s.manifest.Digest, update, failed)}},
		"204 update-failed", "~agent carol, +event agent.report-key carol, +event update.failed carol, +report carol, ~status carol, -waiting carol")
	bob, carol := s.bob.thumbprint(), s.carol.thumbprint()
	s.probes = []probe{
		{name: "poll", token: s.polled.Token},
		{name: "evidence", token: s.challenged.Challenge},
		{name: "contact", token: s.introduced.Challenge},
		{name: "bob", token: s.bobToken, waiter: &bob},
		{name: "carol", token: update, waiter: &carol},
	}
}

func (s *stage) messages() []*message {
	return []*message{s.poll, s.evidence, s.contact, s.success, s.failure}
}

// scene is the stage set up once more.
type scene struct {
	*stage
	t        *testing.T
	path     string
	replicas []*replica
	last     snapshotOf
}

// snapshotOf is what the files of a database hold.
type snapshotOf struct {
	files [sha256.Size]byte
	lines []line
}

func (s *stage) scene(t *testing.T) *scene {
	sc := &scene{stage: s, t: t, path: filepath.Join(t.TempDir(), "tam.db")}
	if err := os.WriteFile(sc.path, s.database, 0o600); err != nil {
		t.Fatal(err)
	}
	sc.replica(0)
	if s.initial.lines == nil {
		sc.snapshot()
		s.initial = sc.last
	}
	sc.last = s.initial
	return sc
}

// replica returns the nth TAM over the same database, and starts it where needed.
func (sc *scene) replica(n int) *replica {
	for len(sc.replicas) <= n {
		sc.replicas = append(sc.replicas, startReplica(sc.t.Context(), sc.path, oneReader, sc.cast, sc.at, sc.endpoints(sc.numbering)))
	}
	return sc.replicas[n]
}

func (sc *scene) stop() {
	for _, r := range sc.replicas {
		r.stop()
	}
}

// snapshot returns what is in the database. It is not read again while not a byte
// of its files is another, as should be for nearly all rows.
func (sc *scene) snapshot() []line {
	h := sha256.New()
	for _, path := range []string{sc.path, sc.path + "-wal"} {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			sc.t.Fatal(err)
		}
		h.Write(data)
	}
	files := [sha256.Size]byte(h.Sum(nil))
	if files != sc.last.files {
		named := []*virtualDevice{sc.alice, sc.bob, sc.carol, sc.dora, sc.stranger}
		sc.last = snapshotOf{files, snapshot(sc.t, sc.replicas[0].store, named, sc.probes)}
	}
	return sc.last.lines
}

// untouched reports whether nobody could tell it from a new scene.
func (sc *scene) untouched() bool {
	return len(sc.replicas) == 1 && sc.replicas[0].clock.Now().Equal(sc.at) && difference(sc.initial.lines, sc.last.lines) == ""
}

// outcome tells an answer in words: the status, the message in it, the reason.
func (s *stage) outcome(r reply) string {
	words := []string{fmt.Sprint(r.status)}
	if r.status == http.StatusOK {
		m, err := s.alice.open(r.body)
		if err != nil {
			return fmt.Sprintf("200 with an answer that cannot be read: %v", err)
		}
		words = append(words, m.Kind().String())
		if u, ok := m.(*teep.Update); ok && u.ErrCode != 0 {
			words = append(words, u.ErrCode.String())
		}
	} else if r.status < http.StatusBadRequest && len(r.body) > 0 {
		return fmt.Sprintf("%d with a body of %d bytes", r.status, len(r.body))
	}
	if r.reason != "" {
		words = append(words, string(r.reason))
	}
	return strings.Join(words, " ")
}

// deliver sends the requests, all at once where together says so, and returns what
// came of them: each outcome once.
func (sc *scene) deliver(ctx context.Context, requests []request, together bool) []string {
	outcomes := make([]string, len(requests))
	for _, q := range requests {
		sc.replica(q.at) // started before they race
	}
	var racing sync.WaitGroup
	for i, q := range requests {
		send := func() { outcomes[i] = sc.outcome(sc.replicas[q.at].do(ctx, q)) }
		if together {
			racing.Go(send)
		} else {
			send()
		}
	}
	racing.Wait()
	slices.Sort(outcomes)
	return slices.Compact(outcomes)
}
