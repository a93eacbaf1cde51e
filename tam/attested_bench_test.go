//go:build unix

package tam_test

import (
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// BenchmarkAttestedSession runs sessions with evidence that the built-in verifier
// appraises, on a SQLite file, 32 at once, both ends: connect, QueryRequest with a
// challenge, QueryResponse with an EAT or a PSA token in a bound bundle, 204. x-floor is
// the CPU time of both ends over that of the signatures and verifications in it, taken in
// the same run.
func BenchmarkAttestedSession(b *testing.B) {
	for _, c := range []struct {
		name string
		alg  cosekit.Algorithm
		psa  bool
	}{{"EAT/ESP256", cosekit.ESP256, false}, {"EAT/Ed25519", cosekit.Ed25519, false}, {"PSA/ESP256", cosekit.ESP256, true}} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorldAt(b, filepath.Join(b.TempDir(), "tam.db"), func(c *tam.Config) {
				c.Policy.FirstContact = tam.ChallengeFirst
				c.Clock = time.Now // each session is later than the one before
			}, routed)
			w.ep.FirstRequest = c.alg
			fleet := make([]attested, 32)
			for i := range fleet {
				fleet[i] = attested{device: w.device(c.alg)}
				if c.psa {
					name := strconv.Itoa(i)
					fleet[i].psa = localtest.NewPSA(name)
					w.importPublished(fleet[i].psa.Published(name))
				}
				fleet[i].session()
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
						if answer := d.session(); answer.Reason != tam.ReasonNothingToDo {
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
			b.ReportMetric(float64(spent)/float64(b.N)/float64(floorOfAttested(b, fleet[0].device)), "x-floor")
		})
	}
}

// attested is a device and, where it has some, its PSA root of trust.
type attested struct {
	*device
	psa *localtest.PSA
}

func (d attested) session() tam.Answer {
	now := func(c *attest.Claims) { c.IssuedAt = time.Now() }
	request := d.connect()
	if d.psa == nil {
		return d.respond(request, now)
	}
	return d.w.process(d.seal(&teep.QueryResponse{Attestation: d.bundle(d.psa, request.Challenge, now)}))
}

// floorOfAttested times what such a session signs and verifies: the QueryRequest, the
// evidence, which is on P-256, and the QueryResponse, each once.
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
