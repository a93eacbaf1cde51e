package storetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// at is a moment in the suite's own time, to the microsecond.
func at(minutes int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

// publicKey returns the nth key of the suite.
func publicKey(n int) *cosekit.PublicKey {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(n))
	k, err := cosekit.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		panic(err)
	}
	return k
}

// oddComponents are ids that a store may trip over.
var oddComponents = []suit.ComponentID{
	{},
	{[]byte{}},
	{[]byte{}, []byte{}},
	{[]byte{0}},
	{[]byte{0, 0xff, '\'', '"', '%'}},
	{[]byte("app"), []byte("hello")},
	{[]byte("app/hello")},
	{bytes.Repeat([]byte{0xa5}, suit.MaxComponentSize-4)},
}

func deviceID(n int) devices.ID { return devices.ID(fmt.Sprintf("device-%03d", n)) }

func device(n int) devices.Device {
	return devices.Device{
		ID: deviceID(n), UEID: []byte{1, byte(n >> 8), byte(n), 0, 7}, Name: "sensor ☃ 'one'; --", State: devices.Pending, StateReason: "new",
		OEMID: []byte{0x19, 1, 2}, HWModel: []byte{0x41, 0}, HWVersion: "1.0\x00\n", AttestationKey: publicKey(n + 2000).Thumbprint(), EvidenceAt: at(n + 2), CreatedAt: at(n), UpdatedAt: at(n + 1),
		Labels: map[string]string{"site": "hall ☃", "": ""}, QuarantinedBy: "strict@3", Exception: exception(),
		Attestations: devices.AttestationCount{Accepted: 1<<64 - 1, Failed: map[string]uint64{"wrong-nonce": 1, "not-affirming": 1<<64 - 1}},
	}
}

func exception() *devices.Exception {
	return &devices.Exception{
		Policy: "strict@3",
		Until:  at(100), Reason: "a board that was repaired", By: "ann", At: at(50), Appraisal: 1<<63 - 1,
		Elements: []attest.Element{{Submod: "realm", Name: "executables", Value: -128, Reason: "unrecognized"}, {Name: "hardware"}},
		Comparisons: []attest.Comparison{
			{Element: "executables", Submod: "realm", Name: "PCR 7", Measured: "00ff", Expected: []string{"", "ff"}, Source: "corim ☃", Match: true}, {},
		},
	}
}

func agent(device, key int) devices.Agent {
	return devices.Agent{
		Key: publicKey(key), Device: deviceID(device), Numbering: teep.PreIANA, Algorithm: cosekit.LegacyEdDSA, ReportKey: publicKey(key + 1000), Extensions: []uint32{0, 1<<32 - 1},
		CreatedAt: at(1), LastSeen: at(2), AttestedAt: at(3), EvidenceAt: at(5), Repeats: 6, HoldUntil: at(4), HoldReason: "asks too often",
		Noted:         map[string]time.Time{"device-pending": at(6), "☃": at(7)},
		AcceptedUnder: -1 << 63,
	}
}

