package tee

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

const (
	maxPermissions = 1<<14 - 1 // SUIT_meta_permission_bits
	maxCreator     = 256       // bytes
)

// metadataEntry is what the store remembers of a component's metadata
// (draft-ietf-suit-update-management-14 section 4.12). It tells who asks what an image is
// to be stored as; the file itself belongs to the store and nobody else.
type metadataEntry struct {
	Permissions *suit.Permissions `cbor:"1,keyasint,omitempty"`
	Modified    *int64            `cbor:"2,keyasint,omitempty"` // Unix seconds
	Created     *int64            `cbor:"3,keyasint,omitempty"`
	Creator     *creatorEntry     `cbor:"4,keyasint,omitempty"`
}

// creatorEntry is a suit.ActorID; one field is set.
type creatorEntry struct {
	UUID   []byte  `cbor:"1,keyasint,omitempty"`
	Bytes  []byte  `cbor:"2,keyasint,omitempty"`
	Text   *string `cbor:"3,keyasint,omitempty"`
	Number *int64  `cbor:"4,keyasint,omitempty"`
}

// SupportsMetadata implements processor.MetadataKeeper: regular files, with permissions
// for everybody, times and a creator.
func (s *Store) SupportsMetadata(_ suit.ComponentID, m *suit.ComponentMetadata) error {
	_, err := newMetadata(m)
	return err
}

// HasMetadata implements processor.MetadataKeeper.
func (s *Store) HasMetadata(id suit.ComponentID, m *suit.ComponentMetadata) bool {
	want, err := newMetadata(m)
	c := s.view().component(id)
	return err == nil && c != nil && reflect.DeepEqual(want, c.Metadata)
}

// newMetadata returns what is kept of the metadata, and refuses what would be lost.
func newMetadata(m *suit.ComponentMetadata) (*metadataEntry, error) {
	switch {
	case m == nil:
		return nil, nil
	case m.FileType != nil && *m.FileType != suit.RegularFile:
		return nil, fmt.Errorf("file type %d: this store keeps regular files only, no directories and no symbolic links", *m.FileType)
	case len(m.Users)+len(m.Groups)+len(m.Roles) > 0:
		return nil, errors.New("permissions of users, groups or roles: this store knows none of them")
	case len(m.Other) > 0:
		return nil, errors.New("metadata that this store does not know")
	}
	e := &metadataEntry{Permissions: m.Permissions, Modified: seconds(m.Modified), Created: seconds(m.Created), Creator: newCreator(m.Creator)}
	return e, e.check()
}

func newCreator(c *suit.ActorID) *creatorEntry {
	switch {
	case c == nil:
		return nil
	case c.UUID != nil:
		return &creatorEntry{UUID: c.UUID[:]}
	case c.Number != nil:
		return &creatorEntry{Number: c.Number}
	case c.Bytes != nil:
		return &creatorEntry{Bytes: c.Bytes}
	}
	return &creatorEntry{Text: &c.Text}
}

// check refuses what does not fit, be it from a manifest or from the index.
func (e *metadataEntry) check() error {
	switch {
	case e == nil:
		return nil
	case e.Permissions != nil && *e.Permissions > maxPermissions:
		return fmt.Errorf("permissions 0x%x have more than 14 bits", *e.Permissions)
	case e.Creator == nil:
		return nil
	}
	c := e.Creator
	if c.UUID != nil && len(c.UUID) != len(uuid.UUID{}) {
		return fmt.Errorf("creator with a UUID of %d bytes", len(c.UUID))
	}
	if c.Text != nil && len(*c.Text) > maxCreator || len(c.Bytes) > maxCreator {
		return fmt.Errorf("the creator's name has more than %d bytes", maxCreator)
	}
	return nil
}

// metadata returns the entry as manifests have it; nil for none.
func (e *metadataEntry) metadata() *suit.ComponentMetadata {
	if e == nil {
		return nil
	}
	regular := suit.RegularFile
	m := &suit.ComponentMetadata{Permissions: e.Permissions, FileType: &regular, Modified: moment(e.Modified), Created: moment(e.Created)}
	if c := e.Creator; c != nil {
		m.Creator = &suit.ActorID{Bytes: c.Bytes, Number: c.Number}
		if c.UUID != nil {
			id := uuid.UUID(c.UUID)
			m.Creator.UUID = &id
		}
		if c.Text != nil {
			m.Creator.Text = *c.Text
		}
	}
	return m
}

func seconds(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	s := t.Unix()
	return &s
}

func moment(s *int64) *time.Time {
	if s == nil {
		return nil
	}
	t := time.Unix(*s, 0).UTC()
	return &t
}
