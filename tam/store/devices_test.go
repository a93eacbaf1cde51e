package store

import (
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

// A device with a damaged column is an error, and never a device without an exception, say,
// or one that has not failed yet. The others are found as before.
func TestDamagedDevice(t *testing.T) {
	for _, column := range []string{"labels", "exception", "attestations_failed", "attestation_key"} {
		for name, damage := range map[string]string{
			"not CBOR": "x'ff'", "cut off": "x'a1'", "of another type": "x'8101'", "a key twice": "x'a201000100'", "another value": "x'a10140'",
			"without end": "x'bfff'", "beyond every size": "x'bb7fffffffffffffff'",
		} {
			t.Run(column+"/"+name, func(t *testing.T) {
				s := open(t, Memory)
				storetest.Fill(t, s)
				err := s.Update(t.Context(), func(tx tam.Tx) error { return tx.PutDevice(devices.Device{ID: "other", UEID: []byte{2}}) })
				if err != nil {
					t.Fatal(err)
				}
				withWriter(t, s, func(c *conn) {
					if err := c.script(fmt.Sprintf(`UPDATE devices SET %s = %s WHERE id = 'device-001'`, column, damage)); err != nil {
						t.Fatal(err)
					}
				})
				err = s.View(t.Context(), func(r tam.Reader) error {
					if d, err := r.Device("device-001"); err == nil {
						t.Errorf("read %+v", d)
					}
					_, err := r.Device("other")
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}
