package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const maxRedirects = 5

// HTTPFetcher fetches payloads over https, and over http from this machine only:
// loopback is for trials, everything else needs TLS for the sake of what a network
// could see and withhold. What arrives is checked against the manifest all the same.
type HTTPFetcher struct {
	secure   *http.Client
	loopback *http.Client
	watchdog Watchdog
}

// Watchdog starts to wait for a sign of life. It calls silent, once at most, when it
// has waited for too long; stop ends the wait. See StallTimeout.
type Watchdog func(silent func()) (stop func())

// StallTimeout is a Watchdog that waits that long.
func StallTimeout(d time.Duration) Watchdog {
	return func(silent func()) (stop func()) {
		timer := time.AfterFunc(d, silent)
		return func() { timer.Stop() }
	}
}

// NewHTTPFetcher makes a fetcher that uses client's transport for https, and its
// timeout for both. A timeout of the client covers the whole download, over all of its
// connections; the watchdog
// ends one that makes no progress, with ErrStalled: it watches the wait for the answer
// and each read. To stop sooner, end the context.
func NewHTTPFetcher(client *http.Client, watchdog Watchdog) *HTTPFetcher {
	secure := *client
	secure.CheckRedirect = checkRedirect
	// The address is checked when it is dialled: a name that passes for this machine
	// may resolve to another one.
	dialer := &net.Dialer{Control: dialLoopback}
	return &HTTPFetcher{
		secure: &secure,
		loopback: &http.Client{
			Transport:     &http.Transport{DialContext: dialer.DialContext},
			Timeout:       client.Timeout,
			CheckRedirect: checkRedirect,
		},
		watchdog: watchdog,
	}
}

// Fetch implements Fetcher. Errors are ErrURI for an address that it does not fetch
// from, ErrUnsupportedParameter for fetch-arguments, of which it would not know what they
// change, ErrLimit for a resource that announces more than the limit, else ErrFetch,
// which wraps ErrStalled where the source fell silent. A connection that breaks is
// replaced, see download.
func (f *HTTPFetcher) Fetch(ctx context.Context, r Request) (io.ReadCloser, error) {
	if r.Arguments != nil {
		return nil, fmt.Errorf("%w: fetch-arguments mean nothing over HTTP", ErrUnsupportedParameter)
	}
	u, err := url.Parse(r.URI)
	if err != nil {
		return nil, fmt.Errorf("%w: not a URI", ErrURI)
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	client := f.secure
	if u.Scheme == "http" {
		client = f.loopback
	}
	cancel := func() {}
	if t := client.Timeout; t > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, t, fmt.Errorf("it took longer than %s", t))
	}
	d := &download{ctx: ctx, cancel: cancel, client: client, watchdog: f.watchdog, url: u, limit: r.Limit, position: r.Offset}
	if err := d.connect(); err != nil {
		cancel()
		return nil, fetchError(u, err)
	}
	return d, nil
}

// fetchError names the place without its query, which may hold a secret.
func fetchError(u *url.URL, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("%w: %s://%s%s: %w", ErrFetch, u.Scheme, u.Host, u.EscapedPath(), err)
}

// checkURL lets https through, and http to this machine.
func checkURL(u *url.URL) error {
	switch {
	case u.User != nil:
		return fmt.Errorf("%w: it holds a user name", ErrURI)
	case u.Hostname() == "":
		return fmt.Errorf("%w: it names no host; want https://…", ErrURI)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && namesLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("%w: http is for localhost only, use https for %s", ErrURI, u.Host)
	}
	return fmt.Errorf("%w: scheme %q; want https", ErrURI, u.Scheme)
}

func namesLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func dialLoopback(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || !addr.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%w: http is for localhost only, %s is another machine", ErrURI, address)
	}
	return nil
}

// checkRedirect follows a few redirects that stay with the scheme.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrURI, maxRedirects)
	}
	if from := via[0].URL.Scheme; req.URL.Scheme != from {
		return fmt.Errorf("%w: redirected from %s to %s", ErrURI, from, req.URL.Scheme)
	}
	return checkURL(req.URL)
}
