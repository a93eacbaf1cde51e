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
	defer content.Close() //nolint:errcheck // only read
	c.Header("Content-Type", "application/octet-stream")
	c.Header("ETag", `"sha-256:`+name+`"`)
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, content)
}
