package veraisontest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// The media types of the API.
const (
	mediaSession   = "application/vnd.veraison.challenge-response-session+json"
	mediaDiscovery = "application/vnd.veraison.discovery+json"
	mediaProblem   = "application/problem+json"
)

// The media types of evidence that the real one lists and this one appraises, to which
// it adds one that it appraises but whose profile its decoder does not know.
const (
	MediaPSA        = `application/psa-attestation-token`
	MediaPSAProfile = `application/eat-cwt; profile="http://arm.com/psa/2.0.0"`
	MediaPSA9783    = `application/eat+cwt; eat_profile="tag:psacertified.org,2023:psa#tfm"`
	MediaCCA        = `application/eat-collection; profile="http://arm.com/CCA-SSD/1.0.0"`
)

var schemes = map[string]func(known, []byte, []byte) []submod{
	MediaPSA: known.appraisePSA, MediaPSAProfile: known.appraisePSA, MediaPSA9783: known.appraisePSA,
	MediaCCA: known.appraiseCCA,
}

// sessionLife is how long a session lasts.
const sessionLife = 150 * time.Second

// Server is a running Veraison. Its URL is the base of the API.
type Server struct {
	*httptest.Server
	Key *ecdsa.PrivateKey // signs EARs with ES256

	clock func() time.Time
	known known

	mu        sync.Mutex
	behaviour Behaviour
	sessions  map[string]*session
	requests  []string
}

// session is the resource that a client works with.
type session struct {
	Status   string        `json:"status"`
	Nonce    []byte        `json:"nonce"` // standard base64, where the query has base64url
	Expiry   time.Time     `json:"expiry"`
	Accept   []string      `json:"accept"`
	Evidence *sentEvidence `json:"evidence,omitempty"`
	Result   string        `json:"result,omitempty"`
	polls    int           // until a result that comes later is there
}

type sentEvidence struct {
	Type  string `json:"type"`
	Value []byte `json:"value"`
}

// Start runs a Veraison that knows these devices. Close it in the end. A nil clock is
// time.Now.
func Start(clock func() time.Time, devices ...Device) *Server {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	if clock == nil {
		clock = time.Now
	}
	s := &Server{Key: key, clock: clock, known: devices, sessions: map[string]*session{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/veraison/verification", s.discovery)
	mux.HandleFunc("POST /challenge-response/v1/newSession", s.newSession)
	mux.HandleFunc("POST /challenge-response/v1/session/{id}", s.submit)
	mux.HandleFunc("GET /challenge-response/v1/session/{id}", s.get)
	mux.HandleFunc("DELETE /challenge-response/v1/session/{id}", s.delete)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) })
	s.Server = httptest.NewServer(s.misbehave(mux))
	return s
}

// Sessions is how many sessions have not been deleted.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Requests lists method and path of what was asked so far; ids of sessions are left out.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// mediaTypes lists them in another order every time, as the real one does.
func mediaTypes() []string {
	var list []string
	for name := range schemes {
		list = append(list, name)
	}
	return list
}

func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	if !accepts(r, mediaDiscovery) {
		problem(w, http.StatusNotAcceptable, "the only supported output format is "+mediaDiscovery)
		return
	}
	key := s.Key
	if s.now().WrongKey {
		key = strangerKey()
	}
	w.Header().Set("Cache-Control", "max-age=60")
	answer(w, http.StatusOK, mediaDiscovery, map[string]any{
		"ear-verification-key": jose.JSONWebKey{Key: key.Public(), Algorithm: "ES256"},
		"media-types":          mediaTypes(),
		"version":              "v0.0.2605",
		"service-state":        "READY",
		"api-endpoints":        map[string]string{"newChallengeResponseSession": "/challenge-response/v1/newSession"},
	})
}

