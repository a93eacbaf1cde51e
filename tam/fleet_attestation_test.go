package tam_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

const operator = "operator:test"

// comparing makes a verifier hold what is measured of app/hello against one image.
func comparing(c *tam.Config) {
	honest := c.Verifier
	c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
		r, err := honest.Appraise(ctx, e)
		if err != nil || r.Claims == nil {
			return r, err
		}
		for _, m := range r.Claims.Measured() {
			good := m.ImageDigest.Equal(sum("image"))
			r.Comparisons = append(r.Comparisons, attest.Comparison{
				Element: attest.Executables, Name: "image-digest of " + m.Component.String(), Measured: m.ImageDigest.String(),
				Expected: []string{sum("image").String()}, Source: "release@1", Match: good,
			})
			value := int8(2)
			if !good {
				value = 96
			}
			for i := range r.Vector {
				if r.Vector[i].Name == attest.Executables {
					r.Vector[i].Value, r.Vector[i].Reason = value, "compared"
				}
			}
		}
		r.Status = attest.StatusOf(r.Vector)
		return r, nil
	})
}

// must returns the value of what has to go well.
func good[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOperatorQuarantinesAndReleases(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	f, id := w.fleet(), d.record().ID
	_, err := f.Quarantine(t.Context(), operator, id, "")
	expect(t, "without a reason", errors.Is(err, tam.ErrNoReason), true)
	_, err = f.Release(t.Context(), operator, id, "why not")
	expect(t, "released from nothing", errors.Is(err, tam.ErrDeviceState), true)
	good(f.Quarantine(t.Context(), operator, id, "smoke"))
	expect(t, "state", d.record().State, devices.Quarantined)
	_, err = f.Quarantine(t.Context(), operator, id, "again")
	expect(t, "twice", errors.Is(err, tam.ErrDeviceState), true)
	_, err = f.Quarantine(t.Context(), operator, "nobody", "smoke")
	expect(t, "unknown", errors.Is(err, tam.ErrNotFound), true)

	asked := 0
	for range 30 {
		w.now.add(time.Minute)
		switch story := d.poll(); story {
		case "token, challenge, end device-quarantined":
			asked++
		case "token, end device-quarantined":
		default:
			t.Fatalf("in quarantine: %s", story)
		}
	}
	expect(t, "asked for evidence now and then", asked > 3 && asked < 12, true)
	expect(t, "good evidence does not release it", d.record().State, devices.Quarantined)

	good(f.Release(t.Context(), operator, id, "no fire"))
	last := w.lastEvent()
	expect(t, "audited", string(last.Action)+" "+last.Reason+" "+last.Details["was"], "device.released no fire smoke")
	expect(t, "at once", d.poll(), "token, challenge, update, end")
	refused := w.reasons("operator.refused")
	expect(t, "refusals on record", refused["no-reason"] == 1 && refused["device-state"] == 2 && refused["not-found"] == 1, true)
}

// An exception covers what was wrong when it was granted, until its end, and no more.
func TestExceptionCoversWhatIsKnown(t *testing.T) {
	w := newWorld(t, comparing)
	d := w.device(cosekit.ESP256).enrol()
	f, id := w.fleet(), d.record().ID
	end := w.now.Now().Add(2 * time.Hour)
	_, err := f.AcceptUntil(t.Context(), operator, id, end, "nothing is wrong")
	expect(t, "without a fault", errors.Is(err, tam.ErrBadException), true)

	d.installed["app/hello"] = sum("another image")
	w.now.add(tam.Defaults().AttestationMaxAge)
	end = w.now.Now().Add(2 * time.Hour)
	expect(t, "a fault", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
	for name, refuse := range map[string]func() error{
		"no reason": func() error { _, err := f.AcceptUntil(t.Context(), operator, id, end, ""); return err },
		"past":      func() error { _, err := f.AcceptUntil(t.Context(), operator, id, w.now.Now(), "why"); return err },
		"too far": func() error {
			_, err := f.AcceptUntil(t.Context(), operator, id, end.AddDate(2, 0, 0), "why")
			return err
		},
		"unknown device": func() error { _, err := f.AcceptUntil(t.Context(), operator, "nobody", end, "why"); return err },
	} {
		if _, refused := tam.RefusalCode(refuse()); !refused {
			t.Errorf("%s is not refused", name)
		}
	}
	for d.poll() != "token, end agent-repeating" {
	}
	good(f.AcceptUntil(t.Context(), operator, id, end, "a field trial"))
	expectContains(t, "faults on record", w.lastEvent().Details["faults"], "executables 96")
	expect(t, "under the exception", d.poll(), "token, challenge, end nothing-to-do")
	list := good(f.Appraisals(t.Context(), tam.AppraisalQuery{Device: id, Limit: 1}))
	expect(t, "by", list[0].Policy, "exception")
	expect(t, "a cheap poll", d.poll(), "token, end nothing-to-do")

	d.installed["app/hello"] = sum("a third image")
	w.now.add(time.Hour)
	agent := d.agent()
	agent.AttestedAt = time.Time{}
	w.update(func(tx tam.Tx) error { return tx.PutAgent(agent) })
	expect(t, "another fault", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
	expectContains(t, "it names that fault", w.eventOf(audit.AttestationFailed).Details["detail"],
		"not covered by the exception: image-digest of app/hello is "+sum("a third image").String())
	d.installed["app/hello"] = sum("another image")
	expect(t, "the known one again", d.poll(), "token, challenge, end nothing-to-do")
	w.now.add(time.Hour)
	expect(t, "when it has ended", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED not-affirmed")

	good(f.EndException(t.Context(), operator, id, "trial is over"))
	expect(t, "gone", d.record().Exception == nil, true)
	_, err = f.EndException(t.Context(), operator, id, "twice")
	expect(t, "gone already", errors.Is(err, tam.ErrNotFound), true)
}

// Nobody can accept evidence that is not genuine.
func TestNoExceptionForForgery(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	d.attester = signer(t, cosekit.ESP256)
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "forged", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
	_, err := w.fleet().AcceptUntil(t.Context(), operator, d.record().ID, w.now.Now().Add(time.Hour), "please")
	expect(t, "refused", errors.Is(err, tam.ErrBadException), true)
}

func TestAttestationDiffNamesTheClaim(t *testing.T) {
	w := newWorld(t, routed, comparing)
	d := w.device(cosekit.ESP256)
	d.installed["app/hello"] = sum("image")
	d.enrol()
	id := d.record().ID
	d.installed["app/hello"] = sum("tampered")
	w.now.add(tam.Defaults().AttestationMaxAge)
	d.poll()
	diff := good(w.fleet().AttestationDiff(t.Context(), id, 0, 0))
	var found *tam.AttestationChange
	for i, c := range diff.Changes {
		if c.Name == "image-digest of app/hello" {
			found = &diff.Changes[i]
		}
		if strings.HasPrefix(c.Name, "eat_nonce") || strings.HasPrefix(c.Name, "iat") {
			t.Errorf("%s differs always", c.Name)
		}
	}
	if found == nil {
		t.Fatalf("no change of the digest in %+v", diff.Changes)
	}
	expect(t, "before", found.Before, sum("image").String())
	expect(t, "after", found.After, sum("tampered").String())
	expect(t, "expected", strings.Join(found.Expected, ","), sum("image").String())
	expect(t, "wrong", found.Wrong, true)
	expect(t, "source", found.Source, "release@1")

	other := w.device(cosekit.Ed25519)
	other.enrol()
	_, err := w.fleet().AttestationDiff(t.Context(), other.record().ID, diff.From.ID, diff.To.ID)
	expect(t, "another device's", errors.Is(err, tam.ErrNotFound), true)
	_, err = w.fleet().AttestationDiff(t.Context(), other.record().ID, 0, 0)
	expect(t, "no earlier one", errors.Is(err, tam.ErrNoAppraisal), true)
}

func TestLabels(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	f, id := w.fleet(), d.record().ID
	good(f.SetLabels(t.Context(), operator, id, map[string]string{"site": "hall 3", "line": "b"}))
	expect(t, "kept", d.record().Labels["site"], "hall 3")
	n := w.events(audit.DeviceLabelled)
	good(f.SetLabels(t.Context(), operator, id, map[string]string{"line": "b", "site": "hall 3"}))
	expect(t, "the same is no event", w.events(audit.DeviceLabelled), n)
	good(f.SetLabels(t.Context(), operator, id, nil))
	expect(t, "before", w.lastEvent().Details["before"], "line=b,site=hall 3")
	for name, labels := range map[string]map[string]string{
		"no name": {"": "x"}, "upper case": {"Site": "x"}, "long name": {strings.Repeat("a", 64): "x"},
		"control": {"site": "a\nb"}, "long value": {"site": strings.Repeat("a", 64)}, "not text": {"site": "\xff"},
	} {
		_, err := f.SetLabels(t.Context(), operator, id, labels)
		expect(t, name, errors.Is(err, tam.ErrBadLabels), true)
	}
}

func certificate(t *testing.T, now time.Time, change func(*x509.Certificate)) []byte {
	t.Helper()
	key := good(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "devices"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	change(template)
	return good(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

func TestDeviceCAs(t *testing.T) {
	w := newWorld(t)
	f := w.fleet()
	der := certificate(t, w.now.Now(), func(*x509.Certificate) {})
	good(f.AddDeviceCA(t.Context(), operator, "factory", der))
	expect(t, "subject on record", w.lastEvent().Details["subject"], "CN=devices")
	_, err := f.AddDeviceCA(t.Context(), operator, "factory", der)
	expect(t, "twice", errors.Is(err, tam.ErrExists), true)
	expect(t, "listed", len(good(f.DeviceCAs(t.Context()))), 1)
	trust := tam.NewTrust(w.store, w.now.Now, 0)
	expect(t, "trusted", len(good(trust.DeviceCAs(t.Context(), anchor.FormatEAT))), 1)
	expect(t, "trusted for roots of trust", len(good(trust.DeviceCAs(t.Context(), anchor.FormatPSA))), 0)
	hardware := certificate(t, w.now.Now(), func(c *x509.Certificate) { c.Subject.CommonName = "hardware" })
	good(f.AddDeviceCA(t.Context(), operator, "hardware", hardware, anchor.FormatPSA, anchor.FormatTPM))
	for format, want := range map[anchor.Format]int{anchor.FormatEAT: 1, anchor.FormatPSA: 1, anchor.FormatTPM: 1, anchor.FormatCCA: 0} {
		expect(t, "trusted for "+string(format), len(good(trust.DeviceCAs(t.Context(), format))), want)
	}
	_, err = f.AddDeviceCA(t.Context(), operator, "twice", certificate(t, w.now.Now(), func(*x509.Certificate) {}), anchor.FormatPSA, anchor.FormatPSA)
	expect(t, "a format twice", errors.Is(err, tam.ErrBadCertificate), true)
	for name, bad := range map[string][]byte{
		"no certificate": []byte("junk"), "too large": make([]byte, 20<<10),
		"of a device": certificate(t, w.now.Now(), func(c *x509.Certificate) { c.IsCA = false }),
		"expired": certificate(t, w.now.Now(), func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = w.now.Now().Add(-2*time.Hour), w.now.Now().Add(-time.Hour)
		}),
		"other usage": certificate(t, w.now.Now(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }),
	} {
		_, err := f.AddDeviceCA(t.Context(), operator, "factory", bad)
		expect(t, name, errors.Is(err, tam.ErrBadCertificate), true)
	}
	fingerprint := sha256.Sum256(der)
	expect(t, "no reason", errors.Is(f.DeleteDeviceCA(t.Context(), operator, fingerprint, ""), tam.ErrNoReason), true)
	expect(t, "deleted", f.DeleteDeviceCA(t.Context(), operator, fingerprint, "leaked"), nil)
	expect(t, "deleted twice", errors.Is(f.DeleteDeviceCA(t.Context(), operator, fingerprint, "leaked"), tam.ErrNotFound), true)
	expect(t, "trusted no longer", len(good(trust.DeviceCAs(t.Context(), anchor.FormatEAT))), 0)
}

// TestReferenceProducts: who signs reference values is held to the products that an operator
// has said, as a file is imported and for as long as it is in use.
func TestReferenceProducts(t *testing.T) {
	w := newWorld(t)
	f := w.fleet()
	maker, other := signer(t, cosekit.Ed25519), signer(t, cosekit.Ed25519)
	device, foreign := localtest.NewPSA("one"), localtest.NewPSA("one")
	foreign.ImplementationID = make([]byte, 32)
	narrow := anchor.Constraints{Products: []string{fmt.Sprintf("class=psa.impl-id:%x", device.ImplementationID)}}
	_, err := f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: maker.PublicKey(), Constraints: anchor.Constraints{Products: []string{"Acme"}}})
	expect(t, "no product", errors.Is(err, tam.ErrBadAnchor), true)
	good(f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: maker.PublicKey(), Constraints: narrow}))
	good(f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: other.PublicKey()}))

	_, err = f.ImportReferences(t.Context(), operator, good(foreign.Published("two").Sign(maker, "maker")))
	expect(t, "of another's product", errors.Is(err, corim.ErrScope) && errors.Is(err, tam.ErrBadReferences), true)
	good(f.ImportReferences(t.Context(), operator, good(device.Published("one").Sign(maker, "maker"))))
	good(f.ImportReferences(t.Context(), operator, good(foreign.Published("two").Sign(other, "other"))))

	trust := tam.NewTrust(w.store, w.now.Now, 0)
	inForce := func(want int) {
		t.Helper()
		references, _ := good(trust.References(t.Context())).Len()
		expect(t, "in force", references, want)
	}
	inForce(4)
	expect(t, "removed", f.RemoveAnchor(t.Context(), operator, other.PublicKey().Thumbprint(), "left"), nil)
	inForce(2)
	good(f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: other.PublicKey()}))
	inForce(4)
	expect(t, "removed", f.RemoveAnchor(t.Context(), operator, other.PublicKey().Thumbprint(), "too wide"), nil)
	good(f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: other.PublicKey(), Constraints: narrow}))
	inForce(2)
}

