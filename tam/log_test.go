package tam_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

// An operator who forgot to register a device finds its key and the next step in the log.
func TestDevicesThatOnlyOperatorsCanHelpAreWarnedOf(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *tam.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	known := w.device(cosekit.ESP256).enrol()
	for name, c := range map[string]struct {
		set    func(*device)
		reason tam.Reason
		next   string
	}{
		"unknown attester": {func(d *device) { d.attester = signer(t, cosekit.ESP256) }, tam.ReasonNotAffirmed, "tamctl attestation-anchor add"},
		"another agent":    {func(d *device) { d.ueid = known.ueid }, tam.ReasonSecondKey, "tamctl device show"},
		"another attester": {func(d *device) { d.key, d.ueid, d.attester = known.key, known.ueid, w.anotherAttester() }, tam.ReasonAttestationKey, "tamctl device show"},
	} {
		t.Run(name, func(t *testing.T) {
			w.now.add(tam.Defaults().AttestationMaxAge)
			d := w.device(cosekit.ESP256)
			c.set(d)
			log.Reset()
			d.poll()
			line := log.String()[strings.LastIndex(strings.TrimSpace(log.String()), "\n")+1:]
			for _, want := range []string{"level=WARN", "reason=" + string(c.reason), d.attester.PublicKey().Thumbprint().String(), c.next} {
				expectContains(t, "the last line", line, want)
			}
		})
	}
}
