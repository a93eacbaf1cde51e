package teephttp

import (
	"net/http"
	"time"
)

// Server returns a server for the handler whose time-outs let no slow sender hold
// a connection for long. How long an answer may take the handler says itself, for
// payloads may be large.
func Server(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
