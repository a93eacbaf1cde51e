package storetest

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/tam"
)

// pageSize is the most that a Page may ask for.
const pageSize = 1000

// Dump returns everything that the ports can list, in a stable order: policies in force with
// their versions, groups, what evidence is appraised against, devices with their agents,
// inventory, statuses, requirements, removals, reports and appraisals, manifests, anchors,
// token keys (by their hash) and audit events. Spent tokens and outstanding Updates can be
// looked up only; ask for those by their token. So can the versions of a retired policy.
func Dump(t testing.TB, store tam.Store) string {
	t.Helper()
	var d dumper
	if err := store.View(t.Context(), d.dump); err != nil {
		t.Fatalf("dump the store: %v", err)
	}
	return d.out.String()
}

type dumper struct{ out strings.Builder }

func (d *dumper) dump(r tam.Reader) error {
	for _, part := range []func(tam.Reader) error{d.policies, d.references, d.devices, d.manifests, d.anchors, d.tokenKeys, d.events} {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}

// write returns err, or writes the list.
func write[T any](d *dumper, text func(T) string, list []T, err error) error {
	for _, v := range list {
		d.out.WriteString(text(v))
		d.out.WriteByte('\n')
	}
	return err
}

// pages calls next with the last key of the page before, until a page is not full.
func pages[T any](next func(tam.Page) ([]T, error), key func(T) string, each func(T) error) error {
	for after := ""; ; {
		page, err := next(tam.Page{After: after, Limit: pageSize})
		if err != nil {
			return err
		}
		for _, v := range page {
			if err := each(v); err != nil {
				return err
			}
			after = key(v)
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

func (d *dumper) devices(r tam.Reader) error {
	next := func(p tam.Page) ([]devices.Device, error) { return r.Devices("", p) }
	key := func(v devices.Device) string { return string(v.ID) }
	return pages(next, key, func(v devices.Device) error { return d.device(r, v) })
}

func (d *dumper) device(r tam.Reader, v devices.Device) error {
	if err := write(d, deviceText, []devices.Device{v}, nil); err != nil {
		return err
	}
	agents, err := r.AgentsOf(v.ID)
	if err := write(d, agentText, agents, err); err != nil {
		return err
	}
	inventory, err := r.Inventory(v.ID)
	if err := write(d, itemText, inventory, err); err != nil {
		return err
	}
	statuses, err := r.ComponentStatuses(v.ID)
	if err := write(d, statusText, statuses, err); err != nil {
		return err
	}
	required, err := r.Requirements(v.ID)
	if err := write(d, requirementText, required, err); err != nil {
		return err
	}
	removals, err := r.Removals(v.ID)
	if err := write(d, removalText, removals, err); err != nil {
		return err
	}
	reports, err := r.Reports(v.ID)
	if err := write(d, reportText, reports, err); err != nil {
		return err
	}
	return d.appraisals(r, v.ID)
}

// appraisals writes them with their raw bytes, which lists leave out.
func (d *dumper) appraisals(r tam.Reader, id devices.ID) error {
	for q := (tam.AppraisalQuery{Device: id, Limit: pageSize}); ; {
		page, err := r.Appraisals(q)
		if err != nil {
			return err
		}
		for _, listed := range page {
			whole, err := r.Appraisal(listed.ID)
			if err := write(d, appraisalText, []devices.Appraisal{whole}, err); err != nil {
				return err
			}
			q.Before = listed.ID
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

func (d *dumper) policies(r tam.Reader) error {
	inForce, err := r.Policies()
	if err != nil {
		return err
	}
	for _, p := range inForce {
		versions, err := r.PolicyVersions(p.Name)
		if err := write(d, policyText, versions, err); err != nil {
			return err
		}
	}
	groups, err := r.Groups()
	return write(d, groupText, groups, err)
}

func (d *dumper) references(r tam.Reader) error {
	changes, err := r.ReferenceState()
	if err != nil {
		return err
	}
	fmt.Fprintf(&d.out, "references changed %d times\n", changes)
	files, err := r.ReferenceFiles()
	if err := write(d, referenceFileText, files, err); err != nil {
		return err
	}
	cas, err := r.DeviceCAs()
	return write(d, deviceCAText, cas, err)
}

func (d *dumper) manifests(r tam.Reader) error {
	key := func(m tam.Manifest) string { return hex.EncodeToString(m.Digest.Bytes) }
	return pages(r.Manifests, key, func(m tam.Manifest) error {
		envelope, err := r.Envelope(m.Digest)
		if err != nil {
			return err
		}
		return write(d, func(m tam.Manifest) string { return manifestText(m) + "\n  envelope " + hashText(envelope) }, []tam.Manifest{m}, nil)
	})
}

func (d *dumper) anchors(r tam.Reader) error {
	for _, purpose := range []anchor.Purpose{anchor.TCSigner, anchor.TAM, anchor.Verifier, anchor.Manager, anchor.Attester, anchor.ReferenceValues} {
		anchors, err := r.Anchors(purpose)
		if err := write(d, anchorText, anchors, err); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) tokenKeys(r tam.Reader) error {
	keys, err := r.TokenKeys()
	return write(d, tokenKeyText, keys, err)
}

func (d *dumper) events(r tam.Reader) error {
	for after := int64(0); ; {
		page, err := r.Events(after, pageSize)
		if err := write(d, eventText, page, err); err != nil {
			return err
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].Seq
	}
}
