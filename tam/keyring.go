package tam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tamarack-tam/tamarack/tam/audit"
)

// keyring is this replica's copy of the MAC keys, oldest first: all verify, one
// signs. [TAM.Maintain] refreshes it.
type keyring struct {
	keys atomic.Pointer[[]TokenKey]
}

// keyLead is how long a new key waits before it signs, so that every replica has
// taken it over by then and no request has to look for keys.
const keyLead = 5 * time.Minute

// signing returns the newest key that every replica knows.
func (r *keyring) signing(now time.Time) TokenKey {
	keys := *r.keys.Load()
	for _, k := range slices.Backward(keys) {
		if now.Sub(k.CreatedAt) >= keyLead {
			return k
		}
	}
	return keys[0]
}

func (r *keyring) find(id uint8) (TokenKey, bool) {
	for _, k := range *r.keys.Load() {
		if k.ID == id {
			return k, true
		}
	}
	return TokenKey{}, false
}

// rotate adds a key where the newest is too old, and drops a key as soon as the
// one after it has stopped signing: by then its tokens are long dead.
func (t *TAM) rotate(ctx context.Context) error {
	secret := make([]byte, 32)
	if _, err := io.ReadFull(t.tokens.rand, secret); err != nil {
		return err
	}
	var keys []TokenKey
	err := t.cfg.Store.Update(ctx, func(tx Tx) (err error) {
		now := t.cfg.Clock()
		if keys, err = tx.TokenKeys(); err != nil {
			return err
		}
		keys = slices.Clone(keys)
		old := func(k TokenKey) bool { return now.Sub(k.CreatedAt) >= t.cfg.Policy.TokenKeyRotation }
		for len(keys) > 1 && old(keys[1]) {
			if err := t.dropKey(tx, keys[0], now); err != nil {
				return err
			}
			keys = keys[1:]
		}
		if len(keys) > 0 && !old(keys[len(keys)-1]) {
			return nil
		}
		next := TokenKey{Secret: bytes.Clone(secret), CreatedAt: now}
		if len(keys) > 0 {
			next.ID = keys[len(keys)-1].ID + 1
		}
		keys = append(keys, next)
		if err := tx.AddTokenKey(next); err != nil {
			return err
		}
		return tx.AppendEvent(keyEvent(audit.TokenKeyCreated, next, now))
	})
	if err == nil {
		t.tokens.ring.keys.Store(&keys)
	}
	return err
}

// ReplaceTokenKeys makes a new MAC key the only one, in the name of the actor: every
// token and every Update that is out is void. Call it after a database was restored
// from a backup, before devices are served: what was spent since is not spent in it.
//
// A TAM that runs takes tokens of the old keys until it calls [TAM.Maintain], so the
// marks of those that were spent stay; they expire by themselves.
func ReplaceTokenKeys(ctx context.Context, store Store, actor string, now time.Time, random io.Reader) error {
	secret := make([]byte, 32)
	if _, err := io.ReadFull(random, secret); err != nil {
		return fmt.Errorf("randomness for a token key: %w", err)
	}
	event := func(action audit.Action, k TokenKey) audit.Event {
		e := keyEvent(action, k, now)
		e.Actor = actor
		return e
	}
	err := store.Update(ctx, func(tx Tx) error {
		keys, err := tx.TokenKeys()
		if err != nil {
			return err
		}
		next := TokenKey{Secret: bytes.Clone(secret), CreatedAt: now}
		for _, k := range keys {
			next.ID = k.ID + 1
			if err := errors.Join(tx.DeleteTokenKey(k.ID), tx.AppendEvent(event(audit.TokenKeyDeleted, k))); err != nil {
				return err
			}
		}
		return errors.Join(tx.AddTokenKey(next), tx.AppendEvent(event(audit.TokenKeyCreated, next)))
	})
	if err != nil {
		return fmt.Errorf("replace the token keys: %w", err)
	}
	err = sweep(ctx, store, func(tx Tx) (int, error) { return tx.DropOutstanding(sweepLimit) })
	if err != nil {
		return fmt.Errorf("drop outstanding Updates: %w", err)
	}
	return nil
}

func (t *TAM) dropKey(tx Tx, k TokenKey, now time.Time) error {
	if err := tx.DeleteTokenKey(k.ID); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return tx.AppendEvent(keyEvent(audit.TokenKeyDeleted, k, now))
}

func keyEvent(action audit.Action, k TokenKey, now time.Time) audit.Event {
	return audit.Event{At: now, Actor: "system", Action: action, Subject: fmt.Sprintf("token-key:%d", k.ID)}
}
