package tam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/tamarack-tam/tamarack/devices"
)

// AttestationDiff is what changed on a device from one appraisal to another.
type AttestationDiff struct {
	From, To devices.Appraisal
	Changes  []AttestationChange
}

// AttestationChange is one claim, measured value or element of the trust vector that is
// not what it was, or not what it should be.
type AttestationChange struct {
	Name     string
	Before   string   // empty where it was not there
	After    string   // empty where it is not there any more
	Expected []string // the reference values, as far as there are any
	Source   string   // where they are from
	Wrong    bool     // what is there now differs from every reference value
}

// AttestationDiff compares two appraisals of a device: those named, or the last one (to
// is 0) with the last accepted one before it (from is 0).
func (f *Fleet) AttestationDiff(ctx context.Context, id devices.ID, from, to int64) (d AttestationDiff, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		if _, err := r.Device(id); err != nil {
			return fmt.Errorf("device %s: %w", id, err)
		}
		if d.To, err = appraisalOf(r, id, to, AppraisalQuery{Device: id, Limit: 1}); err != nil {
			return err
		}
		accepted := true
		d.From, err = appraisalOf(r, id, from, AppraisalQuery{Device: id, Accepted: &accepted, Before: d.To.ID, Limit: 1})
		return err
	})
	if err == nil {
		d.Changes, err = changes(d.From, d.To)
	}
	return d, err
}

// appraisalOf returns the appraisal named, or the first that the query finds.
func appraisalOf(r Reader, device devices.ID, id int64, otherwise AppraisalQuery) (devices.Appraisal, error) {
	if id != 0 {
		a, err := r.Appraisal(id)
		if err == nil && a.Device != device {
			err = ErrNotFound
		}
		if err != nil {
			return a, fmt.Errorf("appraisal %d of device %s: %w", id, device, err)
		}
		return a, nil
	}
	list, err := r.Appraisals(otherwise)
	if err == nil && len(list) > 0 {
		return r.Appraisal(list[0].ID)
	}
	switch {
	case err != nil:
		return devices.Appraisal{}, err
	case otherwise.Accepted != nil:
		return devices.Appraisal{}, fmt.Errorf("%w: device %s has no accepted one before %d", ErrNoAppraisal, device, otherwise.Before)
	}
	return devices.Appraisal{}, fmt.Errorf("%w: of device %s", ErrNoAppraisal, device)
}

// moot are claims that differ in all evidence.
var moot = map[string]bool{"eat_nonce": true, "nonce": true, "iat": true, "nbf": true, "exp": true, "jti": true, "cti": true}

// changes compares what two appraisals found: measured values first, then claims, then
// the trust vector.
func changes(from, to devices.Appraisal) ([]AttestationChange, error) {
	was, err := values(from)
	if err != nil {
		return nil, err
	}
	is, err := values(to)
	if err != nil {
		return nil, err
	}
	var list []AttestationChange
	for i := range is {
		names := maps.Clone(is[i])
		maps.Copy(names, was[i])
		for _, name := range slices.Sorted(maps.Keys(names)) {
			before, after := was[i][name], is[i][name]
			if before.text == after.text && !after.wrong {
				continue
			}
			list = append(list, AttestationChange{
				Name: name, Before: before.text, After: after.text,
				Expected: after.expected, Source: after.source, Wrong: after.wrong,
			})
		}
	}
	return list, nil
}

// value is one thing that an appraisal found.
type value struct {
	text     string
	expected []string
	source   string
	wrong    bool
}

// values are what an appraisal found, by name: measured values, claims, vector. A claim
// whose values were compared with references stands among the former only.
func values(a devices.Appraisal) (out [3]map[string]value, err error) {
	result, err := devices.ResultOf(a)
	if err != nil {
		return out, err
	}
	compared, claimed, judged := newFound(), newFound(), newFound()
	for _, c := range result.Comparisons {
		compared.add(inSubmod(c.Submod, c.Name), value{c.Measured, c.Expected, c.Source, !c.Match && len(c.Expected) > 0})
	}
	if result.Document != nil {
		flatten(claimed, "", result.Document)
	}
	for _, e := range result.Vector {
		judged.add(inSubmod(e.Submod, e.Name), value{text: fmt.Sprintf("%s (%d): %s", e.Tier(), e.Value, e.Reason)})
	}
	return [3]map[string]value{compared.values, claimed.values, judged.values}, nil
}

func inSubmod(submod, name string) string {
	if submod == "" {
		return name
	}
	return submod + ": " + name
}

// found are values by name. Of different ones that share a name, the later have a number:
// what a device measures twice must not hide the first. One that was compared more than once
// stands there with its reference values, and is wrong where it ever was.
type found struct {
	values map[string]value
	times  map[string]int
	names  map[[2]string]string // under which a value of that name and text stands
}

func newFound() found {
	return found{make(map[string]value), make(map[string]int), make(map[[2]string]string)}
}

func (f found) add(name string, v value) {
	key := [2]string{name, v.text}
	if same, ok := f.names[key]; ok {
		if known := f.values[same]; v.wrong && !known.wrong || len(known.expected) == 0 {
			f.values[same] = v
		}
		return
	}
	free := name
	for taken := true; taken; {
		if f.times[name]++; f.times[name] > 1 {
			free = fmt.Sprintf("%s (%d)", name, f.times[name])
		}
		_, taken = f.values[free]
	}
	f.values[free], f.names[key] = v, free
}

// flatten gives every leaf of a document a path.
func flatten(into found, path string, node any) {
	switch node := node.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			child := node[name]
			if path == "" {
				if !moot[name] {
					flatten(into, name, child)
				}
				continue
			}
			flatten(into, path+"."+name, child)
		}
	case []any:
		for i, child := range node {
			flatten(into, path+"["+strconv.Itoa(i)+"]", child)
		}
	case nil:
		into.add(path, value{text: "null"})
	default:
		into.add(path, value{text: fmt.Sprint(node)})
	}
}
