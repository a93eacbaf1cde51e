package store

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

const manifestColumns = `digest, algorithm, component, sequence, signer, size, published_at, published_by, signatures, dependencies`

var (
	selectManifest     = prepare(`SELECT ` + manifestColumns + ` FROM manifests WHERE digest = ? AND algorithm = ?`)
	selectManifests    = prepare(`SELECT ` + manifestColumns + ` FROM manifests WHERE digest > ? ORDER BY digest LIMIT ?`)
	selectManifestsFor = prepare(`SELECT m.digest, m.algorithm, m.component, m.sequence, m.signer, m.size, m.published_at, m.published_by, m.signatures, m.dependencies
		FROM manifest_components c CROSS JOIN manifests m ON m.digest = c.manifest WHERE c.component = ?
		ORDER BY c.sequence DESC, c.manifest DESC LIMIT ?`)
	selectLatestManifest = prepare(`SELECT ` + manifestColumns + ` FROM manifests WHERE component = ? ORDER BY sequence DESC LIMIT 1`)
	selectEnvelope       = prepare(`SELECT e.envelope FROM manifests m JOIN manifest_envelopes e ON e.manifest = m.digest
		WHERE m.digest = ? AND m.algorithm = ?`)
	selectTargets = prepare(`SELECT component, image_digest, image_size, uri FROM manifest_targets
		WHERE manifest = ? ORDER BY position`)

	insertManifest = prepare(`INSERT INTO manifests (` + manifestColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`)
	insertEnvelope = prepare(`INSERT INTO manifest_envelopes (manifest, envelope) VALUES (?, ?)`)
	insertTarget   = prepare(`INSERT INTO manifest_targets (manifest, position, component, image_digest, image_size, uri)
		VALUES (?, ?, ?, ?, ?, ?)`)
	insertManifestComponent = prepare(`INSERT INTO manifest_components (component, sequence, manifest) VALUES (?, ?, ?)
		ON CONFLICT DO NOTHING`)
)

func scanManifest(r *row) (m tam.Manifest, err error) {
	m.Digest.Bytes = r.bytes()
	m.Digest.Algorithm = suit.DigestAlgorithm(r.int())
	if err := decode("component", r.bytes(), &m.Component); err != nil {
		return m, err
	}
	if m.Sequence, err = wideOf(r.bytes()); err != nil {
		return m, err
	}
	if m.Signer, err = thumbprintOf("signer", r.bytes()); err != nil {
		return m, err
	}
	m.Size, m.PublishedAt, m.PublishedBy = r.int(), timeOf(r.int()), r.text()
	if m.Signatures, err = signaturesOf(r.bytes()); err != nil {
		return m, err
	}
	m.Dependencies, err = dependenciesOf(r.bytes())
	return m, err
}

// storedSignature and storedDependency are how lists stand in one column, NULL where
// there is none: most manifests have one signature and no dependency.
type storedSignature struct {
	_          struct{} `cbor:",toarray"`
	Signer     []byte
	Components []suit.ComponentID
}

type storedDependency struct {
	_         struct{} `cbor:",toarray"`
	Component suit.ComponentID
	Digest    suit.Digest
}

func signaturesOf(data []byte) (list []tam.Signature, err error) {
	var stored []storedSignature
	if err := decode("signatures", data, &stored); err != nil {
		return nil, err
	}
	for _, s := range stored {
		signer, err := thumbprintOf("signer", s.Signer)
		if err != nil {
			return nil, err
		}
		list = append(list, tam.Signature{Signer: signer, Components: s.Components})
	}
	return list, nil
}

func signaturesOrNull(list []tam.Signature) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	stored := make([]storedSignature, len(list))
	for i, s := range list {
		stored[i] = storedSignature{Signer: s.Signer[:], Components: s.Components}
	}
	return encode(stored)
}

func dependenciesOf(data []byte) (list []tam.Dependency, err error) {
	var stored []storedDependency
	err = decode("dependencies", data, &stored)
	for _, d := range stored {
		list = append(list, tam.Dependency{Component: d.Component, Digest: d.Digest})
	}
	return list, err
}

func dependenciesOrNull(list []tam.Dependency) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	stored := make([]storedDependency, len(list))
	for i, d := range list {
		stored[i] = storedDependency{Component: d.Component, Digest: d.Digest}
	}
	return encode(stored)
}

func scanTarget(r *row) (t tam.Target, err error) {
	if err := decode("component", r.bytes(), &t.Component); err != nil {
		return t, err
	}
	if err := decode("image digest", r.bytes(), &t.ImageDigest); err != nil {
		return t, err
	}
	if t.ImageSize, err = wideOf(r.bytes()); err != nil {
		return t, err
	}
	t.URI = r.text()
	return t, nil
}

func scanBlob(r *row) ([]byte, error) { return r.bytes(), nil }

func (s snapshot) Manifest(digest suit.Digest) (tam.Manifest, error) {
	m, err := one(s.transaction, selectManifest, scanManifest, digest.Bytes, int64(digest.Algorithm))
	if err == nil {
		err = s.addTargets(&m)
	}
	return m, about(err, "manifest %s", digest)
}

func (s snapshot) addTargets(m *tam.Manifest) (err error) {
	m.Targets, err = list(s.transaction, selectTargets, scanTarget, m.Digest.Bytes)
	return err
}

func (s snapshot) Envelope(digest suit.Digest) ([]byte, error) {
	envelope, err := one(s.transaction, selectEnvelope, scanBlob, digest.Bytes, int64(digest.Algorithm))
	return envelope, about(err, "envelope of manifest %s", digest)
}

func (s snapshot) ManifestsFor(component suit.ComponentID, limit int) ([]tam.Manifest, error) {
	if err := checkLimit(limit); err != nil {
		return nil, about(err, "manifests")
	}
	found, err := list(s.transaction, selectManifestsFor, scanManifest, []byte(component.Key()), limit)
	found, err = s.withTargets(found, err)
	return found, about(err, "manifests for component %s", component)
}

func (s snapshot) LatestManifest(component suit.ComponentID) (tam.Manifest, error) {
	m, err := one(s.transaction, selectLatestManifest, scanManifest, []byte(component.Key()))
	if err == nil {
		err = s.addTargets(&m)
	}
	return m, about(err, "latest manifest %s", component)
}

// withTargets completes what a listing of manifests gave.
func (s snapshot) withTargets(found []tam.Manifest, err error) ([]tam.Manifest, error) {
	for i := 0; err == nil && i < len(found); i++ {
		err = s.addTargets(&found[i])
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (s snapshot) Manifests(page tam.Page) ([]tam.Manifest, error) {
	if err := checkLimit(page.Limit); err != nil {
		return nil, about(err, "manifests")
	}
	after, err := hex.DecodeString(page.After)
	if err != nil {
		return nil, fmt.Errorf("manifests: cursor %q is not the hexadecimal digits of a digest", page.After)
	}
	found, err := list(s.transaction, selectManifests, scanManifest, after, page.Limit)
	found, err = s.withTargets(found, err)
	return found, about(err, "manifests")
}

func (u update) AddManifest(m tam.Manifest, envelope []byte) error {
	if len(m.Digest.Bytes) == 0 || len(envelope) == 0 {
		return errors.New("manifest without a digest or an envelope")
	}
	return about(u.addManifest(m, envelope), "manifest %s, sequence number %d of component %s", m.Digest, m.Sequence, m.Component)
}

func (u update) addManifest(m tam.Manifest, envelope []byte) error {
	key, sequence := m.Digest.Bytes, wide(m.Sequence)
	component, err := componentKey(m.Component)
	if err != nil {
		return err
	}
	signatures, err := signaturesOrNull(m.Signatures)
	if err != nil {
		return about(err, "signatures")
	}
	dependencies, err := dependenciesOrNull(m.Dependencies)
	if err != nil {
		return about(err, "dependencies")
	}
	err = u.insert(tam.ErrExists, insertManifest, key, int64(m.Digest.Algorithm), component, sequence,
		m.Signer[:], m.Size, micros(m.PublishedAt), m.PublishedBy, signatures, dependencies)
	if err != nil {
		return err
	}
	if _, err := u.exec(insertEnvelope, key, envelope); err != nil {
		return err
	}
	return u.addComponents(m, key, component, sequence)
}

// addComponents makes the manifest findable by everything that it is about.
func (u update) addComponents(m tam.Manifest, key, component, sequence []byte) error {
	concerns := [][]byte{component}
	for i, t := range m.Targets {
		target, err := componentKey(t.Component)
		if err != nil {
			return err
		}
		concerns = append(concerns, target)
		if _, err := u.exec(insertTarget, key, i, target, digestValue(t.ImageDigest), wide(t.ImageSize), t.URI); err != nil {
			return err
		}
	}
	for _, d := range m.Dependencies {
		dependency, err := componentKey(d.Component)
		if err != nil {
			return err
		}
		concerns = append(concerns, dependency)
	}
	for _, c := range concerns {
		if _, err := u.exec(insertManifestComponent, c, sequence, key); err != nil {
			return err
		}
	}
	return nil
}
