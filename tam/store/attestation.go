package store

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

var errNotYet = errors.New("not kept yet")

func (s snapshot) Appraisal(id int64) (devices.Appraisal, error) {
	return devices.Appraisal{}, errNotYet
}
func (s snapshot) LatestAppraisals(page tam.Page) ([]devices.Appraisal, error) {
	return nil, errNotYet
}
func (s snapshot) Policies() ([]policy.Policy, error)                              { return nil, nil }
func (s snapshot) PolicyVersions(name string) ([]policy.Policy, error)             { return nil, errNotYet }
func (s snapshot) Groups() ([]devices.Group, error)                                { return nil, nil }
func (s snapshot) ReferenceState() (int64, error)                                  { return 0, nil }
func (s snapshot) ReferenceFiles() ([]tam.ReferenceFile, error)                    { return nil, nil }
func (s snapshot) DeviceCAs() ([]tam.DeviceCA, error)                              { return nil, nil }
func (u update) AddPolicy(p policy.Policy) error                                   { return errNotYet }
func (u update) PutGroup(g devices.Group) error                                    { return errNotYet }
func (u update) DeleteGroup(name string) error                                     { return errNotYet }
func (u update) AddReferenceFile(f tam.ReferenceFile) error                        { return errNotYet }
func (u update) DeleteReferenceFile(id string, version uint64) error               { return errNotYet }
func (u update) AddDeviceCA(ca tam.DeviceCA) error                                 { return errNotYet }
func (u update) DeleteDeviceCA(fingerprint [sha256.Size]byte) error                { return errNotYet }
func (u update) DeleteAnchor(key cosekit.Thumbprint) error                         { return errNotYet }
func (u update) DropEvidence(before time.Time, limit int) (dropped int, err error) { return 0, nil }
