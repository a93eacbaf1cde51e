package teephttp

import (
	"net/http"
	"time"
)

// Server returns a server for the handler whose time-outs let no slow sender hold
// a connection for long. Answers have no write time-out as a whole, for payloads
// may be large; messages are small.
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
