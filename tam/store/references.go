package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/tam"
)

var (
	selectReferenceState = prepare(`SELECT changes FROM reference_state WHERE id = 1`)
	raiseReferenceState  = prepare(`UPDATE reference_state SET changes = changes + 1 WHERE id = 1`)

	selectReferenceFiles = prepare(`SELECT id, version, signer, imported_at, imported_by, raw FROM reference_files ORDER BY id, version`)
	insertReferenceFile  = prepare(`INSERT INTO reference_files (id, version, signer, imported_at, imported_by, raw)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	deleteReferenceFile = prepare(`DELETE FROM reference_files WHERE id = ? AND version = ?`)

	selectDeviceCAs = prepare(`SELECT fingerprint, title, added_at, added_by, certificate, formats FROM device_cas ORDER BY fingerprint`)
	insertDeviceCA  = prepare(`INSERT INTO device_cas (fingerprint, title, added_at, added_by, certificate, formats)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	deleteDeviceCA = prepare(`DELETE FROM device_cas WHERE fingerprint = ?`)
)

func scanInt(r *row) (int64, error) { return r.int(), nil }

func (s snapshot) ReferenceState() (int64, error) {
	changes, err := one(s.transaction, selectReferenceState, scanInt)
	return changes, about(err, "state of the references")
}

// referencesChanged follows every change of what evidence is appraised against, in its
// transaction; err is that of the change.
func (u update) referencesChanged(err error) error {
	if err == nil {
		_, err = u.exec(raiseReferenceState)
	}
	return err
}

// trustLowered is referencesChanged where what was accepted before may not be any more.
func (u update) trustLowered(err error) error { return u.policiesChanged(u.referencesChanged(err)) }

// appraises reports whether evidence or results are appraised with an anchor of these purposes.
func appraises(purposes []anchor.Purpose) bool {
	for _, p := range purposes {
		switch p {
		case anchor.Attester, anchor.Verifier, anchor.ReferenceValues:
			return true
		}
	}
	return false
}

func scanReferenceFile(r *row) (f tam.ReferenceFile, err error) {
	f.ID = r.text()
	f.Version, err = wideOf(r.bytes())
	f.Signer, f.ImportedAt, f.ImportedBy, f.Raw = r.text(), timeOf(r.int()), r.text(), r.bytes()
	return f, err
}

func (s snapshot) ReferenceFiles() ([]tam.ReferenceFile, error) {
	files, err := list(s.transaction, selectReferenceFiles, scanReferenceFile)
	return files, about(err, "reference files")
}

func (u update) AddReferenceFile(f tam.ReferenceFile) error {
	err := errors.New("nothing in it")
	if len(f.Raw) > 0 {
		err = u.trustLowered(u.insert(tam.ErrExists, insertReferenceFile,
			f.ID, wide(f.Version), f.Signer, micros(f.ImportedAt), f.ImportedBy, f.Raw))
	}
	return about(err, "reference file %q version %d", f.ID, f.Version)
}

func (u update) DeleteReferenceFile(id string, version uint64) error {
	err := u.trustLowered(u.remove(deleteReferenceFile, id, wide(version)))
	return about(err, "reference file %q version %d", id, version)
}

func scanDeviceCA(r *row) (ca tam.DeviceCA, err error) {
	fingerprint := r.bytes()
	if len(fingerprint) != sha256.Size {
		return ca, fmt.Errorf("stored fingerprint of %d bytes", len(fingerprint))
	}
	ca.Fingerprint = [sha256.Size]byte(fingerprint)
	ca.Title, ca.AddedAt, ca.AddedBy, ca.Certificate = r.text(), timeOf(r.int()), r.text(), r.bytes()
	for name := range strings.FieldsSeq(r.text()) {
		ca.Formats = append(ca.Formats, anchor.Format(name))
	}
	return ca, nil
}

func (s snapshot) DeviceCAs() ([]tam.DeviceCA, error) {
	cas, err := list(s.transaction, selectDeviceCAs, scanDeviceCA)
	return cas, about(err, "device CAs")
}

// AddDeviceCA refuses a fingerprint that is not the certificate's: what an operator names
// must be what is trusted.
func (u update) AddDeviceCA(ca tam.DeviceCA) error {
	err := errors.New("the fingerprint is not that of the certificate")
	var formats []string
	for _, f := range ca.Formats {
		formats = append(formats, string(f))
	}
	if sha256.Sum256(ca.Certificate) == ca.Fingerprint {
		err = u.referencesChanged(u.insert(tam.ErrExists, insertDeviceCA,
			ca.Fingerprint[:], ca.Title, micros(ca.AddedAt), ca.AddedBy, ca.Certificate, strings.Join(formats, " ")))
	}
	return about(err, "device CA %x", ca.Fingerprint)
}

func (u update) DeleteDeviceCA(fingerprint [sha256.Size]byte) error {
	err := u.trustLowered(u.remove(deleteDeviceCA, fingerprint[:]))
	return about(err, "device CA %x", fingerprint)
}