// TestReferencesBeginAndEnd: nothing is read again for time that passes, and still each file
// counts when it should.
func TestReferencesBeginAndEnd(t *testing.T) {
	w := newWorld(t)
	f := w.fleet()
	maker := signer(t, cosekit.Ed25519)
	good(f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: maker.PublicKey()}))
	u := localtest.NewPSA("one").Published("one")
	u.NotBefore, u.NotAfter = w.now.Now().Add(-time.Minute).Truncate(time.Second), w.now.Now().Add(time.Hour).Truncate(time.Second)
	good(f.ImportReferences(t.Context(), operator, good(u.Sign(maker, "maker"))))
	at := u.NotAfter
	trust := tam.NewTrust(w.store, func() time.Time { return at }, 0)
	for _, c := range []struct {
		at   time.Time
		want int
	}{
		{u.NotAfter, 2}, {u.NotAfter.Add(1), 0}, {u.NotBefore, 2}, {u.NotBefore.Add(-1), 0}, {u.NotBefore.Add(time.Minute), 2}, {u.NotAfter.Add(24 * time.Hour), 0},
	} {
		at = c.at
		references, _ := good(trust.References(t.Context())).Len()
		expect(t, c.at.String(), references, c.want)
	}
}

func TestReferenceFiles(t *testing.T) {
	w := newWorld(t)
	f := w.fleet()
	maker, stranger := signer(t, cosekit.Ed25519), signer(t, cosekit.ESP256)
	good(f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: maker.PublicKey(), Title: "maker"}))
	u := localtest.NewPSA("one").Published("one")
	raw := good(u.Sign(maker, "maker"))
	kept := good(f.ImportReferences(t.Context(), operator, raw))
	trust := tam.NewTrust(w.store, w.now.Now, 0)
	references, keys := good(trust.References(t.Context())).Len()
	expect(t, "in force", references == 2 && keys == 1, true)
	_, err := f.ImportReferences(t.Context(), operator, raw)
	expect(t, "twice", errors.Is(err, tam.ErrExists), true)
	for name, bad := range map[string][]byte{
		"junk": []byte("junk"), "by a stranger": good(u.Sign(stranger, "maker")), "unsigned": good(u.Encode()), "too large": make([]byte, 5<<20),
	} {
		_, err := f.ImportReferences(t.Context(), operator, bad)
		expect(t, name, errors.Is(err, tam.ErrBadReferences), true)
	}
	conflict := localtest.NewPSA("one").Published("one")
	conflict.References[0].Digests[0].Value = make([]byte, 32)
	_, err = f.ImportReferences(t.Context(), operator, good(conflict.Sign(maker, "maker")))
	_, refused := tam.RefusalCode(err)
	expect(t, "another content of the same version", refused, true)
	expect(t, "deleted", f.DeleteReferences(t.Context(), operator, kept.ID, kept.Version, "withdrawn"), nil)
	references, _ = good(trust.References(t.Context())).Len()
	expect(t, "no longer in force", references, 0)
	expect(t, "files", len(good(f.ReferenceFiles(t.Context()))), 0)

	expect(t, "signer removed", f.RemoveAnchor(t.Context(), operator, maker.PublicKey().Thumbprint(), "left"), nil)
	_, err = f.ImportReferences(t.Context(), operator, raw)
	expect(t, "by who was trusted before", errors.Is(err, tam.ErrBadReferences), true)
	expect(t, "a publisher is not removed here", errors.Is(f.RemoveAnchor(t.Context(), operator, w.publisher.PublicKey().Thumbprint(), "x"), tam.ErrBadAnchor), true)
	expect(t, "without a reason", errors.Is(f.RemoveAnchor(t.Context(), operator, w.attester.PublicKey().Thumbprint(), ""), tam.ErrNoReason), true)
	expect(t, "unknown", errors.Is(f.RemoveAnchor(t.Context(), operator, stranger.PublicKey().Thumbprint(), "x"), tam.ErrNotFound), true)
}

