package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/broker"
	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// Options are what the caller of Open may choose. The zero value is sound.
type Options struct {
	// Observe sees each step of a session as it happens.
	Observe func(agent.Event)
	// Steps sees each command of a manifest when it has ended; nil: nobody does.
	Steps func(processor.Step)
	Clock func() time.Time // time.Now where nil
}

// Device is an agent with its broker and its TEE, and the only user of its directory.
type Device struct {
	dir      string
	settings Settings
	keys     keys
	public   *cosekit.PublicKey // of what signs the evidence; nil where its maker vouches for it
	anchors  anchor.Store
	store    *tee.Store
	agent    *agent.Agent
	broker   *broker.Broker
	clock    func() time.Time
	observe  func(agent.Event)
}

// Open takes the device in dir for this process. tee.ErrLocked where another has it,
// ErrNoDevice where there is none.
func Open(dir string, o Options) (*Device, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	d, err := load(dir)
	if err != nil {
		return nil, err
	}
	if o.Observe == nil {
		o.Observe = func(agent.Event) {}
	}
	d.clock, d.observe = o.Clock, o.Observe
	if d.store, err = tee.Open(filepath.Join(dir, storeDir), d.settings.Identity.processor()); err != nil {
		return nil, err
	}
	if err := d.assemble(o); err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	return d, nil
}

// Read looks at the device in dir, which another process may be using. It can tell
// its status, and neither poll nor change anything.
func Read(dir string) (*Device, error) {
	d, err := load(dir)
	if err != nil {
		return nil, err
	}
	if d.store, err = tee.Read(filepath.Join(dir, storeDir), d.settings.Identity.processor()); err != nil {
		return nil, err
	}
	return d, nil
}

func load(dir string) (*Device, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	path := SettingsPath(dir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoDevice)
	}
	settings, err := loadSettings(path)
	if err != nil {
		return nil, err
	}
	d := &Device{dir: dir, settings: settings}
	data, err := os.ReadFile(filepath.Join(dir, anchorsFile))
	if err != nil {
		return nil, err
	}
	if d.anchors, err = anchor.DecodeStore(data); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, anchorsFile), err)
	}
	if d.keys, err = loadKeys(dir, settings.Attestation.Attester); err != nil {
		return nil, err
	}
	switch settings.Attestation.Attester {
	case AttesterTSM:
	case AttesterTPM:
		d.public, err = readPublicKey(dir)
	default:
		d.public = d.keys.attestation.PublicKey()
	}
	return d, err
}

func (d *Device) assemble(o Options) error {
	s := d.settings
	client, err := broker.NewClient(s.TAM.URL, s.TAM.CAFile, s.Poll.Timeout)
	if err != nil {
		return err
	}
	transport, err := broker.NewTransport(s.TAM.CAFile)
	if err != nil {
		return err
	}
	reports, err := s.TAM.reportKey()
	if err != nil {
		return err
	}
	evidenceTo, err := s.TAM.evidenceKey()
	if err != nil {
		return err
	}
	demanded, err := d.tamAttestation(o.Clock)
	if err != nil {
		return err
	}
	secrets, err := s.Manifests.secretKeys()
	if err != nil {
		return err
	}
	attester, err := d.newAttester(o.Clock)
	if err != nil {
		return err
	}
	limits := s.limits()
	d.agent, err = agent.New(agent.Config{
		TAM: s.TAM.URL, Numbering: s.TAM.Numbering, Legacy: cosekit.LegacyPolicy(s.TAM.Legacy),
		Key: d.keys.message, ReportKey: d.keys.report, Anchors: d.anchors,
		Components: d.store, Memory: d.store,
		Attester: attester, Clock: o.Clock, Observe: o.Observe, Reports: reports, EvidenceTo: evidenceTo,
		TAMAttestation: demanded, Results: d.results(o.Clock), Passports: s.Attestation.Passport, UEID: s.Identity.UEID,
		Processing: agent.Processing{
			Signatures: suit.SignatureRule(s.Manifests.Signatures), Mode: s.Manifests.mode(), Limits: &limits,
			Fetcher: processor.NewHTTPFetcher(&http.Client{Transport: transport, Timeout: s.Poll.Download}, processor.StallTimeout(s.Poll.Stall)),
			Keys:    cosekit.DecryptionKeys{Secrets: secrets, Agreements: d.keys.agreements()},
			Invoke:  d.invoke, Circumstances: s.Conditions.circumstances(o.Clock), Custom: d.custom(),
			Names: author.CommandNames, Observe: o.Steps,
		},
	})
	if err != nil {
		return err
	}
	d.broker, err = broker.New(broker.Config{
		TAM: s.TAM.URL, Client: client, Agent: d.agent, Observe: o.Observe,
		Clock: o.Clock, Wait: wait, Random: rand.Float64,
	})
	return err
}

