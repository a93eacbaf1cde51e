package processor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// cutting serves a payload, of which the connection gives so many bytes.
type cutting struct {
	payload  []byte
	after    int // bytes that a fetch gives; below 0: all
	requests []Request
}

var errCut = errors.New("connection lost")

func (c *cutting) Fetch(_ context.Context, r Request) (io.ReadCloser, error) {
	c.requests = append(c.requests, r)
	rest := c.payload[min(int(r.Offset), len(c.payload)):]
	if c.after < 0 || c.after >= len(rest) {
		return io.NopCloser(bytes.NewReader(rest)), nil
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:c.after]), readerFunc(func([]byte) (int, error) { return 0, errCut }))), nil
}

// An update that is cut goes on where it was.
func TestResume(t *testing.T) {
	tr := newTrial()
	tr.host.resumes = true
	source := &cutting{payload: newImage, after: 10}
	tr.Fetcher = source
	m := sample(newImage)
	tr.fail(t, m, errCut)
	tr.fail(t, m, errCut)
	source.after = -1
	note := ""
	tr.Observe = func(s Step) {
		if s.Command == suit.DirectiveFetch {
			note = s.Note
		}
	}
	tr.succeed(t, m, newImage)
	var offsets []uint64
	for _, r := range source.requests {
		offsets = append(offsets, r.Offset)
		if r.Limit != uint64(len(newImage)) {
			t.Errorf("limit %d", r.Limit)
		}
	}
	if len(offsets) != 3 || offsets[0] != 0 || offsets[1] != 10 || offsets[2] != 20 || len(tr.host.parts) != 0 {
		t.Errorf("asked for %v, kept %v", offsets, tr.host.parts)
	}
	if note != "20 bytes were there already" {
		t.Errorf("note %q", note)
	}
}

func TestResumeStartsOver(t *testing.T) {
	digest := suit.SumSHA256(newImage)
	for _, tt := range []struct {
		name     string
		kept     []byte
		requests []uint64 // offsets
		err      error
		payload  []byte
	}{
		{name: "the part was another's", kept: []byte("wrong"), requests: []uint64{5, 0}},
		{name: "too much was kept", kept: append(bytes.Clone(newImage), 'x'), requests: []uint64{0}},
		{name: "all was kept", kept: newImage},
		{name: "all of something else was kept", kept: bytes.ToUpper(newImage), requests: []uint64{0}},
		{name: "once only", kept: []byte("wrong"), payload: bytes.ToUpper(newImage), requests: []uint64{5, 0}, err: ErrMismatch},
		{name: "nothing was kept", payload: bytes.ToUpper(newImage), requests: []uint64{0}, err: ErrMismatch},
		{name: "the rest is endless", kept: newImage[:5], payload: append(bytes.Clone(newImage), newImage...), requests: []uint64{5}, err: ErrLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			tr.host.resumes = true
			if tt.kept != nil {
				tr.host.parts[app.Key()+digest.String()] = tt.kept
			}
			source := &cutting{payload: newImage, after: -1}
			if tt.payload != nil {
				source.payload = tt.payload
			}
			tr.Fetcher = source
			if tt.err == nil {
				tr.succeed(t, sample(newImage), newImage)
			} else {
				tr.fail(t, sample(newImage), tt.err)
			}
			var offsets []uint64
			for _, r := range source.requests {
				offsets = append(offsets, r.Offset)
			}
			if len(offsets) != len(tt.requests) {
				t.Fatalf("asked for %v, want %v", offsets, tt.requests)
			}
			for i := range offsets {
				if offsets[i] != tt.requests[i] {
					t.Errorf("asked for %v, want %v", offsets, tt.requests)
				}
			}
			if len(tr.host.parts) != 0 {
				t.Errorf("kept %q", tr.host.parts)
			}
		})
	}
}

// The digest and the size say which payload a part is of: without one of them it starts anew.
func TestResumeNeedsDigestAndSize(t *testing.T) {
	tr := newTrial()
	tr.host.resumes = true
	source := &cutting{payload: newImage, after: 10}
	tr.Fetcher = source
	m := sample(newImage)
	m.Common.Shared.Commands[0] = override(suit.Parameters{
		VendorID: &device.Vendor, ClassID: &device.Class, ImageDigest: ptr(suit.SumSHA256(newImage)),
	})
	tr.fail(t, m, errCut)
	tr.fail(t, m, errCut)
	if source.requests[1].Offset != 0 || len(tr.host.parts) != 0 {
		t.Errorf("requests %v", source.requests)
	}
}

// Each fault of a store that keeps parts fails the update and leaves the old state.
func TestResumeFaults(t *testing.T) {
	broken := errors.New("flash is worn out")
	for _, method := range []string{"Resume", "Create", "Write", "Close"} {
		tr := newTrial()
		tr.host.resumes = true
		tr.host.faults[method] = broken
		tr.fail(t, sample(newImage), broken)
	}
	tr := newTrial()
	tr.host.resumes = true
	tr.host.faults["Suspend"] = broken
	tr.Fetcher = &cutting{payload: newImage, after: 10}
	tr.fail(t, sample(newImage), broken)
}

// What arrives is hashed on the way: it is not read again, unless it was not known with
// which algorithm.
func TestImageIsHashedWhileItArrives(t *testing.T) {
	broken := errors.New("read")
	for _, code := range []suit.CommandCode{suit.DirectiveFetch, suit.DirectiveWrite, suit.DirectiveCopy} {
		tr := newTrial()
		m := two(index(0), override(suit.Parameters{URI: &location, Content: newImage, SourceComponent: ptr(uint64(1))}), check(code), check(suit.ConditionImageMatch))
		tr.host.images[data.Key()] = newImage
		reads := 0
		tr.Observe = func(s Step) {
			if s.Command == code {
				tr.host.faults["Read"] = broken
			}
			reads++
		}
		if _, err := tr.update(t, m); err != nil || reads == 0 {
			t.Errorf("%s: %v", code, err)
		}
	}
	tr := newTrial()
	digest := suit.Digest{Algorithm: suit.SHA384}
	h, _ := suit.SHA384.New()
	h.Write(newImage)
	digest.Bytes = h.Sum(nil)
	tr.succeed(t, install(override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch),
		override(suit.Parameters{ImageDigest: &digest}), check(suit.ConditionImageMatch)), newImage)
}