func (s *Server) newSession(w http.ResponseWriter, r *http.Request) {
	if !accepts(r, mediaSession) {
		problem(w, http.StatusNotAcceptable, "the only supported output format is "+mediaSession)
		return
	}
	nonce, err := base64.URLEncoding.DecodeString(r.URL.Query().Get("nonce"))
	switch {
	case err != nil:
		problem(w, http.StatusBadRequest, "nonce must be valid base64")
		return
	case len(nonce) == 0:
		nonce = make([]byte, 32)
		_, _ = rand.Read(nonce)
	case len(nonce) < 8 || len(nonce) > 64:
		problem(w, http.StatusBadRequest, fmt.Sprintf("nonce must be between 8 and 64 bytes long; got %d", len(nonce)))
		return
	}
	id := uuid.NewString()
	created := &session{Status: "waiting", Nonce: nonce, Expiry: s.clock().Add(sessionLife), Accept: mediaTypes()}
	s.mu.Lock()
	s.sessions[id] = created
	location := s.behaviour.Location
	s.mu.Unlock()
	if location == "" {
		location = "session/" + id
	}
	w.Header().Set("Location", location)
	answer(w, http.StatusCreated, mediaSession, created)
}

// find returns a session that has not expired; else it has answered.
func (s *Server) find(w http.ResponseWriter, r *http.Request) *session {
	id := r.PathValue("id")
	if _, err := uuid.Parse(id); err != nil {
		problem(w, http.StatusBadRequest, fmt.Sprintf("invalid session id (%s) in path segment: invalid UUID length: %d", id, len(id)))
		return nil
	}
	if found := s.sessions[id]; found != nil && s.clock().Before(found.Expiry) {
		return found
	}
	problem(w, http.StatusNotFound, fmt.Sprintf("session not found for (id, tenant)=(%s, 0)", id))
	return nil
}

// maxEvidence is where the connection behind the real service ends.
const maxEvidence = 4 << 20

func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	if !accepts(r, mediaSession) {
		problem(w, http.StatusNotAcceptable, "the only supported output format is "+mediaSession)
		return
	}
	payload, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(w, r)
	if found == nil {
		return
	}
	if err != nil || len(payload) == 0 {
		problem(w, http.StatusBadRequest, "unable to read evidence from the request body")
		return
	}
	contentType := r.Header.Get("Content-Type")
	appraise, known := schemes[contentType]
	if !known {
		s.refuseType(w, found, contentType)
		return
	}
	found.Evidence = &sentEvidence{contentType, payload}
	if len(payload) >= maxEvidence {
		found.Status = "failed"
		problem(w, http.StatusInternalServerError, "error encountered while processing evidence")
		return
	}
	found.Result = s.behaviour.issue(s.Key, s.clock(), found.Nonce, payload, appraise(s.known, payload, found.Nonce))
	if s.behaviour.Later > 0 {
		found.Status, found.polls = "processing", s.behaviour.Later
		answer(w, http.StatusAccepted, mediaSession, found.withoutResult())
		return
	}
	found.Status = "complete"
	answer(w, http.StatusOK, mediaSession, found)
}

// refuseType answers 415 to a type that is not known, 400 to what is none, and 500 to
// another spelling of one that is known.
func (s *Server) refuseType(w http.ResponseWriter, found *session, contentType string) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		problem(w, http.StatusBadRequest, "could not check media type with verifier: invalid input parameter: validation failed for "+contentType)
		return
	}
	for name := range schemes {
		if m, p, _ := mime.ParseMediaType(name); m == media && fmt.Sprint(p) == fmt.Sprint(parameters) {
			found.Status = "failed"
			problem(w, http.StatusInternalServerError, "error encountered while processing evidence")
			return
		}
	}
	w.Header().Set("Accept", strings.Join(mediaTypes(), ", "))
	problem(w, http.StatusUnsupportedMediaType, "no active plugin found for "+contentType)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(w, r)
	if found == nil {
		return
	}
	if found.polls > 0 {
		if found.polls--; found.polls > 0 {
			answer(w, http.StatusOK, mediaSession, found.withoutResult())
			return
		}
		found.Status = "complete"
	}
	answer(w, http.StatusOK, mediaSession, found)
}

func (f session) withoutResult() session {
	f.Result = ""
	return f
}

// delete answers 204 also for a session that never was.
func (s *Server) delete(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

func accepts(r *http.Request, mediaType string) bool {
	accept := r.Header.Get("Accept")
	return accept == "" || strings.Contains(accept, "*/*") || strings.Contains(accept, mediaType)
}

func answer(w http.ResponseWriter, status int, mediaType string, v any) {
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

func problem(w http.ResponseWriter, status int, detail string) {
	answer(w, status, mediaProblem, map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
}
