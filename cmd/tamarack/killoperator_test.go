package main

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/api/client"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
)

// duties is what operators do for one device, and how far they have come. What is
// true here was acknowledged.
type duties struct {
	registered bool // its attestation key
	id         string
	accepted   bool
	required   []suit.ComponentID
	wanted     []suit.ComponentID
	again      bool // the next was asked for before, and is perhaps done
}

// serveDuty takes the next step of the operators; false where there is none to take
// before the device has done its part.
func (a *killAgent) serveDuty(ctx context.Context, s *site) (bool, error) {
	var err error
	switch {
	case !a.registered:
		if err = a.register(ctx, s); err == nil {
			a.registered = true
		}
	case !a.enrolled:
		return false, nil
	case a.id == "":
		a.id, err = s.deviceID(ctx, a.hexUEID())
	case !a.accepted:
		if err = a.accept(ctx, s); err == nil {
			a.accepted = true
		}
	case len(a.required) < len(a.wanted):
		next := a.wanted[len(a.required)]
		if err = a.require(ctx, s, next); err == nil {
			a.required = append(a.required, next)
		}
	default:
		return false, nil
	}
	a.again = err != nil
	return true, err
}

func (a *killAgent) register(ctx context.Context, s *site) error {
	r, err := s.api.AddAttestationAnchorWithResponse(ctx, client.NewAttestationAnchor{
		Title: a.name, PublicKey: string(a.attester.PublicKey().PEM()),
	})
	if err != nil {
		return lost(err)
	}
	return done(r.HTTPResponse, r.Body, a.again, "exists")
}

func (s *site) deviceID(ctx context.Context, ueid string) (string, error) {
	r, err := s.api.GetDeviceWithResponse(ctx, ueid)
	if err != nil {
		return "", lost(err)
	}
	if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
		return "", err
	}
	return r.JSON200.Device.ID, nil
}

func (a *killAgent) accept(ctx context.Context, s *site) error {
	r, err := s.api.AcceptDeviceWithResponse(ctx, a.id, client.StateChange{Reason: "campaign"})
	if err != nil {
		return lost(err)
	}
	return done(r.HTTPResponse, r.Body, a.again, "device-state")
}

func (a *killAgent) require(ctx context.Context, s *site, component suit.ComponentID) error {
	r, err := s.api.RequireComponentWithResponse(ctx, a.id, client.NewRequirement{Component: component.String()})
	if err != nil {
		return lost(err)
	}
	return done(r.HTTPResponse, r.Body, false, "")
}

// killPublisher publishes one component, over and over.
type killPublisher struct {
	key       cosekit.Signer
	component suit.ComponentID
	random    *rand.Rand

	next     *publication
	sequence uint64

	// What the TAM has acknowledged.
	payloads  []suit.Digest
	published []*publication
}

// publication is a manifest on its way.
type publication struct {
	payload  []byte // until it is uploaded
	image    suit.Digest
	uploaded bool
	envelope []byte
	digest   suit.Digest
	sequence uint64
	again    bool // asked for before, and perhaps done
}

// work takes the next step: upload a payload, or publish its manifest.
func (p *killPublisher) work(ctx context.Context, s *site) error {
	if p.next == nil {
		p.sequence++
		p.next = &publication{payload: make([]byte, p.size()), sequence: p.sequence}
		cryptorand.Read(p.next.payload)
		p.next.image = suit.SumSHA256(p.next.payload)
	}
	n := p.next
	if !n.uploaded {
		if err := p.upload(ctx, s, n); err != nil {
			return err
		}
		n.uploaded = true
		p.payloads = append(p.payloads, n.image)
		return p.sign(s, n)
	}
	r, err := s.api.PublishManifestWithBodyWithResponse(ctx, suit.MediaTypeEnvelope, bytes.NewReader(n.envelope))
	if err != nil {
		n.again = true
		return lost(err)
	}
	if err := done(r.HTTPResponse, r.Body, n.again, "already-published"); err != nil {
		return err
	}
	p.published = append(p.published, n)
	p.next = nil
	return nil
}

// size is mostly small; now and then, an upload takes a while.
func (p *killPublisher) size() int {
	if p.random.IntN(4) == 0 {
		return 1 + p.random.IntN(1<<19)
	}
	return 1 + p.random.IntN(1<<12)
}

func (p *killPublisher) upload(ctx context.Context, s *site, n *publication) error {
	r, err := s.api.UploadPayloadWithBodyWithResponse(ctx, "application/octet-stream", bytes.NewReader(n.payload))
	if err != nil {
		return lost(err)
	}
	if err := done(r.HTTPResponse, r.Body, false, ""); err != nil {
		return err
	}
	if r.JSON201.Digest != n.image.String() {
		return fmt.Errorf("uploaded %s, the TAM has %s", n.image, r.JSON201.Digest)
	}
	return nil
}

func (p *killPublisher) sign(s *site, n *publication) error {
	manifest, _, err := author.CreateFrom(&author.Description{
		Component: p.component, SequenceNumber: n.sequence, VendorDomain: "tamarack.example", ClassInfo: "campaign",
		Payload: author.Payload{URIBase: s.victim.teepURL + teephttp.PayloadPath},
	}, bytes.NewReader(n.payload))
	if err != nil {
		return err
	}
	envelope, err := suit.Sign(manifest, nil, p.key)
	if err != nil {
		return err
	}
	n.digest, n.payload = envelope.Digest(), nil
	n.envelope, err = envelope.Encode(true)
	return err
}

// newest is the highest sequence number that was acknowledged.
func (p *killPublisher) newest() uint64 {
	if len(p.published) == 0 {
		return 0
	}
	return p.published[len(p.published)-1].sequence
}

// fulfilled reports whether all that is required was installed and confirmed.
func (a *killAgent) fulfilled() bool {
	return len(a.required) == len(a.wanted) && !slices.ContainsFunc(a.wanted, func(c suit.ComponentID) bool {
		for _, h := range a.holds {
			if h.target.Equal(c) && h.confirmed {
				return false
			}
		}
		return true
	})
}
