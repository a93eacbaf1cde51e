package teephttp

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

// payload streams a payload file. Its name is its content, so it can be cached for
// ever and fetched on from where a connection broke (RFC 9110 section 14).
func (h *handler) payload(c *gin.Context) {
	name := c.Param("digest")
	sum, err := hex.DecodeString(name)
	if err != nil || len(sum) != 32 || name != strings.ToLower(name) {
		c.AbortWithStatus(http.StatusNotFound)
		return
	}
	content, _, err := h.payloads.Open(c.Request.Context(), suit.Digest{Algorithm: suit.SHA256, Bytes: sum})
	if errors.Is(err, tam.ErrNotFound) {
		c.AbortWithStatus(http.StatusNotFound)
		return
	}
	if err != nil {
		h.fault(c, err)
		return
	}
	defer content.Close() // only read
	select {
	case h.downloads <- struct{}{}:
		defer func() { <-h.downloads }()
	default:
		c.Header("Retry-After", "10")
		c.AbortWithStatus(http.StatusServiceUnavailable)
		return
	}
	c.Header("Content-Type", "application/octet-stream")
	c.Header("ETag", `"sha-256:`+name+`"`)
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	out := patient{c.Writer, http.NewResponseController(c.Writer)}
	http.ServeContent(out, c.Request, "", time.Time{}, content)
}

const (
	// maxDownloads is how many payloads are sent at once; each holds a file open.
	maxDownloads = 256
	// stall is how long a receiver may take for one piece of a payload, and for a
	// whole message, its processing included.
	stall = time.Minute
)

// patient gives a receiver time for each piece, so that a payload may be as large
// and a line as slow as they are, but nobody holds a place without receiving.
type patient struct {
	http.ResponseWriter
	connection *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

// extend is without effect where a test has no connection.
func (p patient) extend() { _ = p.connection.SetWriteDeadline(time.Now().Add(stall)) }

// limitWriting gives every request its own deadline for writing, also against one
// that the request before it left on the connection.
func limitWriting(c *gin.Context) {
	patient{c.Writer, http.NewResponseController(c.Writer)}.extend()
}
