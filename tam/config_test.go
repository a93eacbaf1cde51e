package tam_test

import (
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/tam"
)

func TestConfigsThatCannotWork(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*tam.Config){
		"no store":               func(c *tam.Config) { c.Store = nil },
		"no verifier":            func(c *tam.Config) { c.Verifier = nil },
		"one suite":              func(c *tam.Config) { c.Signers.Ed25519 = nil },
		"signers exchanged":      func(c *tam.Config) { c.Signers.ESP256, c.Signers.Ed25519 = c.Signers.Ed25519, c.Signers.ESP256 },
		"first contact":          func(c *tam.Config) { c.Policy.FirstContact = "passport" },
		"admission":              func(c *tam.Config) { c.Policy.Admission = "always" },
		"second key":             func(c *tam.Config) { c.Policy.SecondKey = "ignore" },
		"negative lifetime":      func(c *tam.Config) { c.Policy.TokenLifetime = -time.Second },
		"negative bound":         func(c *tam.Config) { c.Policy.Outstanding = -1 },
		"keys that die early":    func(c *tam.Config) { c.Policy.TokenKeyRotation = c.Policy.TokenLifetime + time.Minute },
		"tokens older than keys": func(c *tam.Config) { c.Policy.TokenLifetime = 48 * time.Hour },
		"evidence older still":   func(c *tam.Config) { c.Policy.EvidenceMaxAge = 48 * time.Hour },
	} {
		cfg := w.cfg
		change(&cfg)
		if _, err := tam.New(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEndpointsThatCannotWork(t *testing.T) {
	good := []*tam.Endpoint{{Path: "/tam"}, {Path: "/tam/old_1-2"}}
	if err := tam.CheckEndpoints(good); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"", "/", "tam", "/tam/", "//tam", "/a/../b", "/:a", "/*a", "/tä", "/a b", "/a%20b", "/" + string(make([]byte, 255))} {
		if err := tam.CheckEndpoints([]*tam.Endpoint{{Path: path}}); err == nil {
			t.Errorf("path %q: no error", path)
		}
	}
}
