package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

var _ StrictServerInterface = (*server)(nil)

// Bounds of openapi.yaml that the generated code does not check.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxReason    = 1000
)

func (s *server) UploadPayload(ctx context.Context, r UploadPayloadRequestObject) (UploadPayloadResponseObject, error) {
	c := ctx.Value(gin.ContextKey).(*gin.Context)
	digest, size, err := s.fleet.UploadPayload(ctx, s.actor, patient{r.Body, c}, c.Request.ContentLength)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("%w: the body ended early", errMalformed)
	}
	if err != nil {
		return nil, err
	}
	return UploadPayload201JSONResponse{Digest: digest.String(), Size: size}, nil
}

func (s *server) PublishManifest(ctx context.Context, r PublishManifestRequestObject) (PublishManifestResponseObject, error) {
	// One byte more than the cap, for the fleet to refuse.
	envelope, err := io.ReadAll(io.LimitReader(r.Body, s.fleet.MaxEnvelope()+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	m, warnings, err := s.fleet.PublishManifest(ctx, s.actor, envelope)
	if err != nil {
		return nil, err
	}
	out := showManifest(m)
	out.Warnings = warnings
	return PublishManifest201JSONResponse(out), nil
}

func (s *server) ListManifests(ctx context.Context, r ListManifestsRequestObject) (ListManifestsResponseObject, error) {
	page, err := pageOf(r.Params.After, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	if r.Params.Component != nil {
		component, err := suit.ParseComponentID(*r.Params.Component)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
		list, err := s.fleet.ManifestsFor(ctx, component, page.Limit)
		return ListManifests200JSONResponse{Items: show(list, showManifest)}, err
	}
	if _, err := hex.DecodeString(page.After); err != nil {
		return nil, noCursor(page)
	}
	list, err := s.fleet.Manifests(ctx, page)
	if err != nil {
		return nil, err
	}
	out := ListManifests200JSONResponse{Items: show(list, showManifest)}
	if len(list) == page.Limit {
		out.Next = hex.EncodeToString(list[len(list)-1].Digest.Bytes)
	}
	return out, nil
}

func (s *server) GetManifest(ctx context.Context, r GetManifestRequestObject) (GetManifestResponseObject, error) {
	m, err := s.fleet.Manifest(ctx, r.Digest)
	if err != nil {
		return nil, err
	}
	return GetManifest200JSONResponse(showManifest(m)), nil
}

func (s *server) ListDevices(ctx context.Context, r ListDevicesRequestObject) (ListDevicesResponseObject, error) {
	page, err := pageOf(r.Params.After, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	var state DeviceState
	if r.Params.State != nil {
		if state = *r.Params.State; !state.Valid() {
			return nil, fmt.Errorf("%w: there is no device state %q", errMalformed, state)
		}
	}
	if r.Params.Selector != nil {
		return s.selectDevices(ctx, *r.Params.Selector, state, page)
	}
	list, err := s.fleet.Devices(ctx, devices.State(state), page)
	if err != nil {
		return nil, err
	}
	out := ListDevices200JSONResponse{Items: show(list, showDevice)}
	if len(list) == page.Limit {
		out.Next = string(list[len(list)-1].ID)
	}
	return out, nil
}

// selectDevices leaves out what is in another state behind the page, whose cursor stays
// the selector's.
func (s *server) selectDevices(ctx context.Context, selector string, state DeviceState, page tam.Page) (ListDevicesResponseObject, error) {
	found, err := s.fleet.SelectDevices(ctx, selector, page)
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(found.Devices, func(d tam.SeenDevice) bool { return state != "" && d.State != devices.State(state) })
	return ListDevices200JSONResponse{Items: show(list, showDevice), Next: found.Next}, nil
}

func (s *server) GetDevice(ctx context.Context, r GetDeviceRequestObject) (GetDeviceResponseObject, error) {
	d, err := s.fleet.Device(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return GetDevice200JSONResponse(showDetail(d)), nil
}

func (s *server) AcceptDevice(ctx context.Context, r AcceptDeviceRequestObject) (AcceptDeviceResponseObject, error) {
	if err := checkReason(r.Body.Reason); err != nil {
		return nil, err
	}
	d, err := s.fleet.Accept(ctx, s.actor, devices.ID(r.ID), r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return AcceptDevice200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}

func (s *server) RejectDevice(ctx context.Context, r RejectDeviceRequestObject) (RejectDeviceResponseObject, error) {
	if err := checkReason(r.Body.Reason); err != nil {
		return nil, err
	}
	d, err := s.fleet.Reject(ctx, s.actor, devices.ID(r.ID), r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return RejectDevice200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}

func (s *server) RequireComponent(ctx context.Context, r RequireComponentRequestObject) (RequireComponentResponseObject, error) {
	component, err := suit.ParseComponentID(r.Body.Component)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	req, err := s.fleet.Require(ctx, s.actor, devices.ID(r.ID), component)
	if err != nil {
		return nil, err
	}
	return RequireComponent200JSONResponse(showRequirement(req)), nil
}

func (s *server) UnrequireComponent(ctx context.Context, r UnrequireComponentRequestObject) (UnrequireComponentResponseObject, error) {
	component, err := suit.ParseComponentID(r.Params.Component)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if err := s.fleet.Unrequire(ctx, s.actor, devices.ID(r.ID), component); err != nil {
		return nil, err
	}
	return UnrequireComponent204Response{}, nil
}

func (s *server) RemoveComponent(ctx context.Context, r RemoveComponentRequestObject) (RemoveComponentResponseObject, error) {
	component, err := suit.ParseComponentID(r.Body.Component)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	order, err := s.fleet.OrderRemoval(ctx, s.actor, devices.ID(r.ID), component)
	if err != nil {
		return nil, err
	}
	return RemoveComponent200JSONResponse(showRemoval(order)), nil
}

func (s *server) WithdrawRemoval(ctx context.Context, r WithdrawRemovalRequestObject) (WithdrawRemovalResponseObject, error) {
	component, err := suit.ParseComponentID(r.Params.Component)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if err := s.fleet.WithdrawRemoval(ctx, s.actor, devices.ID(r.ID), component); err != nil {
		return nil, err
	}
	return WithdrawRemoval204Response{}, nil
}

func (s *server) ListPublishers(ctx context.Context, _ ListPublishersRequestObject) (ListPublishersResponseObject, error) {
	list, err := s.fleet.Publishers(ctx)
	if err != nil {
		return nil, err
	}
	return ListPublishers200JSONResponse(show(list, showPublisher)), nil
}

func (s *server) AddPublisher(ctx context.Context, r AddPublisherRequestObject) (AddPublisherResponseObject, error) {
	key, err := readKey(r.Body.PublicKey, r.Body.Title, cosekit.ReadManifestKey)
	if err != nil {
		return nil, err
	}
	constraints, err := readConstraints(r.Body)
	if err != nil {
		return nil, err
	}
	a, err := s.fleet.AddPublisher(ctx, s.actor, anchor.Anchor{
		Key: key, Title: r.Body.Title, NotBefore: r.Body.NotBefore, NotAfter: r.Body.NotAfter,
		Constraints: constraints,
	})
	if err != nil {
		return nil, err
	}
	return AddPublisher201JSONResponse(showPublisher(a)), nil
}

func (s *server) ListAttestationAnchors(ctx context.Context, _ ListAttestationAnchorsRequestObject) (ListAttestationAnchorsResponseObject, error) {
	list, err := s.fleet.AttestationAnchors(ctx)
	if err != nil {
		return nil, err
	}
	return ListAttestationAnchors200JSONResponse(show(list, showTrustedKey)), nil
}

func (s *server) AddAttestationAnchor(ctx context.Context, r AddAttestationAnchorRequestObject) (AddAttestationAnchorResponseObject, error) {
	a, err := readAnchor(r.Body)
	if err != nil {
		return nil, err
	}
	if a, err = s.fleet.AddAttestationAnchor(ctx, s.actor, a); err != nil {
		return nil, err
	}
	return AddAttestationAnchor201JSONResponse(showTrustedKey(a)), nil
}

func (s *server) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	page, err := pageOf(r.Params.After, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	var after int64
	if page.After != "" {
		if after, err = strconv.ParseInt(page.After, 10, 64); err != nil || after < 0 {
			return nil, noCursor(page)
		}
	}
	list, err := s.fleet.Events(ctx, after, page.Limit)
	if err != nil {
		return nil, err
	}
	out := ListEvents200JSONResponse{Items: show(list, showEvent)}
	if len(list) == page.Limit {
		out.Next = strconv.FormatInt(list[len(list)-1].Seq, 10)
	}
	return out, nil
}

func (s *server) ListKeys(context.Context, ListKeysRequestObject) (ListKeysResponseObject, error) {
	return ListKeys200JSONResponse(s.keys), nil
}

func (s *server) Health(context.Context, HealthRequestObject) (HealthResponseObject, error) {
	return Health200JSONResponse{Status: "ok"}, nil
}

func pageOf(after *string, limit *int) (tam.Page, error) {
	page := tam.Page{Limit: defaultLimit}
	if after != nil {
		page.After = *after
	}
	if limit != nil {
		page.Limit = *limit
	}
	if page.Limit < 1 || page.Limit > maxLimit {
		return page, fmt.Errorf("%w: a limit of %d, want 1 to %d", errMalformed, page.Limit, maxLimit)
	}
	return page, nil
}

func noCursor(page tam.Page) error {
	return fmt.Errorf("%w: %q is no cursor of this list", errMalformed, page.After)
}

func checkReason(reason string) error {
	if n := utf8.RuneCountInString(reason); n > maxReason {
		return fmt.Errorf("%w: a reason of %d characters, at most %d are taken", errMalformed, n, maxReason)
	}
	return nil
}

// readKey reads the key of a new anchor: PEM, or a COSE_Key in base64. Which keys are
// admitted is what read admits.
func readKey(text, title string, read func([]byte) (*cosekit.PublicKey, error)) (*cosekit.PublicKey, error) {
	if title == "" {
		return nil, fmt.Errorf("%w: the key has no title", errMalformed)
	}
	data := []byte(text)
	if !strings.Contains(text, "-----BEGIN") {
		var err error
		if data, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err != nil {
			return nil, fmt.Errorf("%w: publicKey is neither PEM nor base64", errMalformed)
		}
	}
	key, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("%w: publicKey: %w", errMalformed, err)
	}
	return key, nil
}

// readConstraints wants prefixes or the word that there are none, so that no one lets a
// key sign for everything by leaving something out.
func readConstraints(p *NewPublisher) (c anchor.Constraints, err error) {
	if p.AllComponents != (len(p.Components)+len(p.Scopes) == 0) {
		return c, fmt.Errorf("%w: give either components and scopes or allComponents", errMalformed)
	}
	for _, text := range p.Components {
		id, err := suit.ParseComponentID(text)
		if err != nil {
			return c, fmt.Errorf("%w: %w", errMalformed, err)
		}
		c.Components = append(c.Components, id)
	}
	for _, scope := range p.Scopes {
		read, err := readScope(scope)
		if err != nil {
			return c, fmt.Errorf("%w: scope %q: %w", errMalformed, scope.Component, err)
		}
		c.Scopes = append(c.Scopes, read)
	}
	return c, nil
}

func readScope(given Scope) (s anchor.Scope, err error) {
	if s.Prefix, err = suit.ParseComponentID(given.Component); err != nil {
		return s, err
	}
	for _, name := range given.Commands {
		code, err := suit.ParseCommandCode(name)
		if err != nil {
			return s, err
		}
		s.Commands = append(s.Commands, code)
	}
	for _, name := range given.Parameters {
		code, err := suit.ParseParameterCode(name)
		if err != nil {
			return s, err
		}
		s.Parameters = append(s.Parameters, code)
	}
	return s, nil
}
