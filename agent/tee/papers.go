package tee

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The papers stand in a file of their own: no state of the store depends on them, and a
// device that has lost them shows evidence again.
const (
	papersName    = "papers"
	papersTemp    = "papers.tmp"
	papersVersion = 1
	maxPapersSize = 256 << 10
)

// papers is the content of the file, behind its version and checksum.
type papers struct {
	Passport *passportEntry `cbor:"1,keyasint,omitempty"`
	TAMs     []tamEntry     `cbor:"2,keyasint,omitempty"`
}

// Times are Unix seconds.
type passportEntry struct {
	Format   string `cbor:"1,keyasint,omitempty"`
	Payload  []byte `cbor:"2,keyasint"`
	Received int64  `cbor:"3,keyasint"`
	Expires  *int64 `cbor:"4,keyasint,omitempty"`
	Verified bool   `cbor:"5,keyasint,omitempty"`
}

type tamEntry struct {
	Key []byte `cbor:"1,keyasint"`
	At  int64  `cbor:"2,keyasint"`
}

// KeepPapers implements agent.Memory: the file holds the old papers or the new ones in
// full, whatever ends the process.
func (s *Store) KeepPapers(p agent.Papers) error {
	data, err := encodePapers(p)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	err = s.removeIfThere(papersTemp) // of an attempt that failed
	if err == nil {
		err = writeFile(s.files, papersTemp, data)
	}
	if err == nil {
		err = s.files.Rename(papersTemp, papersName)
	}
	if err == nil {
		err = s.files.SyncDir()
	}
	if err != nil {
		_ = s.removeIfThere(papersTemp) // else the next attempt does, or the next Open
		return fmt.Errorf("keep papers: %w", err)
	}
	return nil
}

// Papers implements agent.Memory. Those that are damaged are an error, ErrDamaged, and
// may be replaced.
func (s *Store) Papers() (agent.Papers, error) {
	r, _, err := s.files.Open(papersName)
	if errors.Is(err, fs.ErrNotExist) {
		return agent.Papers{}, nil
	}
	if err != nil {
		return agent.Papers{}, err
	}
	data, err := readAll(r, maxPapersSize)
	if err != nil {
		return agent.Papers{}, err
	}
	return decodePapers(data)
}

// encodePapers returns [version, SHA-256 of body, body].
func encodePapers(p agent.Papers) ([]byte, error) {
	var entries papers
	if p := p.Passport; p != nil {
		entries.Passport = &passportEntry{Format: p.Format, Payload: p.Payload, Received: p.Received.Unix(), Verified: p.Verified}
		if !p.Expires.IsZero() {
			entries.Passport.Expires = seconds(&p.Expires)
		}
	}
	for _, t := range p.TAMs {
		entries.TAMs = append(entries.TAMs, tamEntry{t.Key[:], t.At.Unix()})
	}
	if err := entries.check(); err != nil {
		return nil, err
	}
	body := cosekit.MustMarshal(entries)
	sum := sha256.Sum256(body)
	return cosekit.MustMarshal([]any{papersVersion, sum[:], body}), nil
}

func decodePapers(data []byte) (agent.Papers, error) {
	body, err := openPapers(data)
	var entries papers
	if err == nil {
		err = cosekit.Unmarshal(body, &entries)
	}
	if err == nil {
		err = entries.check()
	}
	if err != nil {
		return agent.Papers{}, fmt.Errorf("%w: %s: %w", ErrDamaged, papersName, err)
	}
	var p agent.Papers
	if e := entries.Passport; e != nil {
		p.Passport = &agent.Passport{Format: e.Format, Payload: e.Payload, Received: *moment(&e.Received), Verified: e.Verified}
		if e.Expires != nil {
			p.Passport.Expires = *moment(e.Expires)
		}
	}
	for _, t := range entries.TAMs {
		p.TAMs = append(p.TAMs, agent.AttestedTAM{Key: cosekit.Thumbprint(t.Key), At: time.Unix(t.At, 0).UTC()})
	}
	return p, nil
}

func openPapers(data []byte) (body []byte, err error) {
	if err := cosekit.Validate(data); err != nil {
		return nil, err
	}
	outer, err := cosekit.Elements(data)
	if err != nil || len(outer) != 3 {
		return nil, fmt.Errorf("%d parts, want 3 (%v)", len(outer), err)
	}
	if version, err := cosekit.Uint(outer[0]); err != nil || version != papersVersion {
		return nil, fmt.Errorf("version %d, this program reads %d", version, papersVersion)
	}
	sum, err := cosekit.Bytes(outer[1])
	if err == nil {
		body, err = cosekit.Bytes(outer[2])
	}
	if err != nil {
		return nil, err
	}
	if want := sha256.Sum256(body); string(want[:]) != string(sum) {
		return nil, errors.New("the checksum does not match")
	}
	return body, nil
}

// check holds papers against what this package lets one keep.
func (p papers) check() error {
	if e := p.Passport; e != nil && (len(e.Payload) > attest.MaxTokenSize || len(e.Format) > maxFormat) {
		return fmt.Errorf("a passport of %d bytes, at most %d", len(e.Payload), attest.MaxTokenSize)
	}
	if len(p.TAMs) > anchor.MaxAnchors {
		return fmt.Errorf("%d TAMs, at most %d", len(p.TAMs), anchor.MaxAnchors)
	}
	for _, t := range p.TAMs {
		if len(t.Key) != len(cosekit.Thumbprint{}) {
			return fmt.Errorf("a thumbprint of %d bytes", len(t.Key))
		}
	}
	return nil
}

// maxFormat is above any media type that is read.
const maxFormat = 1024
