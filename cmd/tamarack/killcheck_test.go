package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver that reads the copy

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// checker compares what a TAM holds after a kill with what it has acknowledged. It
// looks between two rounds, when nothing is under way.
type checker struct {
	data  string
	log   *killLog
	files map[string]fs.FileInfo // payload files as they were when they were hashed
}

// follow reads the audit log on from where it was left.
func (l *killLog) follow(ctx context.Context, s *site) error {
	limit := 1000
	for {
		after := strconv.FormatInt(l.last, 10)
		r, err := s.api.ListEventsWithResponse(ctx, &client.ListEventsParams{After: &after, Limit: &limit})
		if err != nil {
			return lost(err)
		}
		if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
			return err
		}
		for _, e := range r.JSON200.Items {
			if err := l.add(e); err != nil {
				return err
			}
		}
		if r.JSON200.Next == "" {
			return nil
		}
	}
}

// publisher checks that nothing acknowledged to a publisher was lost, from the nth
// publication on.
func (c *checker) publisher(ctx context.Context, s *site, p *killPublisher, from int) error {
	if !c.log.anchors[p.key.PublicKey().Thumbprint().String()] {
		return errors.New("the publisher was lost")
	}
	for _, image := range p.payloads {
		if !c.log.payloads[image.String()] {
			return fmt.Errorf("payload %s was acknowledged and is not in the log", image)
		}
	}
	for i, n := range p.published {
		if _, ok := c.log.manifests[n.digest.String()]; !ok {
			return fmt.Errorf("manifest %s, sequence %d, was acknowledged and is not in the log", n.digest, n.sequence)
		}
		if i < from {
			continue
		}
		r, err := s.api.GetManifestWithResponse(ctx, n.digest.String())
		if err != nil {
			return lost(err)
		}
		if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
			return fmt.Errorf("manifest %s, sequence %d, was acknowledged: %w", n.digest, n.sequence, err)
		}
	}
	return nil
}

// agent checks that nothing acknowledged to an agent or about its device was lost,
// and nothing accepted twice.
func (c *checker) agent(ctx context.Context, s *site, a *killAgent) error {
	if a.registered && !c.log.anchors[a.attester.PublicKey().Thumbprint().String()] {
		return errors.New("its attestation key was lost")
	}
	perhaps := func(k turnKind) int {
		if a.turn != nil && a.turn.kind == k && a.turn.again {
			return 1
		}
		return 0
	}
	if got := c.log.attested[a.actor()]; got < a.evidence || got > a.evidence+perhaps(attesting) {
		return fmt.Errorf("evidence was accepted %d times by the log, %d times by the answers", got, a.evidence)
	}
	for manifest, offers := range a.offers {
		key := a.actor() + " " + manifest
		if got := c.log.offers[key]; got < offers {
			return fmt.Errorf("manifest %s was offered %d times, the log has %d", manifest, offers, got)
		}
		got, want := c.log.claims[key], a.claims[manifest]
		if got < want || got > want+perhaps(success) {
			return fmt.Errorf("Success for manifest %s was accepted %d times by the log, %d times by the answers", manifest, got, want)
		}
	}
	if a.id == "" {
		return nil
	}
	d := c.log.devices[a.id]
	if d == nil || d.ueid != a.hexUEID() {
		return fmt.Errorf("device %s was acknowledged and is not in the log", a.id)
	}
	if err := a.compare(d); err != nil {
		return err
	}
	return c.device(ctx, s, a.id, d)
}

// states of a component, in the order in which they come.
var states = map[string]int{"offered": 0, "claimed": 1, "confirmed": 2}

// compare holds the log against what was acknowledged about one device.
func (a *killAgent) compare(d *loggedDevice) error {
	if a.accepted && d.state != "accepted" {
		return fmt.Errorf("the device was accepted, and by the log it is %s", d.state)
	}
	for _, c := range a.required {
		if !d.required[c.String()] {
			return fmt.Errorf("%s was required, and by the log it is not", c)
		}
	}
	for _, h := range a.holds {
		if h.attempting {
			continue // the Success was not acknowledged
		}
		least := states["claimed"]
		if h.confirmed {
			least = states["confirmed"]
		}
		got := d.components[h.id.String()]
		sequence, err := strconv.ParseUint(got.sequence, 10, 64)
		if err != nil || sequence < h.sequence || sequence == h.sequence && states[got.state] < least {
			return fmt.Errorf("sequence %d of %s was claimed (confirmed: %t), the log has %+v", h.sequence, h.id, h.confirmed, got)
		}
	}
	return nil
}

