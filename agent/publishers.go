package agent

import (
	"time"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// authority says who signed a manifest, and what they may do. It is a
// processor.Authority: dependencies are held against the same anchors as what depends
// on them.
func (a *Agent) authority(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
	now := a.config.Clock()
	v, err := e.Verify(publishers{a.config.Anchors, now}, a.config.Legacy)
	if err != nil {
		return nil, nil, err
	}
	if err := v.Satisfies(a.config.Processing.Signatures); err != nil {
		return nil, nil, err
	}
	return v, a.rights(v, now), nil
}

// publishers are the keys that may sign manifests now.
type publishers struct {
	anchors anchor.Store
	now     time.Time
}

// Lookup implements suit.Keys.
func (p publishers) Lookup(t cosekit.Thumbprint) (*cosekit.PublicKey, bool) {
	one, err := p.anchors.Lookup(t, anchor.TCSigner, p.now)
	return one.Key, err == nil
}

// All implements suit.Keys.
func (p publishers) All() []*cosekit.PublicKey {
	var keys []*cosekit.PublicKey
	for _, one := range p.anchors.For(anchor.TCSigner, p.now) {
		keys = append(keys, one.Key)
	}
	return keys
}

// rights allows what the signers may publish, to a device like this one: components, and
// the commands and parameters that a manifest uses on them. With AnySignature one of them
// is enough for each use; where the rule wants two signatures, the signers that are allowed
// the use have to be enough for it.
func (a *Agent) rights(v *suit.Verified, now time.Time) processor.Rights {
	identity := a.config.Components.Identity()
	var allowed []anchor.Anchor
	for _, signer := range v.Signers() {
		one, err := a.config.Anchors.Lookup(signer, anchor.TCSigner, now)
		if err == nil && one.MayTarget(identity.Vendor[:], identity.Class[:]) {
			allowed = append(allowed, one)
		}
	}
	return func(access processor.Access) bool {
		var keys []*cosekit.PublicKey
		for _, one := range allowed {
			if one.MayUse(access.Component, access.Command, access.Parameter) {
				keys = append(keys, one.Key)
			}
		}
		return a.config.Processing.Signatures.Check(keys) == nil
	}
}
