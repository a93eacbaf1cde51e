package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxAttempts is how many connections in a row may bring nothing, maxConnections how
	// many one download may take.
	maxAttempts    = 4
	maxConnections = 64
)

// errFinal marks what another connection would not mend.
var errFinal = errors.New("the server answers")

// download is the body of a resource. When its connection breaks it goes on over another
// one, where it stood: with a Range if the server has named the version that it serves by
// a strong ETag or a date (RFC 9110 section 13.1.5), else from the beginning, without what
// is known already.
type download struct {
	ctx      context.Context
	client   *http.Client
	watchdog Watchdog
	url      *url.URL
	limit    uint64

	cancel    context.CancelFunc
	body      *watchedBody
	position  uint64 // of the next byte that the reader gets
	skip      uint64 // bytes of the body before it
	validator string // for If-Range, "" for none
	tag       string // ETag as it came, weak or not

	connections, idle int // all of them, and those in a row that brought nothing
	broken            error
}

// connect asks for the resource from the position on.
func (d *download) connect() error {
	d.connections++
	ctx, cancel := context.WithCancelCause(d.ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		cancel(nil)
		return fmt.Errorf("%w: %w", ErrURI, err)
	}
	// The digest is over the bytes as the author made them.
	req.Header.Set("Accept-Encoding", "identity")
	if d.position > 0 && (d.connections == 1 || d.validator != "") {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.position))
		if d.validator != "" {
			req.Header.Set("If-Range", d.validator)
		}
	}
	body := &watchedBody{ctx: ctx, cancel: cancel, watchdog: d.watchdog}
	err = body.watch(func() error {
		resp, err := d.client.Do(req)
		if err != nil {
			return err
		}
		if err := d.accept(resp); err != nil {
			resp.Body.Close() // nothing was read that could be lost
			return err
		}
		body.ReadCloser = resp.Body
		return nil
	})
	if err != nil {
		cancel(nil)
		return err
	}
	d.body = body
	return nil
}

// accept checks an answer against what was asked for, and against the earlier ones.
func (d *download) accept(resp *http.Response) error {
	total := resp.ContentLength // -1 where it is not known
	switch resp.StatusCode {
	case http.StatusOK:
		d.skip = d.position
	case http.StatusPartialContent:
		d.skip = 0
		start, size, err := parseContentRange(resp.Header.Get("Content-Range"))
		if err != nil || start != d.position {
			return fmt.Errorf("%w with bytes %q, asked was %d on", errFinal, resp.Header.Get("Content-Range"), d.position)
		}
		total = size
	default:
		if resp.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("the server answers %s", status(resp))
		}
		return fmt.Errorf("%w %s", errFinal, status(resp))
	}
	if total > 0 && uint64(total) > d.limit {
		return fmt.Errorf("%w: %d bytes announced, want at most %d", ErrLimit, total, d.limit)
	}
	tag := resp.Header.Get("ETag")
	if d.connections > 1 && tag != d.tag {
		return fmt.Errorf("%w with another version than before", errFinal)
	}
	d.tag = tag
	d.validator = tag
	if tag == "" || strings.HasPrefix(tag, "W/") {
		d.validator = resp.Header.Get("Last-Modified")
	}
	return nil
}

// status leaves out the words that the server has for it: they may be anything.
func status(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

// parseContentRange reads "bytes 5-9/10"; size is -1 where it is not known.
func parseContentRange(s string) (start uint64, size int64, err error) {
	span, ok := strings.CutPrefix(s, "bytes ")
	extent, whole, ok2 := strings.Cut(span, "/")
	first, _, ok3 := strings.Cut(extent, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, errors.New("not a range")
	}
	if start, err = strconv.ParseUint(first, 10, 64); err != nil {
		return 0, 0, err
	}
	if whole == "*" {
		return start, -1, nil
	}
	size, err = strconv.ParseInt(whole, 10, 64)
	return start, size, err
}

// Read replaces connections until one brings something.
func (d *download) Read(p []byte) (int, error) {
	for {
		if d.broken != nil {
			if err := d.reconnect(); err != nil {
				return 0, err
			}
		}
		n, err := d.body.Read(d.ahead(p))
		n = d.advance(n)
		if err == io.EOF && d.skip == 0 {
			return n, err
		}
		if err == io.EOF { // before it was where it stood
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, ErrStalled) {
			return n, fmt.Errorf("%w: %w", ErrFetch, err)
		}
		d.broken = err
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// ahead keeps a read from mixing bytes that are known with new ones.
func (d *download) ahead(p []byte) []byte {
	if d.skip > 0 {
		return p[:min(uint64(len(p)), d.skip)]
	}
	return p
}

// advance returns how many of n bytes are new.
func (d *download) advance(n int) int {
	if d.skip > 0 {
		d.skip -= uint64(n)
		return 0
	}
	if n > 0 {
		d.idle = 0
		d.position += uint64(n)
	}
	return n
}

// reconnect gives up after a few connections that brought nothing new, and at once where
// another one would not help.
func (d *download) reconnect() error {
	for {
		if err := context.Cause(d.ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrFetch, err)
		}
		d.body.Close() // it is broken
		if d.idle++; d.idle >= maxAttempts || d.connections >= maxConnections {
			return fmt.Errorf("%w: the connection broke at byte %d, %d times: %w", ErrFetch, d.position, d.connections, d.broken)
		}
		err := d.connect()
		switch {
		case err == nil:
			d.broken = nil
			return nil
		case errors.Is(err, errFinal), errors.Is(err, ErrLimit), errors.Is(err, ErrURI), errors.Is(err, ErrStalled):
			return fetchError(d.url, err)
		}
		d.broken = err
	}
}

// Close ends the download.
func (d *download) Close() error {
	defer d.cancel()
	return d.body.Close()
}

// watchedBody is a body that ends when no byte of it comes for too long.
type watchedBody struct {
	io.ReadCloser
	ctx      context.Context
	cancel   context.CancelCauseFunc
	watchdog Watchdog
}

// watch runs one wait for the server.
func (b *watchedBody) watch(wait func() error) error {
	stop := b.watchdog(func() { b.cancel(ErrStalled) })
	defer stop()
	err := wait()
	if err != nil && errors.Is(context.Cause(b.ctx), ErrStalled) {
		return ErrStalled
	}
	return err
}

func (b *watchedBody) Read(p []byte) (n int, err error) {
	err = b.watch(func() error {
		n, err = b.ReadCloser.Read(p)
		return err
	})
	return n, err
}

func (b *watchedBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
