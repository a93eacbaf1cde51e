package tam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// operatorRefused is the audit action of a request that was refused; its details
// name the action that was asked for. Manifests have an action of their own.
const operatorRefused audit.Action = "operator.refused"

// Caps of a Fleet where its configuration gives none.
const (
	DefaultMaxEnvelope int64 = 1 << 20
	DefaultMaxPayload  int64 = 1 << 30
)

// FleetConfig is what a Fleet works with.
type FleetConfig struct {
	Store    Store            // required
	Payloads Payloads         // required
	Clock    func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nothing is logged
	// PayloadURL is where devices find the payloads of this TAM, up to the slash
	// before the digest. A manifest that points there, or beside it on the same
	// listener, needs its payload uploaded.
	// Empty: unknown.
	PayloadURL  string
	Signatures  suit.SignatureRule // of those who may sign for all components of a manifest
	MaxEnvelope int64              // bytes; 0 for DefaultMaxEnvelope
	MaxPayload  int64              // bytes; 0 for DefaultMaxPayload
}

// Fleet is what operators can ask of a TAM. Every change is one transaction with
// its audit event in the name of the actor, for example "operator:admin"; a
// refusal is a [*Refusal], [ErrNotFound] or [ErrExists], changes nothing and is
// written to the audit log as well.
type Fleet struct {
	config FleetConfig

	mu   sync.Mutex
	read map[[sha256.Size]byte]*corim.File // stored reference values, as they were read last
}

// NewFleet returns the operators' side of the TAM that keeps its state in the store.
func NewFleet(c FleetConfig) *Fleet {
	orDefault(&c.MaxEnvelope, DefaultMaxEnvelope)
	orDefault(&c.MaxPayload, DefaultMaxPayload)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.PayloadURL != "" {
		c.PayloadURL = strings.TrimSuffix(c.PayloadURL, "/") + "/"
	}
	return &Fleet{config: c}
}

// MaxEnvelope is the size, in bytes, beyond which PublishManifest refuses.
func (f *Fleet) MaxEnvelope() int64 { return f.config.MaxEnvelope }

// MaxPayload is the size, in bytes, beyond which UploadPayload refuses.
func (f *Fleet) MaxPayload() int64 { return f.config.MaxPayload }

// errUnchanged says that all is as the operator wants it: that is no event.
var errUnchanged = errors.New("nothing to change")

// change runs fn and appends the event, all in one transaction.
func (f *Fleet) change(ctx context.Context, event audit.Event, fn func(Tx) error) error {
	event.At = f.config.Clock()
	err := f.config.Store.Update(ctx, func(tx Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.AppendEvent(event)
	})
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case err != nil:
		return f.deny(ctx, event, err)
	}
	f.config.Log.InfoContext(ctx, "operator's change", "action", event.Action, "actor", event.Actor, "subject", event.Subject)
	return nil
}

// deny writes down that the request of an event was refused, and why, and returns
// the reason. A fault of ours is no refusal.
func (f *Fleet) deny(ctx context.Context, event audit.Event, reason error) error {
	code, refused := RefusalCode(reason)
	if !refused {
		return reason
	}
	event.At = f.config.Clock()
	event.Details = map[string]string{"action": string(event.Action), "detail": reason.Error()}
	event.Reason = string(code)
	event.Action = operatorRefused
	if event.Details["action"] == string(audit.ManifestPublished) {
		event.Action = audit.ManifestRefused
	}
	f.config.Log.WarnContext(ctx, "operator's request refused", "action", event.Action, "actor", event.Actor,
		"subject", event.Subject, "reason", code, "detail", reason.Error())
	if err := f.config.Store.Update(ctx, func(tx Tx) error { return tx.AppendEvent(event) }); err != nil {
		return errors.Join(reason, fmt.Errorf("write the refusal to the audit log: %w", err))
	}
	return reason
}

// UploadPayload streams a payload into the payload store and returns its digest
// and its size in bytes. announced is the size that the sender gave beforehand,
// or less than 0.
func (f *Fleet) UploadPayload(ctx context.Context, actor string, r io.Reader, announced int64) (suit.Digest, int64, error) {
	event := audit.Event{Actor: actor, Action: audit.PayloadUploaded, Subject: "payload:unknown"}
	limit := f.config.MaxPayload
	if announced > limit {
		return suit.Digest{}, 0, f.deny(ctx, event, tooLarge(limit))
	}
	digest, size, err := f.config.Payloads.Put(ctx, &capped{r, limit, limit}, limit)
	if err != nil {
		return suit.Digest{}, 0, f.deny(ctx, event, err)
	}
	event.Subject = "payload:" + digest.String()
	event.Details = map[string]string{"size": fmt.Sprint(size)}
	return digest, size, f.change(ctx, event, func(Tx) error { return nil })
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: more than %d bytes", ErrPayloadTooLarge, limit)
}

