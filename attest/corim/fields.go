package corim

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// fields are the members of a map by their integer label.
type fields map[int64]cosekit.RawMessage

// otherLabel stands for every label that is no integer: an extension that is not known here.
const otherLabel = math.MinInt64

// readFields reads a map that is part of what [cosekit.Validate] has seen.
func readFields(item []byte) (fields, error) {
	pairs, err := cosekit.Pairs(item)
	if err != nil {
		return nil, err
	}
	f := make(fields, len(pairs))
	for _, p := range pairs {
		label, err := cosekit.Int(p.Key)
		if err != nil {
			label = otherLabel
		}
		f[label] = p.Value
	}
	return f, nil
}

// only is errUnread if there is a member with another label.
func (f fields) only(what string, known ...int64) error {
	for _, label := range slices.Sorted(maps.Keys(f)) {
		if !slices.Contains(known, label) {
			return fmt.Errorf("%w: %s with a member %s", errUnread, what, labelName(label))
		}
	}
	return nil
}

func labelName(label int64) string {
	if label == otherLabel {
		return "whose label is no integer"
	}
	return fmt.Sprint(label)
}

// optional reads a member if it is there.
func optional[T any](f fields, label int64, name string, read func([]byte) (T, error)) (value T, there bool, err error) {
	item, there := f[label]
	if !there {
		return value, false, nil
	}
	if value, err = read(item); err != nil {
		return value, false, within(name, err)
	}
	return value, true, nil
}

// pointer is optional for a member whose zero value says something.
func pointer[T any](f fields, label int64, name string, read func([]byte) (T, error)) (*T, error) {
	value, there, err := optional(f, label, name, read)
	if !there {
		return nil, err
	}
	return &value, nil
}

// within says where an error is, if there is one.
func within(place string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", place, err)
}

// each reads the elements of an array, of which there is one at least.
func each(item []byte, what string, read func([]byte) error) error {
	elements, err := cosekit.Elements(item)
	if err != nil {
		return err
	}
	if len(elements) == 0 {
		return fmt.Errorf("%w: no %s in the list", ErrMalformed, what)
	}
	for i, e := range elements {
		if err := read(e); err != nil {
			return within(fmt.Sprintf("%s %d", what, i+1), err)
		}
	}
	return nil
}

// tagged splits a tagged item; ok is false for one without a tag.
func tagged(item []byte) (number uint64, content []byte, ok bool) {
	if cosekit.Major(item) != cosekit.MajorTag {
		return 0, item, false
	}
	size := 1
	if info := item[0] & 0x1f; info >= 24 && info <= 27 {
		size += 1 << (info - 24)
	}
	if size > len(item) {
		return 0, item, false
	}
	number = uint64(item[0] & 0x1f)
	if size > 1 {
		number = 0
		for _, b := range item[1:size] {
			number = number<<8 | uint64(b)
		}
	}
	return number, item[size:], true
}

// name reads a text that ends up in tables and in the database.
func name(item []byte) (string, error) {
	text, err := cosekit.Text(item)
	switch {
	case err != nil:
		return "", err
	case text == "":
		return "", fmt.Errorf("%w: empty text", ErrMalformed)
	case len(text) > MaxName:
		return "", fmt.Errorf("%w: text of %d bytes, at most %d", ErrTooLarge, len(text), MaxName)
	}
	return text, nil
}

// tagID reads a $tag-id-type-choice: text or a UUID, which files of veraison/corim tag.
func tagID(item []byte) (string, error) {
	if number, content, ok := tagged(item); ok && number == tagUUID {
		item = content
	}
	if cosekit.Major(item) == cosekit.MajorText {
		return name(item)
	}
	raw, err := cosekit.Bytes(item)
	if err != nil {
		return "", err
	}
	id, err := uuid.FromBytes(raw)
	if err != nil {
		return "", fmt.Errorf("%w: tag id of %d bytes is no UUID", ErrMalformed, len(raw))
	}
	return id.String(), nil
}

// unread is the reason why a statement was left out; ok is false for a fault.
func unread(err error) (reason string, ok bool) {
	if !errors.Is(err, errUnread) {
		return "", false
	}
	return err.Error(), true
}