func digest(n int) suit.Digest { return suit.SumSHA256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func component(name string) suit.ComponentID { return suit.ComponentID{[]byte("app"), []byte(name)} }

func manifest(n int, c suit.ComponentID, sequence uint64) tam.Manifest {
	return tam.Manifest{
		Digest: digest(n), Component: c, Sequence: sequence, Signer: publicKey(n).Thumbprint(), Size: 3,
		Targets:     []tam.Target{{Component: c, ImageDigest: digest(n + 1000), ImageSize: 1<<64 - 1, URI: "https://example.com/a?b=c"}},
		PublishedAt: at(n), PublishedBy: "operator",
	}
}

// composed is a manifest with dependencies, and with signatures of several.
func composed(n int, c suit.ComponentID, sequence uint64) tam.Manifest {
	m := manifest(n, c, sequence)
	m.Signatures = []tam.Signature{
		{Signer: publicKey(n).Thumbprint(), Components: oddComponents},
		{Signer: publicKey(n + 1).Thumbprint(), Components: []suit.ComponentID{c}},
	}
	for i, id := range oddComponents {
		m.Dependencies = append(m.Dependencies, tam.Dependency{Component: id, Digest: digest(i)})
	}
	return m
}

func report(device int, c suit.ComponentID, n int) tam.Report {
	return tam.Report{Device: deviceID(device), Component: c, Manifest: digest(n), At: at(n), Encoded: bytes.Repeat([]byte{0xa0, byte(n)}, 700*n)}
}

func appraisal(device int, when time.Time, reason string) devices.Appraisal {
	return devices.Appraisal{
		Device: deviceID(device), Agent: publicKey(1).Thumbprint(), At: when, Accepted: true, Reason: reason, Code: "stale", Status: -1,
		Vector: []byte(`[{"name":"executables"}]`), Verifier: "local", Genuine: true, Claims: []byte(`{"ueid":"01"}`), Comparisons: []byte(`[]`),
		Outcome: "accept", Policy: "strict@3", Evidence: bytes.Repeat([]byte{0}, 100), Format: "application/eat+cwt", Challenge: []byte{0, 1},
		Result: bytes.Repeat([]byte{1}, 9000), ResultFormat: "application/eat+jwt",
	}
}

func policyVersion(name string, version int) policy.Policy {
	return policy.Policy{
		Name: name, Version: version, Kind: policy.Appraisal, Position: -7, Selector: `device.labels.site == "hall ☃"`, Expression: "true",
		Remediation: "app/fix", Comment: "'; --", CreatedAt: at(version), CreatedBy: "ann",
	}
}

func referenceFile(id string, version uint64) tam.ReferenceFile {
	return tam.ReferenceFile{ID: id, Version: version, Signer: "Acme ☃", Raw: []byte{0, byte(version)}, ImportedAt: at(1), ImportedBy: "ann"}
}

func deviceCA(n int) tam.DeviceCA {
	certificate := binary.BigEndian.AppendUint64(nil, uint64(n))
	return tam.DeviceCA{Fingerprint: sha256.Sum256(certificate), Title: "Acme ☃", Certificate: certificate, Formats: anchor.Formats()[:n%3], AddedAt: at(n), AddedBy: "ann"}
}

func event(subject string) audit.Event {
	return audit.Event{
		At: at(0), Actor: "operator:ann", Action: "device.accepted", Subject: subject, Reason: "known",
		Details: map[string]string{"": "empty", "b": "☃", "a": ""},
	}
}

func update(agent, device, token int) tam.Outstanding {
	return tam.Outstanding{
		Agent: publicKey(agent).Thumbprint(), Device: deviceID(device), Token: []byte{0, byte(token)},
		Manifests: []suit.Digest{digest(1), {Algorithm: suit.SHA512, Bytes: bytes.Repeat([]byte{1}, 64)}}, Unneeded: oddComponents[token%3 : 5], SentAt: at(token), ExpiresAt: at(token + 100),
	}
}

// Fill puts something of everything into an empty store.
func Fill(t testing.TB, store tam.Store) {
	t.Helper()
	err := store.Update(t.Context(), func(tx tam.Tx) error {
		for _, put := range []func() error{
			func() error { return tx.PutDevice(device(1)) },
			func() error { return tx.PutAgent(agent(1, 1)) },
			func() error {
				return tx.ReplaceInventory(deviceID(1), []devices.InventoryItem{{Component: component("a"), Digest: digest(1), Since: at(1)}})
			},
			func() error { return tx.PutComponentStatus(status(1, component("a"))) },
			func() error {
				return tx.PutRequirement(devices.Requirement{Device: deviceID(1), Component: component("a"), CreatedAt: at(1)})
			},
			func() error { return tx.PutRemoval(removal(1, component("b"))) },
			func() error { return tx.PutReport(report(1, component("a"), 1)) },
			func() error { return tx.AddAppraisal(appraisal(1, at(1), "good")) },
			func() error { return tx.AddManifest(manifest(1, component("a"), 1), []byte("env")) },
			func() error { return tx.AddAnchor(trusted(1, anchor.TCSigner)) },
			func() error { return tx.AddAnchor(trusted(2, anchor.ReferenceValues)) },
			func() error { return tx.AddPolicy(policyVersion("strict", 1)) },
			func() error { return tx.AddPolicy(policyVersion("strict", 2)) },
			func() error { return tx.PutGroup(devices.Group{Name: "kiosks", Selector: "true"}) },
			func() error { return tx.AddReferenceFile(referenceFile("acme", 1)) },
			func() error { return tx.AddDeviceCA(deviceCA(1)) },
			func() error { return tx.Spend([]byte("token"), at(1)) },
			func() error { return tx.PutOutstanding(update(1, 1, 1), 1) },
			func() error { return tx.AddTokenKey(tam.TokenKey{ID: 1, Secret: []byte("secret"), CreatedAt: at(1)}) },
			func() error { return tx.AppendEvent(event("device:1")) },
		} {
			if err := put(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("fill the store: %v", err)
	}
}

// postQuantumKey is for manifests and nothing else.
func postQuantumKey(t testing.TB) *cosekit.PublicKey {
	t.Helper()
	signer, err := cosekit.GenerateSigner(cosekit.MLDSA44)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey()
}

func status(device int, c suit.ComponentID) devices.ComponentStatus {
	return devices.ComponentStatus{
		Device: deviceID(device), Component: c, Manifest: digest(1), Sequence: 1<<64 - 1, State: devices.Failed, Reason: "no room",
		Attempts: 3, RetryAfter: at(1), Since: at(2), Held: digest(2), MeasuredAt: at(3),
	}
}

func trusted(key int, purposes ...anchor.Purpose) anchor.Anchor {
	return anchor.Anchor{
		Key: publicKey(key), Title: "Acme", Purposes: purposes, NotBefore: at(1),
		Constraints: anchor.Constraints{
			Components: []suit.ComponentID{{}, component("a")}, VendorIDs: [][]byte{bytes.Repeat([]byte{1}, 16)},
			ClassIDs: [][]byte{{2}, {3}}, Grants: []anchor.Purpose{anchor.TCSigner, anchor.TAM},
			Scopes: []anchor.Scope{
				{Prefix: component("b"), Commands: []suit.CommandCode{suit.DirectiveFetch, -1 << 63}},
				{Prefix: component("c"), Parameters: []suit.ParameterCode{suit.ParameterURI}},
			},
		},
	}
}
