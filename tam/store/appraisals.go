package store

import (
	"fmt"
	"math"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
)

// listedColumns leave out what is large: a list may be long.
const (
	listedColumns    = `device, agent, at, accepted, reason, code, status, vector, verifier, outcome, policy, format, challenge, result_format`
	appraisalColumns = listedColumns + `, claims, comparisons`
)

var (
	selectAppraisals = prepareAppraisals()
	selectAppraisal  = prepare(`SELECT id, genuine, ` + appraisalColumns + `, evidence, result FROM appraisals WHERE id = ?`)
	// The index goes through the devices, and through each from its newest appraisal.
	selectLatestBehind = prepare(`SELECT id, genuine, ` + appraisalColumns + ` FROM appraisals WHERE device > ? ORDER BY device, id DESC LIMIT 1`)
	insertAppraisal    = prepare(`INSERT INTO appraisals (` + appraisalColumns + `, evidence, result)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
)

// narrowing is what a listing of appraisals asks for.
type narrowing struct {
	device   bool // of one
	genuine  bool
	accepted int // narrow to 0 or 1, or anyhow
}

const anyhow = -1

// prepareAppraisals makes a statement for each way to narrow, so that each has a plan of its own.
func prepareAppraisals() map[narrowing]*statement {
	all := make(map[narrowing]*statement)
	for _, device := range []bool{false, true} {
		for _, genuine := range []bool{false, true} {
			for _, accepted := range []int{anyhow, 0, 1} {
				n := narrowing{device, genuine, accepted}
				all[n] = prepare(`SELECT id, genuine, ` + listedColumns + ` FROM appraisals WHERE ` + n.condition() + ` ORDER BY id DESC LIMIT ?2`)
			}
		}
	}
	return all
}

// condition keeps the history of a device to the index of that, by a + that an index of
// what was refused in the whole fleet does not match.
func (n narrowing) condition() string {
	where, accepted := `id < ?1`, `accepted`
	if n.device {
		where, accepted = where+` AND device = ?3`, `+accepted`
	}
	if n.accepted != anyhow {
		where += fmt.Sprintf(` AND %s = %d`, accepted, n.accepted)
	}
	if n.genuine {
		where += ` AND genuine = 1`
	}
	return where
}

func scanListed(r *row) (devices.Appraisal, error) {
	a := devices.Appraisal{ID: r.int(), Genuine: r.int() != 0, Device: devices.ID(r.text())}
	var err error
	a.Agent, err = thumbprintOf("agent", r.bytes())
	a.At, a.Accepted, a.Reason, a.Code, a.Status = timeOf(r.int()), r.int() != 0, r.text(), r.text(), int8(r.int())
	a.Vector, a.Verifier, a.Outcome, a.Policy = r.bytes(), r.text(), r.text(), r.text()
	a.Format, a.Challenge, a.ResultFormat = r.text(), r.bytes(), r.text()
	return a, err
}

func scanAppraisal(r *row) (devices.Appraisal, error) {
	a, err := scanListed(r)
	a.Claims, a.Comparisons = r.bytes(), r.bytes()
	return a, err
}

func scanRawAppraisal(r *row) (devices.Appraisal, error) {
	a, err := scanAppraisal(r)
	a.Evidence, a.Result = r.bytes(), r.bytes()
	return a, err
}

func (s snapshot) Appraisals(q tam.AppraisalQuery) ([]devices.Appraisal, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, about(err, "appraisals")
	}
	n := narrowing{device: q.Device != "", genuine: q.Genuine, accepted: anyhow}
	if q.Accepted != nil {
		n.accepted = 0
		if *q.Accepted {
			n.accepted = 1
		}
	}
	before := q.Before
	if before == 0 {
		before = math.MaxInt64
	}
	args := []any{before, q.Limit}
	if n.device {
		args = append(args, string(q.Device))
	}
	found, err := list(s.transaction, selectAppraisals[n], scanListed, args...)
	if n.device {
		return found, about(err, "appraisals of device %s", q.Device)
	}
	return found, about(err, "appraisals")
}

func (s snapshot) Appraisal(id int64) (devices.Appraisal, error) {
	a, err := one(s.transaction, selectAppraisal, scanRawAppraisal, id)
	return a, about(err, "appraisal %d", id)
}

// LatestAppraisals takes one look at the index for each device in the page, however long
// their histories are, and however many devices have none.
func (s snapshot) LatestAppraisals(page tam.Page) ([]devices.Appraisal, error) {
	if err := checkLimit(page.Limit); err != nil {
		return nil, about(err, "latest appraisals")
	}
	var latest []devices.Appraisal
	for after := page.After; len(latest) < page.Limit; {
		next, err := list(s.transaction, selectLatestBehind, scanAppraisal, after)
		if err != nil {
			return nil, about(err, "latest appraisal behind device %s", after)
		}
		if len(next) == 0 {
			break
		}
		latest = append(latest, next[0])
		after = string(next[0].Device)
	}
	return latest, nil
}

func (u update) AddAppraisal(a devices.Appraisal) error {
	_, err := u.exec(insertAppraisal, string(a.Device), a.Agent[:], micros(a.At), a.Accepted, a.Reason, a.Code, int64(a.Status),
		a.Vector, a.Verifier, a.Outcome, a.Policy, a.Format, a.Challenge, a.ResultFormat,
		orNull(a.Claims), a.Comparisons, orNull(a.Evidence), orNull(a.Result))
	return about(err, "appraisal of device %s", a.Device)
}