func wait(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// processor returns what manifests may ask of the identity.
func (i Identity) processor() processor.Identity {
	id := processor.Identity{Vendor: i.Vendor, Class: i.Class}
	if i.Device != nil {
		id.Device = *i.Device
	}
	return id
}

// claims returns what evidence says of the identity.
func (i Identity) claims() attest.Claims {
	return attest.Claims{UEID: i.UEID, OEMID: i.OEMID.Claim(), HWModel: []byte(i.Model), HWVersion: i.HWVersion}
}

// Poll holds one session with the TAM and records how it ended. See broker.Poll for
// its errors.
func (d *Device) Poll(ctx context.Context) (broker.Result, error) {
	result, err := d.broker.Poll(ctx)
	return result, errors.Join(err, d.record(result, err))
}

// Run polls until ctx ends, and then returns nil; or until the store must be opened
// again (tee.ErrBroken), and then returns why. Done is called after each session.
func (d *Device) Run(ctx context.Context, done func(broker.Result, error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var broken error
	err := d.broker.Run(ctx, d.settings.Poll.Interval, d.settings.Poll.Jitter, func(r broker.Result, err error) {
		unkept := d.record(r, err)
		done(r, errors.Join(err, unkept))
		if errors.Is(unkept, tee.ErrBroken) {
			broken = unkept
			stop()
		}
	})
	return errors.Join(err, broken)
}

func (d *Device) record(r broker.Result, err error) error {
	p := tee.Poll{At: d.clock(), Outcome: fmt.Sprintf("%d messages received, %d sent", r.Received, r.Sent)}
	if r.Reason != "" {
		p.Outcome += fmt.Sprintf("; the TAM says %q", r.Reason)
	}
	if err != nil {
		p.Outcome, p.Failed = err.Error(), true
	}
	return d.store.RecordPoll(p)
}

// Agent returns the agent, for RequestTA and UnrequestTA.
func (d *Device) Agent() *agent.Agent { return d.agent }

// Invoke runs the application of an installed manifest until it ends; see agent.Invoke.
func (d *Device) Invoke(ctx context.Context, manifest suit.ComponentID) error {
	_, err := d.agent.Invoke(ctx, manifest)
	return err
}

// Unneeded returns the installed manifests that the TAM is asked to unlink.
func (d *Device) Unneeded() []suit.ComponentID { return d.store.Unneeded() }

// Lacking reports whether the device holds nothing, or asks for what it does not hold.
func (d *Device) Lacking() bool {
	return len(d.store.Manifests()) == 0 || len(d.store.Requests()) > 0
}

// AttestationKey returns the public key that the TAM needs to know as an attester's, or
// certificates of. Nil for hardware whose maker vouches for its key.
func (d *Device) AttestationKey() *cosekit.PublicKey { return d.public }

// Settings returns what config.yaml says.
func (d *Device) Settings() Settings { return d.settings }

// Close ends the use of the directory.
func (d *Device) Close() error { return d.store.Close() }
