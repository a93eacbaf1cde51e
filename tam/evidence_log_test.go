package tam_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestEvidenceIsNotLogged: a line of the log is short whatever a message says, and has
// nothing of what came encrypted.
func TestEvidenceIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	current := agreementKey(t)
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.DecryptionKeys.Agreements = []cosekit.AgreementKey{current}
	})
	d := w.device(cosekit.ESP256).enrol()
	secret := strings.Repeat("secret!!", 7000)
	key := localtest.NewKey(localtest.P256, "x")
	for name, set := range map[string]any{
		"in bytes": map[int]any{265: []byte(secret)}, "in text": map[int]any{265: secret}, "short": map[int]any{265: "secret!!"},
	} {
		token := key.Sign1(cosekit.MustMarshal(set), nil, nil)
		for _, payload := range [][]byte{token, sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, token)} {
			hidden := &payload[0] != &token[0]
			log.Reset()
			a := w.process(d.seal(&teep.QueryResponse{Attestation: &teep.AttestationPayload{Format: localtest.PSAFormat, Payload: payload}}))
			if log.Len() == 0 || log.Len() > 2000 || a.Reason == "" {
				t.Errorf("%s: %s, %d bytes in the log", name, a.Reason, log.Len())
			}
			if text := log.String(); hidden && (strings.Contains(text, "secret!!") || strings.Contains(text, fmt.Sprintf("%x", "secret!!"))) {
				t.Errorf("%s: what was encrypted is in the log: %s", name, text)
			}
		}
	}
}
