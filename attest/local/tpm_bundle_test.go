package local

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// bindable are the formats of hardware that knows no key of an agent, and what makes them.
func bindable(t *testing.T) (map[string]func(nonce []byte) []byte, *evidence.Router) {
	t.Helper()
	tpm := localtest.NewTPM(newKey(t, elliptic.P256()))
	amd, intel := localtest.NewMaker("AMD", now), localtest.NewMaker("Intel", now)
	guest, domain := localtest.NewSNP(amd, evidence.VCEK, "chip"), localtest.NewTDX(intel, "platform")
	h := hardware{}
	h.register(t, tpm.Key.Public())
	h.say(t, append(append([]corim.Reference{measured(guest.Measurement), leastTCB(1)}, pcrReferences(tpm)...),
		tdxReferences(domain.MRTD, domain.RTMR, 1)...)...)
	v := New(h, Options{Clock: func() time.Time { return now }, Vendors: VendorRoots{
		AMD: []*x509.Certificate{amd.Root}, Intel: []*x509.Certificate{intel.Root},
	}})
	encode := func(e interface{ Encode() ([]byte, error) }, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	return map[string]func([]byte) []byte{
		evidence.MediaTPM:    func(nonce []byte) []byte { return encode(tpm.Quote(nonce)) },
		evidence.MediaSEVSNP: func(nonce []byte) []byte { return encode(guest.Report(nonce), nil) },
		evidence.MediaTDX:    func(nonce []byte) []byte { return encode(domain.Quote(nonce), nil) },
	}, evidence.NewRouter(evidence.Route{Name: Name, Accepts: Accepts, Verifier: v})
}

// TestBundledHardware binds an agent's key to each kind of hardware, and then spoils what
// binds it.
func TestBundledHardware(t *testing.T) {
	makers, router := bindable(t)
	teep, stranger := testSigner(t, 1).PublicKey(), testSigner(t, 3).PublicKey()
	claims := func() *attest.Claims {
		return &attest.Claims{Profile: attest.ProfileEAT, Nonce: challenge, UEID: ueid, Confirmation: attest.Confirmation{Key: teep}, IssuedAt: now}
	}
	other := map[string]string{
		evidence.MediaTPM: evidence.MediaSEVSNP, evidence.MediaSEVSNP: evidence.MediaTDX, evidence.MediaTDX: evidence.MediaTPM,
	}
	for format, quote := range makers {
		for _, test := range []struct {
			name  string
			wants error // of the router or of Bind; nil for evidence that is good
			make  func() attest.Evidence
		}{
			{"good", nil, func() attest.Evidence { return localtest.Bundle(claims(), format, quote) }},
			{"claims set of another", attest.ErrNonce, func() attest.Evidence {
				c := claims()
				c.Confirmation.Key = stranger
				var theirs []byte
				localtest.Bundle(c, format, func(nonce []byte) []byte { theirs = nonce; return quote(nonce) })
				return localtest.Bundle(claims(), format, func([]byte) []byte { return quote(theirs) })
			}},
			{"quote over the challenge", attest.ErrNonce, func() attest.Evidence {
				return localtest.Bundle(claims(), format, func([]byte) []byte { return quote(challenge) })
			}},
			{"quote over nothing", attest.ErrNonce, func() attest.Evidence {
				return localtest.Bundle(claims(), format, func([]byte) []byte { return quote(nil) })
			}},
			{"key of another agent", attest.ErrKeyBinding, func() attest.Evidence {
				c := claims()
				c.Confirmation.Key = stranger
				return localtest.Bundle(c, format, quote)
			}},
			{"answer to another challenge", attest.ErrNonce, func() attest.Evidence {
				c := claims()
				c.Nonce = bytes.Repeat([]byte{9}, 32)
				e := localtest.Bundle(c, format, quote)
				e.Challenge = challenge
				return e
			}},
			{"no key", attest.ErrProfile, func() attest.Evidence {
				c := claims()
				c.Confirmation = attest.Confirmation{}
				return localtest.Bundle(c, format, quote)
			}},
			{"ueid of another device", attest.ErrDevice, func() attest.Evidence {
				c := claims()
				c.UEID = append([]byte{1}, make([]byte, 16)...)
				return localtest.Bundle(c, format, quote)
			}},
			{"named another format", attest.ErrToken, func() attest.Evidence {
				e := localtest.Bundle(claims(), format, quote)
				e.Format = evidence.BundleFormat(other[format])
				return e
			}},
			{"bundle in a bundle", attest.ErrFormat, func() attest.Evidence {
				e := localtest.Bundle(claims(), format, quote)
				e.Format = evidence.BundleFormat(e.Format)
				return e
			}},
			{"bare quote named a bundle", cosekit.ErrMalformed, func() attest.Evidence {
				return attest.Evidence{Format: evidence.BundleFormat(format), Payload: quote(challenge)[:40], Challenge: challenge}
			}},
		} {
			t.Run(format+"/"+test.name, func(t *testing.T) {
				r, err := router.Appraise(context.Background(), test.make())
				if err == nil {
					err = attest.Bind(r, attest.Binding{Challenge: challenge, Key: teep, UEID: ueid, Now: now, MaxAge: time.Hour})
				}
				if !errors.Is(err, test.wants) {
					t.Fatalf("got %v, want %v", err, test.wants)
				}
				if test.wants == nil && r.Affirmed() != nil {
					t.Errorf("not affirmed: %s", r.Reason())
				}
			})
		}
	}
}
