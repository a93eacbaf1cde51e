package veraisontest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Behaviour is how a Server departs from what a good Veraison does. The zero value is a
// good one.
type Behaviour struct {
	// Requests to which the faults of HTTP below apply: the method and a part of the path,
	// as "POST /challenge"; empty for all.
	At string
	// Times is how often they apply; zero for always.
	Times int

	Down       bool            // the service behind the REST service is down: 500
	Gate       <-chan struct{} // each request waits until it is closed, or the client has gone
	Status     int             // of every answer, with RetryAfter
	RetryAfter string
	HangUp     bool   // the connection ends without an answer
	HTML       bool   // 200 and a page
	Redirect   string // 307 to there
	Oversize   int    // bytes of JSON, 200
	Truncated  bool   // half of the answer, then the connection ends
	Location   string // of new sessions
	Later      int    // 202, and the result after so many polls

	WrongKey   bool // another key signs, and stands in the discovery document
	WrongNonce bool // the EAR is about another session
	Affirming  bool // every status is affirming, whatever the vector says
	Trusting   bool // and every vector too
	AlgNone    bool
	HMAC       bool // with the public key as secret
	NoResult   bool // a session that is complete and has none
	Stale      bool // the EAR is of tomorrow
	Silent     bool // the EAR has no annotated evidence
	// Raw makes ear.raw-evidence out of what was sent, which the real one leaves out.
	Raw func(sent []byte) []byte
	// NoRealms has no CCA realm recognized, and says nothing at all of a platform that
	// leaves out a version: so v0.0.2605 does with all, and later releases with none.
	NoRealms bool
}

// Do makes the server behave so from now on.
func (s *Server) Do(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
}

func (s *Server) now() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// faulty takes note of a request and tells whether faults of HTTP apply to it.
func (s *Server) faulty(r *http.Request) (Behaviour, bool) {
	path, _, _ := strings.Cut(r.URL.Path, "/session/")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+path)
	b := s.behaviour
	if !strings.Contains(r.Method+" "+r.URL.Path, b.At) {
		return b, false
	}
	if b.Times > 0 {
		if s.behaviour.Times--; s.behaviour.Times == 0 {
			s.behaviour = Behaviour{}
		}
	}
	return b, true
}

func (s *Server) misbehave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, applies := s.faulty(r)
		if !applies {
			next.ServeHTTP(w, r)
			return
		}
		if b.Gate != nil {
			// The server notices that a client has gone only when it has read the body.
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-b.Gate:
			case <-r.Context().Done():
				return
			}
		}
		switch {
		case b.Down:
			problem(w, http.StatusInternalServerError, "rpc error: code = Unavailable desc = connection error: connection refused")
		case b.Status != 0:
			if b.RetryAfter != "" {
				w.Header().Set("Retry-After", b.RetryAfter)
			}
			problem(w, b.Status, "as the test asked")
		case b.HangUp:
			panic(http.ErrAbortHandler)
		case b.HTML:
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(map[bool]int{true: http.StatusCreated, false: http.StatusOK}[strings.HasSuffix(r.URL.Path, "/newSession")])
			_, _ = w.Write([]byte("<html><body>Sign in to the network</body></html>"))
		case b.Redirect != "":
			http.Redirect(w, r, b.Redirect, http.StatusTemporaryRedirect)
		case b.Oversize > 0:
			answer(w, http.StatusOK, mediaSession, session{Status: "complete", Result: strings.Repeat("x", b.Oversize)})
		case b.Truncated:
			next.ServeHTTP(&half{ResponseWriter: w}, r)
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// half writes the first half of each answer.
type half struct{ http.ResponseWriter }

func (h *half) Write(b []byte) (int, error) {
	_, _ = h.ResponseWriter.Write(b[:len(b)/2])
	_ = http.NewResponseController(h.ResponseWriter).Flush()
	return len(b), nil
}

// strangerKey is another key than that of any Server.
var strangerKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	return key
})

// issue makes an EAR as the real one does: ES256, no kid, the session's nonce padded.
func (b Behaviour) issue(key *ecdsa.PrivateKey, now time.Time, nonce, evidence []byte, submods []submod) string {
	if b.NoResult {
		return ""
	}
	if b.WrongNonce {
		nonce = make([]byte, len(nonce))
	}
	if b.Stale {
		now = now.Add(24 * time.Hour)
	}
	if b.NoRealms && slices.ContainsFunc(submods, func(m submod) bool { return m.unversioned }) {
		submods = []submod{{name: ccaName, policy: ccaPolicy}}
	}
	appraisals := map[string]any{}
	for _, m := range submods {
		if b.NoRealms && m.name == "CCA_REALM" {
			m.vector[2] = 33
		}
		if b.Trusting {
			m.vector = vector{2, 2, 2, 2, 2, 2, 2, 2}
		}
		if b.Silent {
			m.annotated = nil
		}
		appraisals[m.name] = m.claims(b.Affirming || b.Trusting)
	}
	set := map[string]any{
		"eat_profile":     "tag:github.com,2023:veraison/ear",
		"ear.verifier-id": map[string]string{"build": "v0.0.2605", "developer": "Veraison Project"},
		"eat_nonce":       base64.URLEncoding.EncodeToString(nonce),
		"iat":             now.Unix(),
		"submods":         appraisals,
	}
	if b.Raw != nil {
		set["ear.raw-evidence"] = base64.RawURLEncoding.EncodeToString(b.Raw(evidence))
	}
	claims := encode(set)
	if b.WrongKey {
		key = strangerKey()
	}
	switch {
	case b.AlgNone:
		return encode(map[string]string{"alg": "none", "typ": "JWT"}) + "." + claims + "."
	case b.HMAC:
		input := encode(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + claims
		secret, _ := x509.MarshalPKIXPublicKey(key.Public())
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	input := encode(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + claims
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return ""
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // the values are ours
	}
	return base64.RawURLEncoding.EncodeToString(data)
}
