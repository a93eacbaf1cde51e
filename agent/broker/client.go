package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"
)

// CheckURL accepts https URLs, and http ones to this very machine.
func CheckURL(tam string) error {
	u, err := url.Parse(tam)
	if err != nil {
		// The error quotes the URL whole, with a password where there is one.
		var fault *url.Error
		if errors.As(err, &fault) {
			err = fault.Err
		}
		return fmt.Errorf("%w: %w", ErrURL, err)
	}
	switch {
	case u.Host == "":
		return fmt.Errorf("%w: %q names no host; write https://HOST/PATH", ErrURL, tam)
	case u.User != nil:
		return fmt.Errorf("%w: it carries a user name or password", ErrURL)
	case u.Fragment != "":
		return fmt.Errorf("%w: %q has a fragment", ErrURL, tam)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("%w: %q; plain http is for loopback only, use https", ErrURL, tam)
	}
	return fmt.Errorf("%w: scheme %q, want https", ErrURL, u.Scheme)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// NewClient returns the HTTP client for a TAM at that URL. For an http URL it connects
// to no address but loopback, whatever the name resolves to. Timeout is for one
// request; caFile as in NewTransport.
func NewClient(tam, caFile string, timeout time.Duration) (*http.Client, error) {
	if err := CheckURL(tam); err != nil {
		return nil, err
	}
	transport, err := NewTransport(caFile)
	if err != nil {
		return nil, err
	}
	if u, _ := url.Parse(tam); u.Scheme == "http" {
		transport.Proxy = nil
		transport.DialContext = (&net.Dialer{Control: loopbackOnly}).DialContext
	}
	return &http.Client{Transport: transport, Timeout: timeout}, nil
}

// NewTransport trusts the CA certificates in a PEM file, or those of the system where
// caFile is empty. Payloads may come from the host of the TAM, so they are fetched
// through one too.
func NewTransport(caFile string) (*http.Transport, error) {
	transport := &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:  true,
		DisableCompression: true, // sizes are bounded as they come
		IdleConnTimeout:    time.Minute,
		MaxIdleConns:       1,
	}
	if caFile != "" {
		data, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s: no certificate in PEM form", caFile)
		}
	}
	return transport, nil
}

func loopbackOnly(_, address string, _ syscall.RawConn) error {
	if addr, err := netip.ParseAddrPort(address); err != nil || !addr.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%w: plain http to %s, which is not this machine", ErrURL, address)
	}
	return nil
}