// capped is a stream that refuses to give more than its limit.
type capped struct {
	r           io.Reader
	limit, left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, tooLarge(c.limit)
	}
	return n, err
}

// Manifests lists published manifests by ascending digest.
func (f *Fleet) Manifests(ctx context.Context, page Page) (list []Manifest, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.Manifests(page)
		return err
	})
	return list, err
}

// ManifestsFor lists the manifests of a component, the highest sequence number first.
func (f *Fleet) ManifestsFor(ctx context.Context, component suit.ComponentID, limit int) (list []Manifest, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.ManifestsFor(component, limit)
		return err
	})
	return list, err
}

// Manifest finds a published manifest by its digest, or by the first hexadecimal
// digits of it where they are enough to tell it from all others.
func (f *Fleet) Manifest(ctx context.Context, ref string) (m Manifest, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		m, err = findManifest(r, strings.ToLower(strings.TrimPrefix(ref, suit.SHA256.String()+":")))
		return err
	})
	return m, err
}

func findManifest(r Reader, digits string) (m Manifest, err error) {
	cursor := digits + "0"[:len(digits)%2]
	sum, bad := hex.DecodeString(cursor)
	if bad != nil || len(digits) < minPrefix {
		return m, fmt.Errorf("manifest %q: %w", digits, ErrNotFound)
	}
	if cursor == digits {
		m, err = r.Manifest(suit.Digest{Algorithm: suit.SHA256, Bytes: sum})
		if !errors.Is(err, ErrNotFound) {
			return m, err
		}
	}
	next, err := r.Manifests(Page{After: cursor, Limit: 2})
	if err != nil {
		return m, err
	}
	return only("manifest", digits, next, func(m Manifest) string { return hex.EncodeToString(m.Digest.Bytes) })
}

// AddPublisher lets a key sign manifests for the components of its constraints.
// Its purposes are set here.
func (f *Fleet) AddPublisher(ctx context.Context, actor string, a anchor.Anchor) (anchor.Anchor, error) {
	a.Purposes = []anchor.Purpose{anchor.TCSigner}
	return a, f.addAnchor(ctx, actor, audit.PublisherAdded, a)
}

// AddAttestationAnchor registers a key that signs evidence. Its purposes are set here.
func (f *Fleet) AddAttestationAnchor(ctx context.Context, actor string, a anchor.Anchor) (anchor.Anchor, error) {
	a.Purposes = []anchor.Purpose{anchor.Attester}
	return a, f.addAnchor(ctx, actor, audit.AttestationAnchorAdded, a)
}

func (f *Fleet) addAnchor(ctx context.Context, actor string, action audit.Action, a anchor.Anchor) error {
	key := a.Key.Thumbprint()
	event := audit.Event{
		Actor: actor, Action: action, Subject: anchorSubject(key),
		Details: map[string]string{"title": a.Title},
	}
	if err := a.Validate(); err != nil {
		return f.deny(ctx, event, fmt.Errorf("%w: %w", ErrBadAnchor, err))
	}
	return f.change(ctx, event, func(tx Tx) error {
		return tx.AddAnchor(a)
	})
}

// Publishers lists the keys that may sign manifests.
func (f *Fleet) Publishers(ctx context.Context) ([]anchor.Anchor, error) {
	return f.anchors(ctx, anchor.TCSigner)
}

// AttestationAnchors lists the keys that may sign evidence.
func (f *Fleet) AttestationAnchors(ctx context.Context) ([]anchor.Anchor, error) {
	return f.anchors(ctx, anchor.Attester)
}

func (f *Fleet) anchors(ctx context.Context, purpose anchor.Purpose) (list []anchor.Anchor, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.Anchors(purpose)
		return err
	})
	return list, err
}

// Events lists the audit log in its order, from the first event behind after.
func (f *Fleet) Events(ctx context.Context, after int64, limit int) (list []audit.Event, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.Events(after, limit)
		return err
	})
	return list, err
}

func anchorSubject(key cosekit.Thumbprint) string { return "anchor:" + key.String() }
