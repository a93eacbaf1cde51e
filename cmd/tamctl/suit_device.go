package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// The files of a simulated device.
const (
	identityFile = "simulated-device.yaml"
	storeFolder  = "store"
)

// errNotSimulated: the folder is something else than a simulated device.
var errNotSimulated = errors.New("no simulated device")

// identity is who a simulated device is. It is remembered in its folder.
type identity struct {
	Vendor uuid.UUID `yaml:"vendor-id"`
	Class  uuid.UUID `yaml:"class-id"`
	Device uuid.UUID `yaml:"device-id,omitempty"`
}

// identityFlags say it at first use; later they have to say the same, or nothing.
type identityFlags struct{ vendor, vendorID, class, classID, deviceID string }

func (f *identityFlags) identity() (identity, error) {
	var id identity
	switch {
	case f.vendor != "" && f.vendorID != "":
		return id, usage("give --vendor or --vendor-id, not both")
	case f.class != "" && f.classID != "":
		return id, usage("give --class or --class-id, not both")
	case f.class != "" && f.vendor == "" && f.vendorID == "":
		return id, usage("a --class is one of a vendor: give --vendor or --vendor-id too")
	}
	var domain string
	err := errors.Join(
		parse(&domain, "--vendor", f.vendor, author.ParseVendorDomain),
		parse(&id.Vendor, "--vendor-id", f.vendorID, author.ParseUUID),
		parse(&id.Class, "--class-id", f.classID, author.ParseUUID),
		parse(&id.Device, "--device-id", f.deviceID, author.ParseUUID),
	)
	if err != nil {
		return id, err
	}
	if domain != "" {
		id.Vendor = author.VendorID(domain)
	}
	if f.class != "" {
		id.Class = author.ClassID(id.Vendor, f.class)
	}
	return id, nil
}

// openDevice opens the simulated device in the folder, and makes it where the folder is
// empty or not there.
func openDevice(dir string, given identity) (*tee.Store, identity, error) {
	id, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		id, err = given, makeDevice(dir, given)
	} else if err == nil {
		err = id.same(dir, given)
	}
	if err != nil {
		return nil, identity{}, err
	}
	store, err := tee.Open(filepath.Join(dir, storeFolder), processor.Identity{Vendor: id.Vendor, Class: id.Class, Device: id.Device})
	if errors.Is(err, tee.ErrLocked) {
		err = advise(err, "wait until the other simulation has ended, or choose another folder")
	}
	return store, id, err
}

func readIdentity(dir string) (id identity, err error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return id, advise(fmt.Errorf("%s: %w: it is a file", dir, errNotSimulated), "name a folder with --device, or one that is to be made")
	}
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return id, err
	}
	if err := yaml.UnmarshalWithOptions(data, &id, yaml.Strict()); err != nil {
		return id, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, false))
	}
	if id.Vendor == uuid.Nil || id.Class == uuid.Nil {
		return id, advise(fmt.Errorf("%s: vendor-id or class-id is missing", path), "remove %s to begin anew", lines.Quote(dir))
	}
	return id, nil
}

// same refuses to take the device for another one.
func (i identity) same(dir string, given identity) error {
	for _, one := range []struct {
		name       string
		has, given uuid.UUID
	}{{"vendor", i.Vendor, given.Vendor}, {"class", i.Class, given.Class}, {"device id", i.Device, given.Device}} {
		if one.given != uuid.Nil && one.given != one.has {
			return advise(fmt.Errorf("the device in %s has another %s: %s, not %s", dir, one.name, one.has, one.given),
				"leave out what it is, or choose another folder with --device")
		}
	}
	return nil
}

// makeDevice makes a new one. The identity is written last of what it needs.
func makeDevice(dir string, id identity) error {
	if id.Vendor == uuid.Nil || id.Class == uuid.Nil {
		return usage("%s is a new device: say what it is, with --vendor and --class", dir)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return advise(fmt.Errorf("%s: %w, and not empty: it holds %s", dir, errNotSimulated, entries[0].Name()), "choose a folder of its own with --device")
	}
	data, err := yaml.Marshal(id)
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, identityFile), data, os.Link)
}
