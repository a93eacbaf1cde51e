package tam

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// keyStore is as much of a store as the keyring needs.
type keyStore struct {
	Tx
	keys []TokenKey
}

func (s *keyStore) View(_ context.Context, fn func(Reader) error) error { return fn(s) }
func (s *keyStore) Update(_ context.Context, fn func(Tx) error) error   { return fn(s) }
func (s *keyStore) TokenKeys() ([]TokenKey, error)                      { return s.keys, nil }
func (s *keyStore) AppendEvent(audit.Event) error                       { return nil }
func (s *keyStore) DeleteExpired(time.Time, int) (int, error)           { return 0, nil }
func (s *keyStore) DropEvidence(time.Time, int) (int, error)            { return 0, nil }
func (s *keyStore) PolicyState() (int64, error)                         { return 0, nil }
func (s *keyStore) Policies() ([]policy.Policy, error)                  { return nil, nil }
func (s *keyStore) Groups() ([]devices.Group, error)                    { return nil, nil }
func (s *keyStore) DeleteAppraisals(cosekit.Thumbprint, time.Time, int, int) (none cosekit.Thumbprint, _ error) {
	return none, nil
}
func (s *keyStore) AddTokenKey(k TokenKey) error { s.keys = append(s.keys, k); return nil }
func (s *keyStore) DeleteTokenKey(id uint8) error {
	for i, k := range s.keys {
		if k.ID == id {
			s.keys = append(s.keys[:i:i], s.keys[i+1:]...)
			return nil
		}
	}
	return ErrNotFound
}

// replica is a TAM as far as tokens go.
func replica(t testing.TB, store Store, now *time.Time) *TAM {
	t.Helper()
	r := &TAM{cfg: Config{Store: store, Clock: func() time.Time { return *now }}.withDefaults()}
	r.tokens = &mint{cfg: &r.cfg, rand: lockedReader{mu: &sync.Mutex{}, r: rand.Reader}}
	if err := r.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

func mustIssue(t testing.TB, m *mint, ep *Endpoint, p purpose, to *cosekit.Thumbprint) []byte {
	t.Helper()
	raw, err := m.issue(ep, p, to)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func reasonOfError(err error) Reason {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.reason
	}
	return ""
}

func TestTokenRoundTrip(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 999, time.UTC)
	m := replica(t, &keyStore{}, &now).tokens
	ep := &Endpoint{Path: "/tam"}
	key, other := cosekit.Thumbprint{1}, cosekit.Thumbprint{2}
	for _, items := range []teep.DataItems{tokenItems, challengeItems} {
		for _, retry := range []purpose{0, purposeRetry} {
			for _, to := range []*cosekit.Thumbprint{nil, &key} {
				raw := mustIssue(t, m, ep, purpose(items)|retry, to)
				got, err := m.open(raw, ep, &key, items.Has(teep.ItemAttestation))
				if err != nil {
					t.Fatal(err)
				}
				if len(raw) != 32 || got.purpose.items() != items || got.purpose.retried() != (retry != 0) || !got.issued.Equal(now.Truncate(time.Second)) {
					t.Errorf("%d bytes, %+v", len(raw), got)
				}
				if bytes.Contains(raw, key[:4]) {
					t.Error("the token holds the thumbprint")
				}
				_, err = m.open(raw, ep, &other, items.Has(teep.ItemAttestation))
				if want := map[bool]Reason{true: ReasonTokenForeign}[to != nil]; reasonOfError(err) != want {
					t.Errorf("from another key: %v, want %q", err, want)
				}
				_, err = m.open(raw, ep, nil, items.Has(teep.ItemAttestation))
				if want := map[bool]Reason{true: ReasonTokenForeign}[to != nil]; reasonOfError(err) != want {
					t.Errorf("from nobody: %v, want %q", err, want)
				}
			}
		}
	}
}

