package teephttp

import (
	"mime"
	"strings"

	"github.com/tamarack-tam/tamarack/teep"
)

// isTEEP reports whether a Content-Type is that of TEEP messages. Parameters are
// allowed and mean nothing, for the type defines none.
func isTEEP(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == teep.MediaType
}

// accepted reports whether the sender takes TEEP messages. The draft wants Accept
// to be exactly that type; none at all and */* are served as well, for HTTP
// libraries send these by themselves.
func accepted(accept []string) bool {
	if len(accept) == 0 {
		return true
	}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		mediaType, parameters, err := mime.ParseMediaType(part)
		if err == nil && (mediaType == teep.MediaType || mediaType == "*/*") && !zero(parameters["q"]) {
			return true
		}
	}
	return false
}

// zero reports whether a quality value says "not acceptable" (RFC 9110 section 12.4.2).
func zero(q string) bool { return q != "" && strings.Trim(q, "0.") == "" }
