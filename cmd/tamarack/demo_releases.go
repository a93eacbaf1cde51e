package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
)

// What the demo's publisher signs for.
const (
	demoVendor = "tamarack.example"
	demoClass  = "demo device"
	demoPrefix = "demo"
)

var demoComponent = suit.ComponentID{[]byte("demo"), []byte("app")}

// release is one manifest of the demo, and what is to become of it.
type release struct {
	path     string
	size     int64
	sha256   string // hexadecimal
	sequence uint64
	// application: it is a WebAssembly module, and is run.
	application bool
	greeting    string // what it has to print; empty where nobody knows
	selfTest    bool   // it has one, and the devices hold it against that
	broken      bool   // it does not pass it

	manifest suit.ComponentID
	digest   string // of the manifest, as the TAM writes it
	envelope []byte // as it was published
}

func (r *release) name() string { return filepath.Base(r.path) }

// prepare makes the releases: the file of the user, or versions of the sample
// application, of which the third is broken and the fourth mends that.
func (d *demo) prepare(payload string) error {
	if payload != "" {
		return d.addRelease(release{path: payload})
	}
	type version struct {
		version string
		broken  bool
	}
	versions := []version{{"1", false}, {"2", false}, {"3", true}, {"4", false}}
	if d.tamper {
		versions = versions[:1]
	}
	for _, v := range versions {
		module, err := sample.Application(v.version, !v.broken)
		if err != nil {
			return err
		}
		path := filepath.Join(d.dir, "version-"+v.version+".wasm")
		if err := os.WriteFile(path, module, 0o600); err != nil {
			return err
		}
		greeting := fmt.Sprintf("Hello from a Trusted Application, version %s.", v.version)
		if err := d.addRelease(release{path: path, greeting: greeting, selfTest: true, broken: v.broken}); err != nil {
			return err
		}
	}
	return nil
}

// addRelease measures the file.
func (d *demo) addRelease(r release) error {
	f, err := os.Open(r.path)
	if err != nil {
		return fmt.Errorf("payload: %w; name a file that can be read with --payload, or leave it out for a sample", err)
	}
	defer f.Close() // it was only read
	start := make([]byte, 8)
	n, err := io.ReadFull(f, start)
	switch {
	case n == 0 && err == io.EOF:
		return usageError{fmt.Errorf("payload %s is empty; name a file with something in it", r.path)}
	case err != nil && err != io.ErrUnexpectedEOF:
		return fmt.Errorf("payload: %w", err)
	}
	h := sha256.New()
	h.Write(start[:n])
	rest, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	r.size, r.sha256 = int64(n)+rest, hex.EncodeToString(h.Sum(nil))
	r.application = wasm.IsModule(start[:n])
	r.sequence = uint64(len(d.releases) + 1)
	d.releases = append(d.releases, &r)
	return nil
}

func (d *demo) registerPublisher(ctx context.Context) error {
	var err error
	if d.publisher, err = cosekit.CreateKeyFile(filepath.Join(d.dir, "publisher.pem"), cosekit.ESP256); err != nil {
		return err
	}
	if err := d.operator.addPublisher(ctx, "demo publisher", d.publisher.PublicKey(), demoPrefix); err != nil {
		return err
	}
	d.say.line("operator", "registered publisher key %s for %s/…", short(d.publisher.PublicKey()), demoPrefix)
	return nil
}

// publish signs the payload as a publisher would, away from the TAM, and uploads it.
func (d *demo) publish(ctx context.Context, r *release) error {
	description := &author.Description{
		Component:      demoComponent,
		SequenceNumber: r.sequence,
		VendorDomain:   demoVendor,
		ClassInfo:      demoClass,
		Payload:        author.Payload{File: r.path, URIBase: d.server.teepURL + teephttp.PayloadPath},
		SelfTest:       r.selfTest,
	}
	if r.application {
		description.Invoke = new(author.Invoke)
	}
	envelope, err := author.Sign(description, d.publisher)
	if err != nil {
		return err
	}
	manifest, err := envelope.UnverifiedManifest()
	if err != nil {
		return err
	}
	r.manifest = manifest.ComponentID
	if r.envelope, err = envelope.Encode(true); err != nil {
		return err
	}
	d.say.line("publisher", "signed %s (%s) as %s, sequence %d", r.name(), size(r.size), demoComponent, r.sequence)
	if err := d.operator.upload(ctx, r.path); err != nil {
		return err
	}
	if r.digest, err = d.operator.publish(ctx, r.envelope); err != nil {
		return err
	}
	d.say.line("operator", "published manifest %s", r.digest)
	return nil
}
