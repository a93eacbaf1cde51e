package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"
)

// tokenPrefix lets people and secret scanners see what a found token is for.
const tokenPrefix = "tamarack_"

// minToken is the length of the shortest token that opens anything.
const minToken = 32

// ErrToken is a token file that cannot be used.
var ErrToken = errors.New("token file not usable")

// LoadOrCreateToken reads the bearer token from the file at path, or makes one of
// 256 random bits and writes it there, readable by its owner only. It refuses a
// file that others can read.
func LoadOrCreateToken(path string) (token string, created bool, err error) {
	token, err = loadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, false, err
	}
	var random [32]byte
	rand.Read(random[:])
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	return token, true, writeToken(path, token)
}

func loadToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%w: others than its owner can read %s; run chmod 600 on it, or delete it to get a new token", ErrToken, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minToken {
		return "", fmt.Errorf("%w: %s holds no token of at least %d characters; delete it to get a new one", ErrToken, path, minToken)
	}
	return token, nil
}

// writeToken puts the whole token at path or nothing, and never over another file.
func writeToken(path, token string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// bearer lets requests with the right token pass. A wrong one costs a hash and an
// answer: nothing is stored, and beyond a rate not even logged. The right token is
// never held up, whoever else is guessing.
type bearer struct {
	want     [sha256.Size]byte
	usable   bool
	failures *rate.Limiter
}

// Failed attempts per second that are answered with 401 and logged, and how many
// may come at once.
const (
	failureRate  = 5
	failureBurst = 20
)

func newBearer(token string) *bearer {
	return &bearer{
		want: sha256.Sum256([]byte(token)), usable: len(token) >= minToken,
		failures: rate.NewLimiter(failureRate, failureBurst),
	}
}

func (b *bearer) admits(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	got := sha256.Sum256([]byte(token))
	equal := subtle.ConstantTimeCompare(got[:], b.want[:]) == 1
	return b.usable && equal && strings.EqualFold(scheme, "Bearer")
}

// authenticate stands before every route but /healthz, unknown ones included.
func (s *server) authenticate(c *gin.Context) {
	if c.FullPath() == healthPath || s.bearer.admits(c.GetHeader("Authorization")) {
		return
	}
	readWithin(c, time.Second) // what net/http drains of a body that nobody reads
	if !s.bearer.failures.Allow() {
		s.fail(c, errTooManyAttempts)
		return
	}
	s.log.WarnContext(c, "operators' request without a valid token", "remote", c.RemoteIP(), "method", c.Request.Method, "path", c.Request.URL.Path)
	s.fail(c, errUnauthorized)
}
