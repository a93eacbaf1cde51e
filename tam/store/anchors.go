package store

import (
	"errors"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

var (
	selectAnchor           = prepare(`SELECT cose_key, title, constraints, not_before, not_after FROM anchors WHERE key = ?`)
	selectAnchorPurposes   = prepare(`SELECT purpose FROM anchor_purposes WHERE anchor = ? ORDER BY position`)
	selectAnchorsByPurpose = prepare(`SELECT a.cose_key, a.title, a.constraints, a.not_before, a.not_after
		FROM anchor_purposes p JOIN anchors a ON a.key = p.anchor WHERE p.purpose = ? ORDER BY p.anchor`)

	insertAnchor = prepare(`INSERT INTO anchors (key, cose_key, title, constraints, not_before, not_after)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	insertAnchorPurpose = prepare(`INSERT INTO anchor_purposes (anchor, position, purpose) VALUES (?, ?, ?)`)

	deleteAnchor         = prepare(`DELETE FROM anchors WHERE key = ?`)
	deleteAnchorPurposes = prepare(`DELETE FROM anchor_purposes WHERE anchor = ?`)
)

// constraints is the stored form of anchor.Constraints: numbers, so that a field
// may change its name.
type constraints struct {
	Components []suit.ComponentID `cbor:"1,keyasint,omitempty"`
	VendorIDs  [][]byte           `cbor:"2,keyasint,omitempty"`
	ClassIDs   [][]byte           `cbor:"3,keyasint,omitempty"`
	Grants     []anchor.Purpose   `cbor:"4,keyasint,omitempty"`
	Scopes     []anchor.Scope     `cbor:"5,keyasint,omitempty"`
	Formats    []anchor.Format    `cbor:"6,keyasint,omitempty"`
	Products   []string           `cbor:"7,keyasint,omitempty"`
}

func scanAnchor(r *row) (a anchor.Anchor, err error) {
	if a.Key, err = keyOf("anchor key", r.bytes()); err != nil {
		return a, err
	}
	a.Title = r.text()
	var c constraints
	err = decode("constraints", r.bytes(), &c)
	a.Constraints = anchor.Constraints(c)
	a.NotBefore, a.NotAfter = timeOf(r.int()), timeOf(r.int())
	return a, err
}

func scanPurpose(r *row) (anchor.Purpose, error) { return anchor.Purpose(r.text()), nil }

func (s snapshot) Anchor(key cosekit.Thumbprint) (anchor.Anchor, error) {
	a, err := one(s.transaction, selectAnchor, scanAnchor, key[:])
	if err == nil {
		err = s.addPurposes(&a)
	}
	return a, about(err, "anchor %s", key)
}

func (s snapshot) addPurposes(a *anchor.Anchor) (err error) {
	key := a.Key.Thumbprint()
	a.Purposes, err = list(s.transaction, selectAnchorPurposes, scanPurpose, key[:])
	return err
}

// Anchors is in the order of the thumbprints.
func (s snapshot) Anchors(purpose anchor.Purpose) ([]anchor.Anchor, error) {
	anchors, err := list(s.transaction, selectAnchorsByPurpose, scanAnchor, string(purpose))
	for i := 0; err == nil && i < len(anchors); i++ {
		err = s.addPurposes(&anchors[i])
	}
	if err != nil {
		return nil, about(err, "anchors for %s", purpose)
	}
	return anchors, nil
}

func (u update) AddAnchor(a anchor.Anchor) error {
	if a.Key == nil || len(a.Purposes) == 0 {
		return errors.New("anchor without a key or a purpose")
	}
	key := a.Key.Thumbprint()
	return about(u.addAnchor(key[:], a), "anchor %s", key)
}

func (u update) addAnchor(key []byte, a anchor.Anchor) error {
	narrowed, err := encode(constraints(a.Constraints))
	if err != nil {
		return about(err, "constraints")
	}
	err = u.insert(tam.ErrExists, insertAnchor, key, a.Key.COSEKey(), a.Title, narrowed,
		micros(a.NotBefore), micros(a.NotAfter))
	if err != nil {
		return err
	}
	for i, purpose := range a.Purposes {
		if _, err := u.exec(insertAnchorPurpose, key, i, string(purpose)); err != nil {
			return about(err, "purpose %s", purpose)
		}
	}
	if !appraises(a.Purposes) {
		return nil
	}
	return u.referencesChanged(nil)
}

func (u update) DeleteAnchor(key cosekit.Thumbprint) error {
	return about(u.deleteAnchor(key[:]), "anchor %s", key)
}

func (u update) deleteAnchor(key []byte) error {
	purposes, err := list(u.transaction, selectAnchorPurposes, scanPurpose, key)
	if err != nil {
		return err
	}
	if _, err := u.exec(deleteAnchorPurposes, key); err != nil {
		return err
	}
	if err := u.remove(deleteAnchor, key); err != nil {
		return err
	}
	if !appraises(purposes) {
		return nil
	}
	return u.trustLowered(nil)
}
