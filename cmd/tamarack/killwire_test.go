package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"sync/atomic"
)

// moment is the kind of event that a kill waits for.
type moment int

const (
	afterAnswer moment = iota // an answer was received in full
	onWire                    // a request begins, was written, or is being uploaded; headers came
	atCommit                  // the database is being written, after an event on the wire
	moments
)

func (m moment) String() string {
	return [moments]string{"after answers", "on the wire", "at commits"}[m]
}

// plan says when a round ends: with the count-th event of its kind, so that no clock
// decides.
type plan struct {
	moment moment
	count  int64
}

func randomPlan(random *rand.Rand) plan {
	p := plan{moment: moment(random.IntN(int(moments))), count: 1 + random.Int64N(60)}
	if p.moment != afterAnswer {
		p.count *= 4 // events of one request
	}
	return p
}

// wire carries all requests of a round, counts, and kills.
type wire struct {
	*http.Transport
	victim *victim
	plan   plan
	log    string // the database's write-ahead log

	events, answers, open atomic.Int64
	cut                   atomic.Int64 // requests that were open when the server was killed
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.open.Add(1)
	w.event()
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { w.event() },
	}))
	if r.ContentLength > 0 {
		r.Body = &upload{r.Body, w}
	}
	response, err := w.Transport.RoundTrip(r)
	if err != nil {
		w.open.Add(-1)
		return nil, err
	}
	w.event()
	response.Body = &answer{ReadCloser: response.Body, wire: w}
	return response, nil
}

func (w *wire) event() {
	if w.events.Add(1) != w.plan.count {
		return
	}
	switch w.plan.moment {
	case onWire:
		w.kill()
	case atCommit:
		go w.killAtCommit()
	}
}

func (w *wire) answered() {
	w.open.Add(-1)
	if w.answers.Add(1) == w.plan.count && w.plan.moment == afterAnswer {
		w.kill()
	}
}

func (w *wire) kill() {
	w.cut.Store(w.open.Load())
	w.victim.kill()
}

// looks bounds how often killAtCommit looks for a change.
const looks = 50_000

// killAtCommit kills as soon as the write-ahead log changes: between the write and
// its acknowledgement, or in the middle of the write.
func (w *wire) killAtCommit() {
	before := stamp(w.log)
	for range looks {
		if stamp(w.log) != before {
			break
		}
		runtime.Gosched()
	}
	w.kill()
}

func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
}

// upload is the body of a request; each piece of it is an event.
type upload struct {
	io.ReadCloser
	wire *wire
}

func (u *upload) Read(p []byte) (int, error) {
	u.wire.event()
	return u.ReadCloser.Read(p)
}

// answer is the body of an answer, which counts when it has ended.
type answer struct {
	io.ReadCloser
	wire *wire
	over bool
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err == io.EOF && !a.over {
		a.over = true
		a.wire.answered()
	}
	return n, err
}

func (a *answer) Close() error {
	if !a.over {
		a.over = true
		a.wire.open.Add(-1)
	}
	return a.ReadCloser.Close()
}
