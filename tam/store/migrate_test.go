package store

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

// schemaText returns the SQL of everything in the schema that is ours.
func schemaText(t *testing.T, c *conn) string {
	t.Helper()
	var lines []string
	err := c.ask(`SELECT type, name, coalesce(sql, '') FROM sqlite_schema
		WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type, name`, func(r *row) bool {
		lines = append(lines, r.text()+" "+r.text()+" "+r.text())
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// withWriter lends fn the connection that writes.
func withWriter(t *testing.T, s *SQLite, fn func(*conn)) {
	t.Helper()
	c, err := s.writer.pool.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.writer.pool.put(c)
	fn(c)
}

func TestMigrateUpDownUp(t *testing.T) {
	s := openFile(t)
	storetest.Fill(t, s)
	withWriter(t, s, func(c *conn) {
		up := schemaText(t, c)
		m, _, err := newMigration(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Down(); err != nil {
			t.Fatal(err)
		}
		if down := schemaText(t, c); down != "" {
			t.Errorf("left after down:\n%s", down)
		}
		if err := m.Up(); err != nil {
			t.Fatal(err)
		}
		if again := schemaText(t, c); again != up {
			t.Errorf("up, down, up gives\n%s\nup gave\n%s", again, up)
		}
	})
	storetest.Fill(t, s)
}

// A device from before the column starts with what its agents attested last.
func TestMigrateDeviceEvidence(t *testing.T) {
	s := openFile(t)
	storetest.Fill(t, s)
	withWriter(t, s, func(c *conn) {
		m, _, err := newMigration(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Migrate(4), m.Up()); err != nil {
			t.Fatal(err)
		}
		attested := 0
		err = c.ask(`SELECT devices.evidence_at, max(attested_at) FROM devices JOIN agents ON device = id GROUP BY id`, func(r *row) bool {
			attested++
			if got, want := timeOf(r.int()), timeOf(r.int()); !got.Equal(want) || want.IsZero() {
				t.Errorf("evidence of %s, want %s", got, want)
			}
			return true
		})
		if err != nil || attested == 0 {
			t.Errorf("%d devices with agents: %v", attested, err)
		}
	})
}

// What was published before manifests had signatures and dependencies has neither, and
// is found as before. A status from before the column was never measured.
func TestMigrateManifests(t *testing.T) {
	s := openFile(t)
	storetest.Fill(t, s)
	before := storetest.Dump(t, s)
	withWriter(t, s, func(c *conn) {
		m, _, err := newMigration(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Migrate(5), m.Up()); err != nil {
			t.Fatal(err)
		}
	})
	var want []string // reports are newer than that schema
	for _, line := range strings.Split(withoutAttestation(before), "\n") {
		if status, _, ok := strings.Cut(line, " held sha-256:"); ok {
			line = status + " held none measured never"
		}
		if !strings.HasPrefix(line, "report of ") {
			want = append(want, line)
		}
	}
	if after := storetest.Dump(t, s); after != strings.Join(want, "\n") {
		t.Errorf("after the migration:\n%s\nbefore:\n%s", after, before)
	}
}

// attestationLine matches what a dump tells of the eighth schema and none before it.
var attestationLine = regexp.MustCompile(`^(policy|group|reference file|CA|  label|  quarantined|  exception|  attestations) `)

var acceptedUnder = regexp.MustCompile(`\bruled -?\d+$`) // of an agent, since the ninth

func withoutAttestation(dump string) string {
	var lines []string
	for _, line := range strings.Split(dump, "\n") {
		line, _, _ = strings.Cut(line, " judged ")
		line = acceptedUnder.ReplaceAllString(line, "ruled 0")
		if strings.HasPrefix(line, "references changed ") {
			line = "references changed 0 times"
		}
		if !attestationLine.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// appraisalRows are the appraisals as the seventh schema has them.
func appraisalRows(t *testing.T, c *conn) (rows []string) {
	t.Helper()
	err := c.ask(`SELECT id, device, agent, at, accepted, reason, status, vector, verifier, evidence, format, challenge
		FROM appraisals ORDER BY id`, func(r *row) bool {
		rows = append(rows, fmt.Sprint(r.values))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// The history that a device had is there after the migration, under the same ids, and goes
// on from there; and it is there for the former program after the way back.
func TestMigrateAttestation(t *testing.T) {
	s := openFile(t)
	storetest.Fill(t, s)
	history := func(from, to int) {
		err := s.Update(t.Context(), func(tx tam.Tx) (err error) {
			for n := from; n <= to; n++ {
				err = errors.Join(err, tx.AddAppraisal(devices.Appraisal{
					Device: "device-001", At: timeOf(int64(n)), Accepted: n%2 == 0, Reason: fmt.Sprint("number ", n), Status: 32, Verifier: "v",
					Evidence: bytes.Repeat([]byte{byte(n)}, 3000*(n%3)), Format: "f", Challenge: []byte{1}, Vector: []byte("[]"),
				}))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	history(2, 9)
	before := storetest.Dump(t, s)
	withWriter(t, s, func(c *conn) {
		m, _, err := newMigration(c)
		if err != nil {
			t.Fatal(err)
		}
		rows := appraisalRows(t, c)
		if err := m.Migrate(7); err != nil {
			t.Fatal(err)
		}
		if old := appraisalRows(t, c); len(rows) != 9 || !slices.Equal(old, rows) {
			t.Errorf("after the way back:\n%s\nbefore:\n%s", old, rows)
		}
		// As the former program writes it: evidence, or none.
		if err := errors.Join(c.script(`INSERT INTO appraisals (device, agent, at, accepted, reason, status, vector, verifier, evidence, format, challenge)
			SELECT device, agent, at, accepted, reason, status, vector, verifier, evidence, format, challenge FROM appraisals WHERE id = 1`),
			c.script(`UPDATE appraisals SET evidence = NULL WHERE id = 10`)); err != nil {
			t.Fatal(err)
		}
		rows = appraisalRows(t, c)
		if err := m.Up(); err != nil {
			t.Fatal(err)
		}
		if now := appraisalRows(t, c); len(rows) != 10 || !slices.Equal(now, rows) {
			t.Errorf("after the migration:\n%s\nbefore:\n%s", now, rows)
		}
		if err := c.script(`DELETE FROM appraisals WHERE id = 10`); err != nil {
			t.Fatal(err)
		}
	})
	if after, want := storetest.Dump(t, s), withoutAttestation(before); after != want {
		t.Errorf("after the migration:\n%s\nwant:\n%s", after, want)
	}
	history(11, 11)
	err := s.View(t.Context(), func(r tam.Reader) error {
		last, err := r.Appraisal(11)
		if last.Reason != "number 11" {
			t.Errorf("the id behind the last is of %q", last.Reason)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tam.db")
	s := open(t, path)
	withWriter(t, s, func(c *conn) {
		if err := c.script(`PRAGMA user_version = 9999`); err != nil {
			t.Fatal(err)
		}
	})
	_, err := OpenSQLite(t.Context(), path, Options{})
	if !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), "9999") {
		t.Fatalf("got %v, want ErrNewerSchema with the version", err)
	}
	withWriter(t, s, func(c *conn) {
		if v, _, err := (&schema{conn: c}).Version(); err != nil || v != 9999 {
			t.Errorf("version is %d (%v) after the refusal", v, err)
		}
	})
}

// A migration that fails leaves neither tables nor a version.
func TestFailedMigrationIsUndone(t *testing.T) {
	s := open(t, Memory)
	withWriter(t, s, func(c *conn) {
		before := schemaText(t, c)
		m := &schema{conn: c}
		newest, _, err := m.Version()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Lock(), m.SetVersion(newest+1, true), m.Run(strings.NewReader(`CREATE TABLE half (a); CREATE TABLE half (b);`))); err == nil {
			t.Fatal("the migration did not fail")
		}
		if err := m.Unlock(); err != nil {
			t.Fatal(err)
		}
		if after := schemaText(t, c); after != before {
			t.Errorf("left:\n%s", after)
		}
		if v, dirty, err := m.Version(); v != newest || dirty || err != nil {
			t.Errorf("version %d, dirty %t, %v; want what it was", v, dirty, err)
		}
	})
}
