package broker

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Why a session did not come to its end; test with errors.Is and errors.As.
var (
	// ErrURL: not a URL that the broker talks to.
	ErrURL = errors.New("TAM URL not acceptable")
	// ErrUnreachable: no HTTP answer at all.
	ErrUnreachable = errors.New("TAM not reachable")
	// ErrAnswer: an HTTP answer that is not one of TEEP over HTTP.
	ErrAnswer = errors.New("not an answer of a TAM")
	// ErrEndless: the session went on for too long.
	ErrEndless = errors.New("session does not end")
)

// StatusError is an HTTP answer other than 200 and 204.
type StatusError struct {
	Code       int
	RetryAfter time.Duration // zero where the TAM names none
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("the TAM answers HTTP %d %s", e.Code, http.StatusText(e.Code))
	switch {
	case e.Code >= 300 && e.Code < 400:
		return text + "; redirects are not followed, set the URL of the TAM's TEEP endpoint itself"
	case e.Code == http.StatusNotFound:
		return text + "; check the path of the TAM URL"
	case e.RetryAfter > 0:
		return fmt.Sprintf("%s; try again in %s", text, e.RetryAfter)
	}
	return text
}
