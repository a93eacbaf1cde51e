package corim

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Unsigned is what goes into a file: one CoMID tag with its statements. Source of the
// statements is not used.
type Unsigned struct {
	ID       string // tag id
	Version  uint64
	Replaces []string // ids of tags that no longer count once this one is in force
	Profile  string   // a URI; empty for none
	// NotBefore and NotAfter bound the validity. A beginning without an end cannot be
	// written down.
	NotBefore, NotAfter time.Time
	References          []Reference
	Keys                []AttestKey
}

// Encode returns the CoRIM without a signature, deterministically encoded
// (RFC 8949 section 4.2.1), tag 501. What Read would refuse is refused.
func (u *Unsigned) Encode() ([]byte, error) {
	comid, err := u.comid()
	if err != nil {
		return nil, within("CoRIM "+strconv.Quote(u.ID), err)
	}
	m := map[int]any{0: u.ID, 1: []any{taggedItem(tagCoMID, comid)}}
	// The draft has a URI under tag 32 here. Veraison, which is who looks at profiles, takes
	// it without only, as EAT has it.
	put(m, 3, u.Profile, u.Profile != "")
	if validity := u.validity(); validity != nil {
		m[4] = validity
	}
	raw, err := cosekit.Marshal(taggedItem(tagUnsigned, m))
	if err != nil {
		return nil, err
	}
	if _, err := Read(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// Sign returns the file, a COSE_Sign1 whose corim-meta says who signs
// (draft-ietf-rats-corim section 4.2).
func (u *Unsigned) Sign(signer cosekit.Signer, signerName string) ([]byte, error) {
	payload, err := u.Encode()
	if err != nil {
		return nil, err
	}
	meta := cosekit.MustMarshal(map[int]any{0: map[int]any{0: signerName}})
	protected := cosekit.MustMarshal(map[int]any{
		1: int64(signer.Algorithm()), headerContentType: ContentType, headerMeta: meta,
	})
	value, err := signer.Sign(rand.Reader, cosekit.MustMarshal([]any{"Signature1", protected, []byte{}, payload}))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	thumbprint := signer.PublicKey().Thumbprint()
	raw := cosekit.MustMarshal(taggedItem(cosekit.TagSign1, []any{protected, map[int]any{4: thumbprint[:]}, payload, value}))
	f, err := Read(raw)
	if err != nil {
		return nil, err
	}
	// A file that nobody would accept is not to leave this place.
	return raw, f.signature.message.Verify(signer.PublicKey(), cosekit.AllowLegacy)
}

// taggedItem is a tagged item.
func taggedItem(number uint64, content any) cosekit.Tag {
	return cosekit.Tag{Number: number, Content: cosekit.MustMarshal(content)}
}

func (u *Unsigned) validity() map[int]any {
	if u.NotAfter.IsZero() {
		return nil
	}
	const tagEpoch = 1
	v := map[int]any{1: taggedItem(tagEpoch, u.NotAfter.Unix())}
	if !u.NotBefore.IsZero() {
		v[0] = taggedItem(tagEpoch, u.NotBefore.Unix())
	}
	return v
}

// comid is the encoded concise-mid-tag.
func (u *Unsigned) comid() ([]byte, error) {
	switch {
	case len(u.References)+len(u.Keys) == 0:
		return nil, fmt.Errorf("%w: no statement", ErrMalformed)
	case u.NotAfter.IsZero() && !u.NotBefore.IsZero():
		return nil, fmt.Errorf("%w: a beginning without an end: give both, or none", ErrMalformed)
	}
	triples := map[int]any{}
	for label, endorsed := range []bool{false, true} {
		list, err := valueTriples(u.References, endorsed)
		if err != nil {
			return nil, err
		}
		if list != nil {
			triples[label] = list
		}
	}
	if len(u.Keys) > 0 {
		list, err := keyTriples(u.Keys)
		if err != nil {
			return nil, err
		}
		triples[3] = list
	}
	m := map[int]any{1: map[int]any{0: u.ID, 1: u.Version}, 4: triples}
	if len(u.Replaces) > 0 {
		const replaces = 1
		var links []any
		for _, id := range u.Replaces {
			links = append(links, map[int]any{0: id, 1: replaces})
		}
		m[3] = links
	}
	return cosekit.Marshal(m)
}

// valueTriples makes one triple for statements in a row about one environment.
func valueTriples(all []Reference, endorsed bool) ([]any, error) {
	var triples []any
	var measurements []any
	var about *Environment
	for i := range all {
		r := &all[i]
		if r.Endorsed != endorsed {
			continue
		}
		m, err := r.item()
		if err != nil {
			return nil, within("value "+strconv.Quote(r.Key), err)
		}
		if about == nil || !reflect.DeepEqual(*about, r.Environment) {
			environment, err := r.Environment.item()
			if err != nil {
				return nil, err
			}
			about, measurements = &r.Environment, nil
			triples = append(triples, []any{environment, nil})
		}
		measurements = append(measurements, m)
		triples[len(triples)-1].([]any)[1] = measurements
	}
	return triples, nil
}

func keyTriples(keys []AttestKey) ([]any, error) {
	var triples []any
	for _, k := range keys {
		environment, err := k.Environment.item()
		if err != nil {
			return nil, err
		}
		key, err := k.item()
		if err != nil {
			return nil, err
		}
		triples = append(triples, []any{environment, []any{key}})
	}
	return triples, nil
}

// item is the key as PEM text, which every reader knows.
func (k AttestKey) item() (any, error) {
	if k.Certificate != nil {
		return taggedItem(tagPKIXCert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate.Raw}))), nil
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return taggedItem(tagPKIXKey, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), nil
}

