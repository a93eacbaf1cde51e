package attester

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// TSM is a Quoter for guests of SEV-SNP and TDX: Linux offers the reports of both in one
// place (Documentation/ABI/testing/configfs-tsm-report). It may be used by many goroutines,
// each with an entry of its own.
type TSM struct {
	reports reports
	format  string
	encode  func(out, aux []byte) ([]byte, error)
}

// DirectoryTSM is where Linux offers the reports. It wants root, configfs mounted and the
// driver of the guest loaded.
const DirectoryTSM = "/sys/kernel/config/tsm/report"

// providers are the drivers whose reports are known, by the name that they give themselves.
var providers = map[string]struct {
	format string
	encode func(out, aux []byte) ([]byte, error)
}{
	"sev_guest": {evidence.MediaSEVSNP, func(out, aux []byte) ([]byte, error) {
		return evidence.SNPEvidence{Report: out, Certificates: aux}.Encode()
	}},
	"tdx_guest": {evidence.MediaTDX, func(out, _ []byte) ([]byte, error) {
		return evidence.TDXEvidence{Quote: out}.Encode()
	}},
}

// OpenTSM finds out which driver makes the reports in the directory.
func OpenTSM(directory string) (*TSM, error) { return openTSM(configfs{directory}) }

func openTSM(r reports) (*TSM, error) {
	t := &TSM{reports: r}
	err := t.entry(func(entry string) error {
		name, err := t.text(entry, "provider")
		if err != nil {
			return err
		}
		provider, ok := providers[name]
		if !ok {
			return fmt.Errorf("made by %q, of which the TAM reads nothing; want sev_guest or tdx_guest", name)
		}
		t.format, t.encode = provider.format, provider.encode
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reports of the kernel: %w", err)
	}
	return t, nil
}

// Format implements Quoter.
func (t *TSM) Format() string { return t.format }

// reportDataSize is what both drivers take, in bytes.
const reportDataSize = 64

// Quote implements Quoter. The digest is the report data.
func (t *TSM) Quote(ctx context.Context, digest []byte) (quote []byte, err error) {
	if len(digest) != reportDataSize {
		return nil, fmt.Errorf("report data of %d bytes, want %d", len(digest), reportDataSize)
	}
	err = t.entry(func(entry string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, err := t.generation(entry)
		if err != nil {
			return err
		}
		if err := t.reports.write(entry, "inblob", digest); err != nil {
			return fmt.Errorf("inblob: %w", err)
		}
		out, err := t.reports.read(entry, "outblob")
		if err != nil {
			return fmt.Errorf("outblob: %w", err)
		}
		aux, err := t.reports.read(entry, "auxblob")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("auxblob: %w", err) // TDX has none
		}
		// Whoever writes to the entry counts the generation up. More than one step means
		// that the report may be about the data of somebody else.
		after, err := t.generation(entry)
		if err != nil {
			return err
		}
		if after != before+1 {
			return fmt.Errorf("somebody else used the entry: generation %d became %d", before, after)
		}
		quote, err = t.encode(out, aux)
		return err
	})
	return quote, err
}

// entry makes an entry of our own, and removes it.
func (t *TSM) entry(use func(entry string) error) (err error) {
	entry, err := t.reports.create()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.reports.remove(entry)) }()
	return use(entry)
}

func (t *TSM) text(entry, attribute string) (string, error) {
	raw, err := t.reports.read(entry, attribute)
	if err != nil {
		return "", fmt.Errorf("%s: %w", attribute, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func (t *TSM) generation(entry string) (uint64, error) {
	text, err := t.text(entry, "generation")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("generation: %w", err)
	}
	return n, nil
}

// reports is a folder of the kernel, in which an entry comes with its attributes.
type reports interface {
	create() (entry string, err error)
	remove(entry string) error
	read(entry, attribute string) ([]byte, error)
	write(entry, attribute string, data []byte) error
}

// configfs is the folder of a real kernel.
type configfs struct{ directory string }

func (c configfs) create() (string, error) {
	entry, err := os.MkdirTemp(c.directory, "tamarack-*")
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w; mount configfs and load the driver sev-guest or tdx-guest", err)
	}
	return entry, err
}

func (configfs) remove(entry string) error { return os.Remove(entry) }

func (configfs) read(entry, attribute string) ([]byte, error) {
	return os.ReadFile(filepath.Join(entry, attribute))
}

// write hands all over at once, as the kernel wants a blob.
func (configfs) write(entry, attribute string, data []byte) error {
	f, err := os.OpenFile(filepath.Join(entry, attribute), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