// A verifier that is no longer trusted is not, from the next message on.
func TestVerifiersComeAndGo(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	w.ep.Passport = true
	v := w.verifier(cosekit.ESP256, false)
	d := w.device(cosekit.ESP256)
	show := func() tam.Reason { return d.present(v.issue(d, ear.FormTEEP, nil)).Reason }
	expect(t, "before", show(), tam.ReasonResultSignature)
	good(w.fleet().AddVerifier(t.Context(), operator, anchor.Anchor{Key: v.key.PublicKey(), Title: "elsewhere"}))
	expect(t, "listed", len(good(w.fleet().Verifiers(t.Context()))), 1)
	expect(t, "trusted", show(), "device-pending")
	expect(t, "removed", w.fleet().RemoveAnchor(t.Context(), operator, v.key.PublicKey().Thumbprint(), "gone"), nil)
	answer := d.present(v.issue(d, ear.FormTEEP, nil))
	expect(t, "after", answer.Reason, tam.ReasonResultSignature)
	expect(t, "the agent is told", d.open(answer.Body).(*teep.Update).ErrCode, teep.AttestationRequired)
}

// What was accepted and is affirming needs no exception, whatever was compared with nothing.
func TestNoExceptionForWhatPassed(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) {
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			r, err := honest.Appraise(ctx, e)
			if err == nil {
				r.Comparisons = append(r.Comparisons, attest.Comparison{Element: attest.Configuration, Name: "PCR 2", Measured: "00"})
			}
			return r, err
		})
	})
	d := w.device(cosekit.ESP256).enrol()
	_, err := w.fleet().AcceptUntil(t.Context(), operator, d.record().ID, w.now.Now().Add(time.Hour), "to be sure")
	expect(t, "refused", errors.Is(err, tam.ErrBadException), true)
}