// item is an environment-map.
func (e *Environment) item() (map[int]any, error) {
	class := map[int]any{}
	if !e.ClassID.IsZero() {
		id, err := e.ClassID.item()
		if err != nil {
			return nil, within("class-id", err)
		}
		class[0] = id
	}
	put(class, 1, e.Vendor, e.Vendor != "")
	put(class, 2, e.Model, e.Model != "")
	put(class, 3, e.Layer, e.Layer != nil)
	put(class, 4, e.Index, e.Index != nil)
	m := map[int]any{}
	put(m, 0, class, len(class) > 0)
	for label, id := range map[int]ID{1: e.Instance, 2: e.Group} {
		if !id.IsZero() {
			item, err := id.item()
			if err != nil {
				return nil, err
			}
			m[label] = item
		}
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("%w: an environment that says nothing", ErrMalformed)
	}
	return m, nil
}

func put(m map[int]any, label int, value any, there bool) {
	if there {
		m[label] = value
	}
}

// item writes an implementation id as bytes, as the profiles of today do.
func (id ID) item() (any, error) {
	for number, known := range idKinds {
		if known.kind == id.Kind && number != tagImplID {
			return taggedItem(number, id.Value), nil
		}
	}
	if id.Kind == KindImplID {
		return taggedItem(tagBytes, id.Value), nil
	}
	return nil, fmt.Errorf("%w: identifiers of kind %q are not written", ErrMalformed, id.Kind)
}

// item is a measurement-map.
func (r *Reference) item() (map[int]any, error) {
	m, values := map[int]any{}, map[int]any{}
	switch number, err := strconv.ParseUint(r.Key, 10, 64); {
	case r.Key == keyPSAComponent || r.Key == keyCCAComponent:
		return nil, fmt.Errorf("%w: it is the label of the component that is wanted", ErrMalformed)
	case r.Signer != nil:
		m[0] = keyPSAComponent
		values[mvalKeys] = []any{taggedItem(tagBytes, r.Signer)}
		put(values, mvalName, r.Key, r.Key != "")
	case err == nil && strconv.FormatUint(number, 10) == r.Key:
		m[0] = number
	case r.Key != "":
		m[0] = r.Key
	}
	put(values, mvalVersion, map[int]any{0: r.Version}, r.Version != "")
	if r.SVN != nil && r.MinSVN != nil {
		return nil, fmt.Errorf("%w: an exact security version and a least one", ErrMalformed)
	}
	if r.SVN != nil {
		values[mvalSVN] = taggedItem(tagSVN, *r.SVN)
	}
	if r.MinSVN != nil {
		values[mvalSVN] = taggedItem(tagMinSVN, *r.MinSVN)
	}
	if len(r.Digests) > 0 {
		var digests []any
		for _, d := range r.Digests {
			item, err := d.item()
			if err != nil {
				return nil, err
			}
			digests = append(digests, item)
		}
		values[mvalDigests] = digests
	}
	switch {
	case r.Mask != nil:
		values[mvalRaw] = taggedItem(tagMaskedRaw, []any{r.Raw, r.Mask})
	case r.Raw != nil:
		values[mvalRaw] = taggedItem(tagBytes, r.Raw)
	}
	m[1] = values
	return m, nil
}