func TestEveryBitOfATokenCounts(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	m := replica(t, &keyStore{}, &now).tokens
	ep := &Endpoint{Path: "/tam"}
	key := cosekit.Thumbprint{1}
	raw := mustIssue(t, m, ep, purpose(tokenItems), &key)
	for bit := range 8 * len(raw) {
		bent := bytes.Clone(raw)
		bent[bit/8] ^= 1 << (bit % 8)
		if _, err := m.open(bent, ep, &key, false); reasonOfError(err) != ReasonTokenForeign {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

func TestTokenAge(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r := replica(t, &keyStore{}, &now)
	ep := &Endpoint{Path: "/tam"}
	policy := r.cfg.Policy
	for _, p := range []struct {
		items    teep.DataItems
		lifetime time.Duration
	}{{tokenItems, policy.TokenLifetime}, {challengeItems, policy.ChallengeLifetime}} {
		issued := now
		raw := mustIssue(t, r.tokens, ep, purpose(p.items), nil)
		for _, c := range []struct {
			after  time.Duration
			reason Reason
		}{
			{0, ""}, {p.lifetime, ""}, {p.lifetime + time.Second, ReasonTokenExpired}, {24 * 365 * time.Hour, ReasonTokenExpired},
			{-policy.ClockSkew, ""}, {-policy.ClockSkew - 2*time.Second, ReasonTokenExpired},
		} {
			now = issued.Add(c.after)
			got, err := r.tokens.open(raw, ep, nil, p.items.Has(teep.ItemAttestation))
			if reasonOfError(err) != c.reason {
				t.Errorf("after %s: %v, want %q", c.after, err, c.reason)
			}
			if err == nil && got.spentUntil.Before(issued.Add(p.lifetime+policy.ClockSkew)) {
				t.Errorf("the mark ends at %s, before a replica whose clock is behind stops taking the token", got.spentUntil)
			}
		}
		now = issued
	}
}

// Two replicas rotate keys by turns; what one issues the other takes, even before
// it has heard of a new key.
func TestKeysRotateUnderTwoReplicas(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	store := &keyStore{}
	replicas := []*TAM{replica(t, store, &now), replica(t, store, &now)}
	for _, r := range replicas {
		r.cfg.Policy.TokenKeyRotation = time.Hour
	}
	ep := &Endpoint{Path: "/tam"}
	used := map[uint8]bool{}
	for turn := range 300 * 30 { // more rotations than there are key ids
		now = now.Add(2 * time.Minute)
		from, to := replicas[turn%2], replicas[(turn+1)%2]
		if err := from.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := mustIssue(t, from.tokens, ep, purpose(tokenItems), nil)
		used[raw[0]] = true
		if _, err := to.tokens.open(raw, ep, nil, false); err != nil {
			t.Fatalf("at %s: %v", now, err)
		}
		if len(store.keys) > 3 {
			t.Fatalf("%d keys are kept", len(store.keys))
		}
	}
	if len(used) != 256 {
		t.Errorf("%d key ids were used, want all 256", len(used))
	}
}

func FuzzTokenOpen(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	m := replica(f, &keyStore{}, &now).tokens
	ep := &Endpoint{Path: "/tam"}
	key := cosekit.Thumbprint{1}
	own := map[string]bool{}
	for _, to := range []*cosekit.Thumbprint{nil, &key} {
		for _, items := range []teep.DataItems{tokenItems, challengeItems} {
			raw := mustIssue(f, m, ep, purpose(items), to)
			own[string(raw)] = true
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, challenge := range []bool{false, true} {
			if _, err := m.open(raw, ep, &key, challenge); err == nil && !own[string(raw)] {
				t.Errorf("%x passes", raw)
			}
		}
	})
}

func TestBackOff(t *testing.T) {
	p := Policy{Reoffers: 3, BackOff: time.Minute, BackOffMax: 5 * time.Minute}
	for offers, want := range []time.Duration{0, 0, 0, 0, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if got := p.backOff(offers); got != want {
			t.Errorf("after %d offers: %s, want %s", offers, got, want)
		}
	}
	if got := p.backOff(1 << 40); got != 5*time.Minute {
		t.Errorf("after very many offers: %s", got)
	}
}
