package teephttp_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// largeVariable is the number of devices of [BenchmarkSessionLarge]; five times as
// many sessions lie behind them. A million takes minutes and gigabytes.
const largeVariable = "TAMARACK_TEST_LARGE"

// BenchmarkSessionLarge runs the sessions of [BenchmarkSession] beside each other
// on a store that is new and on one with a past.
func BenchmarkSessionLarge(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv(largeVariable))
	if err != nil || n < 1 {
		b.Skip("set " + largeVariable + " to a number of devices, 1000000 for instance")
	}
	empty, large := newFleet(b, cosekit.ESP256), newFleet(b, cosekit.ESP256)
	began := time.Now()
	large.fill(b, n)
	b.Logf("%d devices and %d sessions in %s", n, pastSessions*n, time.Since(began).Round(time.Second))
	for _, update := range []bool{false, true} {
		kind := map[bool]string{false: "poll", true: "update"}[update]
		b.Run(kind+"/empty", func(b *testing.B) { empty.benchmark(b, update) })
		b.Run(kind+"/large", func(b *testing.B) { large.benchmark(b, update) })
	}
}

// pastSessions is how many each device had.
const pastSessions = 5

// fill writes what devices and their sessions leave behind: spent marks and audit
// events, an appraisal, a component that is there.
func (f *fleet) fill(b *testing.B, n int) {
	const batch = 5000
	began := time.Now().Add(-24 * time.Hour)
	for first := 0; first < n; first += batch {
		update(b, f.store, func(tx tam.Tx) error {
			for i := first; i < min(n, first+batch); i++ {
				if err := f.past(tx, i, began.Add(time.Duration(i)*time.Millisecond)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	f.devices = n
}

func (f *fleet) past(tx tam.Tx, n int, now time.Time) error {
	public := make(ed25519.PublicKey, ed25519.PublicKeySize) // nobody will sign with it
	rand.Read(public)                                        // it never fails
	key, err := cosekit.NewPublicKey(public)
	if err != nil {
		return err
	}
	if err := f.put(tx, n, key, now); err != nil {
		return err
	}
	digest := suit.SumSHA256(public)
	if err := tx.ReplaceInventory(deviceID(n), []devices.InventoryItem{{Component: f.target, Digest: digest, Since: now}}); err != nil {
		return err
	}
	if err := tx.PutComponentStatus(devices.ComponentStatus{
		Device: deviceID(n), Component: f.target, Manifest: digest, Sequence: 1, State: devices.Confirmed, Since: now,
	}); err != nil {
		return err
	}
	if err := tx.AddAppraisal(devices.Appraisal{
		Device: deviceID(n), Agent: key.Thumbprint(), At: now, Accepted: true, Verifier: "local",
		Evidence: make([]byte, 400), Format: "application/eat+cwt", Challenge: public,
	}); err != nil {
		return err
	}
	for i := range pastSessions {
		if err := tx.Spend(pastToken(now, n, i), now.Add(5*time.Minute)); err != nil {
			return err
		}
		if err := tx.AppendEvent(audit.Event{
			At: now, Actor: "agent:" + key.Thumbprint().String(), Action: audit.UpdateOffered, Subject: "device:" + string(deviceID(n)),
			Details: map[string]string{"manifest": digest.String(), "component": f.target.String(), "sequence": fmt.Sprint(i)},
		}); err != nil {
			return err
		}
	}
	return nil
}

// pastToken is built as the TAM builds tokens: they begin with the time.
func pastToken(now time.Time, n, i int) []byte {
	token := binary.BigEndian.AppendUint32([]byte{0, 2}, uint32(now.Unix()))
	token = binary.BigEndian.AppendUint64(token, uint64(n*pastSessions+i)*0x9e3779b97f4a7c15) // any order
	return append(token, make([]byte, 18)...)
}
