package store

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

// everywhere runs a benchmark on a file and in memory: the difference is the disk.
func everywhere(b *testing.B, run func(b *testing.B, s *SQLite)) {
	b.Run("file", func(b *testing.B) { run(b, openFile(b)) })
	b.Run("memory", func(b *testing.B) { run(b, open(b, Memory)) })
}

// BenchmarkUpdate is the least that a session writes: a spent token and an event.
func BenchmarkUpdate(b *testing.B) {
	everywhere(b, func(b *testing.B, s *SQLite) {
		b.ReportAllocs()
		for n := uint64(0); b.Loop(); n++ {
			if err := spendAndLog(b.Context(), s, n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUpdateTogether is the same from many at once, who share commits.
func BenchmarkUpdateTogether(b *testing.B) {
	everywhere(b, func(b *testing.B, s *SQLite) {
		b.ReportAllocs()
		b.SetParallelism(32)
		var n atomic.Uint64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := spendAndLog(b.Context(), s, n.Add(1)); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func spendAndLog(ctx context.Context, s *SQLite, n uint64) error {
	return s.Update(ctx, func(tx tam.Tx) error {
		if err := tx.Spend(binary.BigEndian.AppendUint64(make([]byte, 24, 32), n), timeOf(1)); err != nil {
			return err
		}
		return tx.AppendEvent(audit.Event{At: timeOf(1), Actor: "agent:x", Action: "session", Details: map[string]string{"outcome": "empty"}})
	})
}

// BenchmarkAttested is what a session with evidence asks and writes, on a database with
// some history.
func BenchmarkAttested(b *testing.B) {
	everywhere(b, func(b *testing.B, s *SQLite) {
		const fleet, history = 64, 32
		agents := make([]devices.Agent, fleet)
		err := s.Update(b.Context(), func(tx tam.Tx) error {
			for i := range agents {
				seed := binary.BigEndian.AppendUint64(make([]byte, ed25519.SeedSize-8, ed25519.SeedSize), uint64(i))
				key, err := cosekit.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
				if err != nil {
					return err
				}
				agents[i] = devices.Agent{Key: key, Device: devices.ID(key.Thumbprint().String())}
				d := devices.Device{ID: agents[i].Device, UEID: seed, State: devices.Accepted, AttestationKey: key.Thumbprint()}
				err = errors.Join(tx.PutDevice(d), tx.PutAgent(agents[i]))
				for n := range history {
					err = errors.Join(err, attested(tx, agents[i], uint64(n<<32+i)))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for n := uint64(0); b.Loop(); n++ {
			err := s.Update(b.Context(), func(tx tam.Tx) error { return attested(tx, agents[n%fleet], history<<32+n) })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// attested notes the nth evidence of the fleet, of 2 kB.
func attested(tx tam.Tx, a devices.Agent, n uint64) error {
	token := binary.BigEndian.AppendUint64(make([]byte, 24, 32), n)
	if err := tx.Spend(token, timeOf(1)); err != nil {
		return err
	}
	a, err := tx.Agent(a.Key.Thumbprint())
	if err != nil {
		return err
	}
	d, err := tx.Device(a.Device)
	if err != nil {
		return err
	}
	d.EvidenceAt, a.AttestedAt, a.LastSeen = timeOf(int64(n)), timeOf(int64(n)), timeOf(int64(n))
	d.Attestations.Accepted++
	d.Attestations.Failed = map[string]uint64{"wrong-nonce": 3}
	return errors.Join(tx.PutDevice(d), tx.PutAgent(a),
		tx.AddAppraisal(devices.Appraisal{
			Device: d.ID, Agent: a.Key.Thumbprint(), At: timeOf(int64(n)), Accepted: true, Vector: make([]byte, 500), Verifier: "local",
			Claims: make([]byte, 800), Comparisons: make([]byte, 500), Outcome: "accept", Policy: "default",
			Evidence: make([]byte, 2000), Format: "application/eat+cwt", Challenge: token,
		}),
		tx.AppendEvent(audit.Event{At: timeOf(1), Actor: "agent:x", Action: "session", Details: map[string]string{"outcome": "empty"}}))
}

// BenchmarkView finds an agent by its key, as every message does.
func BenchmarkView(b *testing.B) {
	everywhere(b, func(b *testing.B, s *SQLite) {
		storetest.Fill(b, s)
		var agents []devices.Agent
		err := s.View(b.Context(), func(r tam.Reader) error {
			all, err := r.Devices("", tam.Page{Limit: 1})
			if err != nil {
				return err
			}
			agents, err = r.AgentsOf(all[0].ID)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		key := agents[0].Key.Thumbprint()
		b.ReportAllocs()
		for b.Loop() {
			if err := s.View(b.Context(), func(r tam.Reader) error { _, err := r.Agent(key); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
