package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

var (
	selectSpent       = prepare(`SELECT token FROM spent_tokens WHERE token = ?`)
	insertSpent       = prepare(`INSERT INTO spent_tokens (token, until) VALUES (?, ?) ON CONFLICT DO NOTHING`)
	deleteSpentBefore = prepare(`DELETE FROM spent_tokens WHERE token IN
		(SELECT token FROM spent_tokens WHERE until < ? ORDER BY until LIMIT ?)`)
)

var errNoToken = errors.New("no token")

func (s snapshot) Spent(token []byte) (bool, error) {
	found, err := list(s.transaction, selectSpent, scanBlob, token)
	return len(found) > 0, about(err, "spent token")
}

// The errors here do not name the token: it is a secret while it can be answered.

func (u update) Spend(token []byte, until time.Time) error {
	if len(token) == 0 {
		return errNoToken
	}
	return about(u.insert(tam.ErrSpent, insertSpent, token, micros(until)), "spend")
}

var (
	selectOutstanding = prepare(`SELECT agent, device, token, manifests, unneeded, sent_at, expires_at FROM outstanding
		WHERE agent = ? AND token = ?`)
	upsertOutstanding = prepare(`INSERT INTO outstanding (agent, device, token, manifests, unneeded, sent_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (agent, token) DO UPDATE SET device = excluded.device,
			manifests = excluded.manifests, unneeded = excluded.unneeded, sent_at = excluded.sent_at, expires_at = excluded.expires_at`)
	deleteOutstanding   = prepare(`DELETE FROM outstanding WHERE agent = ? AND token = ?`)
	deleteOutstandingOf = prepare(`DELETE FROM outstanding WHERE agent = ?`)
	// The newest stay, whatever the clock says the new one always does.
	deleteOldestOutstanding = prepare(`DELETE FROM outstanding WHERE agent = ? AND token IN
		(SELECT token FROM outstanding WHERE agent = ? AND token <> ? ORDER BY sent_at DESC, token DESC LIMIT 1000 OFFSET ?)`)
	deleteOutstandingBefore = prepare(`DELETE FROM outstanding WHERE (agent, token) IN
		(SELECT agent, token FROM outstanding WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`)
)

func scanOutstanding(r *row) (o tam.Outstanding, err error) {
	if o.Agent, err = thumbprintOf("agent", r.bytes()); err != nil {
		return o, err
	}
	o.Device, o.Token = devices.ID(r.text()), r.bytes()
	if err = decode("manifest digests", r.bytes(), &o.Manifests); err != nil {
		return o, err
	}
	err = decode("unneeded manifests", r.bytes(), &o.Unneeded)
	o.SentAt, o.ExpiresAt = timeOf(r.int()), timeOf(r.int())
	return o, err
}

func (s snapshot) Outstanding(agent cosekit.Thumbprint, token []byte) (tam.Outstanding, error) {
	o, err := one(s.transaction, selectOutstanding, scanOutstanding, agent[:], token)
	return o, about(err, "outstanding update of agent %s", agent)
}

func (u update) PutOutstanding(o tam.Outstanding, keep int) error {
	switch {
	case len(o.Token) == 0:
		return errNoToken
	case keep < 1:
		return fmt.Errorf("keep %d outstanding updates, want 1 at least", keep)
	}
	manifests, err := encode(o.Manifests)
	var unneeded []byte // NULL in most
	if err == nil && len(o.Unneeded) > 0 {
		unneeded, err = encode(o.Unneeded)
	}
	if err == nil {
		_, err = u.exec(upsertOutstanding, o.Agent[:], string(o.Device), o.Token, manifests, unneeded, micros(o.SentAt), micros(o.ExpiresAt))
	}
	if err == nil {
		_, err = u.exec(deleteOldestOutstanding, o.Agent[:], o.Agent[:], o.Token, keep-1)
	}
	return about(err, "outstanding update of agent %s", o.Agent)
}

func (u update) DeleteOutstanding(agent cosekit.Thumbprint, token []byte) error {
	err := u.remove(deleteOutstanding, agent[:], token)
	return about(err, "outstanding update of agent %s", agent)
}

func (u update) DropOutstanding(limit int) (int, error) {
	if limit < 1 {
		return 0, fmt.Errorf("drop %d outstanding updates, want 1 at least", limit)
	}
	dropped, err := u.exec(deleteOutstandingBefore, int64(math.MaxInt64), limit)
	return int(dropped), about(err, "drop outstanding updates")
}

func (u update) DeleteExpired(now time.Time, limit int) (int, error) {
	if limit < 1 {
		return 0, fmt.Errorf("delete %d expired rows, want 1 at least", limit)
	}
	spent, err := u.exec(deleteSpentBefore, micros(now), limit)
	if err != nil {
		return 0, about(err, "delete expired tokens")
	}
	unanswered, err := u.exec(deleteOutstandingBefore, micros(now), limit)
	if err != nil {
		return 0, about(err, "delete expired updates")
	}
	return int(spent + unanswered), nil
}

var (
	selectTokenKeys = prepare(`SELECT id, secret, created_at FROM token_keys ORDER BY created_at, id`)
	deleteTokenKey  = prepare(`DELETE FROM token_keys WHERE id = ?`)
	insertTokenKey  = prepare(`INSERT INTO token_keys (id, secret, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
)

func scanTokenKey(r *row) (tam.TokenKey, error) {
	return tam.TokenKey{ID: uint8(r.int()), Secret: r.bytes(), CreatedAt: timeOf(r.int())}, nil
}

func (s snapshot) TokenKeys() ([]tam.TokenKey, error) {
	keys, err := list(s.transaction, selectTokenKeys, scanTokenKey)
	return keys, about(err, "token keys")
}

func (u update) AddTokenKey(k tam.TokenKey) error {
	if len(k.Secret) == 0 {
		return errors.New("token key without a secret")
	}
	return about(u.insert(tam.ErrExists, insertTokenKey, int64(k.ID), k.Secret, micros(k.CreatedAt)), "token key %d", k.ID)
}

func (u update) DeleteTokenKey(id uint8) error {
	return about(u.remove(deleteTokenKey, int64(id)), "token key %d", id)
}
