package teephttp_test

import (
	"bytes"
	"io"
	"net/http"
	"testing/iotest"

	"github.com/tamarack-tam/tamarack/tam/teephttp"
)

// overHTTP has what HTTP itself refuses: with a good message in it, which is good
// afterwards.
func overHTTP(s *stage) (table []trial) {
	add := func(name, want string, q request) {
		q.path, q.body = orElse(q.path, atTAM), orElse(q.body, s.poll.wire)
		row := trial{name: "HTTP: " + name, want: want, send: func(*scene) []request { return []request{q} }}
		table = append(table, row)
	}
	large := make([]byte, teephttp.DefaultMaxBody+1)
	unknownLength := func(r *http.Request) { r.ContentLength = -1 }
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POKE"} {
		add(method, "405", request{method: method})
	}
	add("no type", "415", request{change: header("Content-Type")})
	add("another type", "415", request{change: header("Content-Type", "application/cbor")})
	add("a list of types", "415", request{change: header("Content-Type", "application/teep+cbor, text/html")})
	add("two types", "415", request{change: header("Content-Type", "application/teep+cbor", "application/teep+cbor")})
	add("a broken type", "415", request{change: header("Content-Type", "application/teep+cbor; =")})
	add("another type accepted", "406", request{change: header("Accept", "application/cbor")})
	add("TEEP not accepted", "406", request{change: header("Accept", "application/teep+cbor;q=0, text/html")})
	add("nonsense accepted", "406", request{change: header("Accept", "/;=")})
	add("too large", "413", request{body: large})
	add("too large, in chunks", "413", request{body: large, change: unknownLength})
	add("a large length announced", "413", request{change: func(r *http.Request) { r.ContentLength = 1 << 40 }})
	add("shorter than announced", "400", request{change: func(r *http.Request) { r.ContentLength = int64(len(s.poll.wire)) + 1 }})
	add("broken off", "400", request{change: func(r *http.Request) {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(s.poll.wire), iotest.ErrReader(io.ErrUnexpectedEOF)))
	}})
	add("zeros as large as may be", "204 malformed", request{body: make([]byte, teephttp.DefaultMaxBody)})
	add("no endpoint", "404", request{path: "/"})
	add("an endpoint with a slash behind it", "404", request{path: atTAM + "/"})
	add("an endpoint in capitals", "404", request{path: "/TAM"})
	add("an endpoint in another spelling", "404", request{path: "/tan/..//tam"})
	add("compressed", "204 malformed", request{body: append([]byte{0x1f, 0x8b}, bytes.Repeat([]byte{0}, 100)...), change: header("Content-Encoding", "gzip")})
	table[len(table)-1].still = s.poll
	whole := s.poll.request()
	whole.change = unknownLength
	return append(table, trial{name: "HTTP: in chunks", send: func(*scene) []request { return []request{whole} }, want: s.poll.want, changes: s.poll.changes})
}

func orElse[T ~string | ~[]byte](v, otherwise T) T {
	if len(v) == 0 {
		return otherwise
	}
	return v
}
