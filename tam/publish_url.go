package tam

import (
	"net"
	"net/url"
	"path"
	"strings"
)

// hosting says what a payload URL is to the TAM that serves payloads under a base
// URL: ours where it leads to its listener, however host and port are spelled, and
// served where it is one of its payloads by its path. The base URL without its last
// segment is the listener; what else a host serves beside that is not ours.
func hosting(base, uri string) (ours, served bool) {
	own, err := url.Parse(base)
	if err != nil || base == "" {
		return false, false
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !sameHost(own.Hostname(), u.Hostname()) || port(own) != port(u) {
		return false, false
	}
	listener := strings.TrimSuffix(path.Dir(path.Clean(own.Path)), "/") + "/"
	name := path.Base(u.Path)
	ours = strings.HasPrefix(path.Clean("/"+u.Path)+"/", listener)
	return ours, ours && u.Scheme == own.Scheme && u.Path == own.Path+name && name == strings.ToLower(name)
}

// sameHost compares names, case and a final dot apart, and addresses by their
// value. All names of this machine's loopback are one: the device that is told one
// of them stands beside the TAM.
func sameHost(a, b string) bool {
	a, b = strings.ToLower(strings.TrimSuffix(a, ".")), strings.ToLower(strings.TrimSuffix(b, "."))
	if a == b || loopback(a) && loopback(b) {
		return true
	}
	left, right := net.ParseIP(a), net.ParseIP(b)
	return left != nil && left.Equal(right)
}

func loopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	}
	return "80"
}
