package tam

import (
	"encoding/binary"
	"testing"
	"time"
)

// Affirmed evidence makes keys as it likes; the record of an hour stays bounded.
func TestStrangersAreBounded(t *testing.T) {
	var n strangers
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	refused := func(i int) (r refusedKey) {
		binary.BigEndian.PutUint32(r.key[:], uint32(i))
		return r
	}
	for i := range maxStrangers {
		if !n.noteworthy(refused(i), now) {
			t.Fatalf("refusal %d is not noteworthy", i)
		}
		n.note(refused(i), now)
	}
	if n.noteworthy(refused(maxStrangers), now.Add(notedFor-1)) {
		t.Error("one too many is noteworthy")
	}
	n.note(refused(maxStrangers), now)
	if len(n.seen) != maxStrangers {
		t.Errorf("%d are remembered", len(n.seen))
	}
	if !n.noteworthy(refused(maxStrangers), now.Add(notedFor)) {
		t.Error("there is no room an hour later")
	}
}
