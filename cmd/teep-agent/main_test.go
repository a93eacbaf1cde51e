package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"teep-agent": main})
}

// TestScripts runs the program as people do, without a network. Each script finds
// public keys in tam.pem, tam.cose, publisher.pem and other.pem, all for ESP256, and
// one for Ed25519 in tam-ed.pem.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			for name, alg := range map[string]cosekit.Algorithm{
				"tam": cosekit.ESP256, "publisher": cosekit.ESP256, "other": cosekit.ESP256, "tam-ed": cosekit.Ed25519,
			} {
				s, err := cosekit.GenerateSigner(alg)
				if err != nil {
					return err
				}
				if err := os.WriteFile(env.Cd+"/"+name+".pem", s.PublicKey().PEM(), 0o600); err != nil {
					return err
				}
				if err := os.WriteFile(env.Cd+"/"+name+".cose", s.PublicKey().COSEKey(), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
