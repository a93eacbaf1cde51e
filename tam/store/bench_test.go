package store

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
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
