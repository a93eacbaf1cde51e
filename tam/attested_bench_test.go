//go:build unix

package tam_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

// BenchmarkAttestedSession runs sessions with evidence that the built-in verifier
// appraises, on a SQLite file, 32 at once, both ends: connect, QueryRequest with a
// challenge, QueryResponse with an EAT, 204. x-floor is the CPU time of both ends over that
// of the signatures and verifications in it, taken in the same run.
func BenchmarkAttestedSession(b *testing.B) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		b.Run(cosekit.AlgorithmName(alg), func(b *testing.B) {
			w := newWorldAt(b, filepath.Join(b.TempDir(), "tam.db"), func(c *tam.Config) {
				c.Policy.FirstContact = tam.ChallengeFirst
				c.Clock = time.Now // each session is later than the one before
			}, routed)
			w.ep.FirstRequest = alg
			claims := func(c *attest.Claims) { c.IssuedAt = time.Now() }
			fleet := make([]*device, 32)
			for i := range fleet {
				fleet[i] = w.device(alg)
				fleet[i].respond(fleet[i].connect(), claims)
				fleet[i].setState(devices.Accepted)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			var next atomic.Int64
			var workers sync.WaitGroup
			for _, d := range fleet {
				workers.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if answer := d.respond(d.connect(), claims); answer.Reason != tam.ReasonNothingToDo {
							b.Error(answer.Reason)
							return
						}
					}
				})
			}
			workers.Wait()
			spent := cpuTime(b) - before
			b.StopTimer()
			b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(spent)/float64(b.N)/float64(floorOfAttested(b, fleet[0])), "x-floor")
		})
	}
}

// floorOfAttested times what such a session signs and verifies: the QueryRequest, the
// EAT and the QueryResponse, each once.
func floorOfAttested(b *testing.B, d *device) time.Duration {
	tamKey := d.w.cfg.Signers.ESP256
	if d.key.Algorithm() == cosekit.Ed25519 {
		tamKey = d.w.cfg.Signers.Ed25519
	}
	message := make([]byte, 400)
	var spent time.Duration
	for _, by := range []cosekit.Signer{tamKey, d.attester, d.key} {
		wire, err := cosekit.Sign1(by, message, cosekit.Form{})
		if err != nil {
			b.Fatal(err)
		}
		signed, err := cosekit.Parse(wire)
		if err != nil {
			b.Fatal(err)
		}
		const rounds = 300
		began := cpuTime(b)
		for range rounds {
			if _, err := by.Sign(nil, message); err != nil {
				b.Fatal(err)
			}
			if err := signed.Verify(by.PublicKey(), false); err != nil {
				b.Fatal(err)
			}
		}
		spent += (cpuTime(b) - began) / rounds
	}
	return spent
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