// device holds the state of a device against the log.
func (c *checker) device(ctx context.Context, s *site, id string, d *loggedDevice) error {
	r, err := s.api.GetDeviceWithResponse(ctx, id)
	if err != nil {
		return lost(err)
	}
	if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
		return err
	}
	got := &loggedDevice{
		ueid: r.JSON200.Device.UEID, state: string(r.JSON200.Device.State), agents: map[string]bool{}, reportKeys: map[string]bool{},
		required: map[string]bool{}, components: map[string]loggedComponent{},
	}
	for _, a := range r.JSON200.Agents {
		got.agents[a.Key] = true
		if a.ReportKey != "" {
			got.reportKeys[a.ReportKey] = true
		}
	}
	for _, q := range r.JSON200.Requirements {
		got.required[q.Component] = true
	}
	for _, p := range r.JSON200.Components {
		got.components[p.Component] = loggedComponent{p.Manifest, strconv.FormatUint(p.Sequence, 10), string(p.State)}
	}
	if got.ueid != d.ueid || got.state != d.state || !maps.Equal(got.agents, d.agents) || !maps.Equal(got.reportKeys, d.reportKeys) ||
		!maps.Equal(got.required, d.required) || !maps.Equal(got.components, d.components) {
		return fmt.Errorf("device %s is\n%+v\nby the log it is\n%+v", id, *got, *d)
	}
	return nil
}

// everything compares all lists with the log, and the log with what it was.
func (c *checker) everything(ctx context.Context, s *site) error {
	again := newKillLog()
	if err := again.follow(ctx, s); err != nil {
		return err
	}
	if again.last != c.log.last || again.sum != c.log.sum {
		return fmt.Errorf("the log was rewritten: it has %d events, had %d", again.last, c.log.last)
	}
	return errors.Join(c.manifests(ctx, s), c.devices(ctx, s), c.anchors(ctx, s))
}

func (c *checker) manifests(ctx context.Context, s *site) error {
	limit, after, got := 1000, "", map[string]loggedManifest{}
	for {
		r, err := s.api.ListManifestsWithResponse(ctx, &client.ListManifestsParams{After: &after, Limit: &limit})
		if err != nil {
			return lost(err)
		}
		if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
			return err
		}
		for _, m := range r.JSON200.Items {
			got[m.Digest] = loggedManifest{m.Component, strconv.FormatUint(m.Sequence, 10)}
		}
		if after = r.JSON200.Next; after == "" {
			break
		}
	}
	if !maps.Equal(got, c.log.manifests) {
		return fmt.Errorf("there are %d manifests, and by the log %d, or they differ", len(got), len(c.log.manifests))
	}
	return nil
}

func (c *checker) devices(ctx context.Context, s *site) error {
	limit, after, got := 1000, "", 0
	for {
		r, err := s.api.ListDevicesWithResponse(ctx, &client.ListDevicesParams{After: &after, Limit: &limit})
		if err != nil {
			return lost(err)
		}
		if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
			return err
		}
		got += len(r.JSON200.Items)
		if after = r.JSON200.Next; after == "" {
			break
		}
	}
	if got != len(c.log.devices) {
		return fmt.Errorf("there are %d devices, by the log %d", got, len(c.log.devices))
	}
	for id, d := range c.log.devices {
		if err := c.device(ctx, s, id, d); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) anchors(ctx context.Context, s *site) error {
	got := map[string]bool{}
	attesters, err := s.api.ListAttestationAnchorsWithResponse(ctx)
	if err != nil {
		return lost(err)
	}
	publishers, err := s.api.ListPublishersWithResponse(ctx)
	if err != nil {
		return lost(err)
	}
	if attesters.JSON200 == nil || publishers.JSON200 == nil {
		return errors.New("the anchors cannot be listed")
	}
	for _, a := range *attesters.JSON200 {
		got[a.Thumbprint] = true
	}
	for _, p := range *publishers.JSON200 {
		got[p.Thumbprint] = true
	}
	if !maps.Equal(got, c.log.anchors) {
		return fmt.Errorf("there are %d anchors, and by the log %d, or they differ", len(got), len(c.log.anchors))
	}
	return nil
}

// payloads hashes every payload file that is new or was written again, or all: a
// file under its final name is whole. Uploads that were cut off leave nothing.
func (c *checker) payloads(all bool) error {
	dir := filepath.Join(c.data, "payloads")
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := entry.Name()
		if strings.HasPrefix(name, "upload-") {
			return fmt.Errorf("%s is left of an upload", file)
		}
		seen["sha-256:"+name] = true
		info, err := entry.Info()
		if err != nil {
			return err
		}
		before := c.files[name]
		if !all && before != nil && os.SameFile(before, info) && before.ModTime().Equal(info.ModTime()) && before.Size() == info.Size() {
			return nil
		}
		sum, err := hash(file)
		if err == nil && sum != name {
			err = fmt.Errorf("%s has %d bytes with the digest %s", file, info.Size(), sum)
		}
		c.files[name] = info
		return err
	})
	if err != nil {
		return err
	}
	for digest := range c.log.payloads {
		if !seen[digest] {
			return fmt.Errorf("the log has payload %s, the directory has not", digest)
		}
	}
	return nil
}

func hash(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

const databaseName = "tamarack.db"

// integrity has SQLite check a copy of the database, as the kill left it.
func (c *checker) integrity(ctx context.Context, scratch string) (err error) {
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(filepath.Join(c.data, databaseName+suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(filepath.Join(scratch, databaseName+suffix), content, 0o600); err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(scratch, databaseName))+"?_pragma=query_only(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("integrity check: %s", verdict)
	}
	rows, err := db.QueryContext(ctx, "PRAGMA foreign_key_check")
	if err != nil {
		return err
	}
	defer rows.Close() // Err tells
	if rows.Next() {
		return errors.New("a row refers to one that is not there")
	}
	return rows.Err()
}
