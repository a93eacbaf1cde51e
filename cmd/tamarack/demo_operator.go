package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// operator does over the API what a person would with tamctl.
type operator struct{ api *client.ClientWithResponses }

func newOperator(url, tokenFile string) (*operator, error) {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, err
	}
	authorize := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		return nil
	}
	api, err := client.NewClientWithResponses(url, client.WithRequestEditorFn(authorize))
	return &operator{api}, err
}

// answered turns anything but the answer that was hoped for into an error.
func answered(r *http.Response, body []byte, err error) error {
	if err != nil {
		return err
	}
	if r.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", r.Request.Method, r.Request.URL.Path, r.Status, bytes.TrimSpace(body))
	}
	return nil
}

func (o *operator) addPublisher(ctx context.Context, title string, key *cosekit.PublicKey, prefix string) error {
	r, err := o.api.AddPublisherWithResponse(ctx, client.NewPublisher{
		Title: title, PublicKey: string(key.PEM()), Components: []string{prefix},
	})
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) addAttestationAnchor(ctx context.Context, title string, key *cosekit.PublicKey) error {
	r, err := o.api.AddAttestationAnchorWithResponse(ctx, client.NewAttestationAnchor{
		Title: title, PublicKey: string(key.PEM()),
	})
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) upload(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	r, err := o.api.UploadPayloadWithBodyWithResponse(ctx, "application/octet-stream", f)
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) publish(ctx context.Context, envelope []byte) (digest string, err error) {
	r, err := o.api.PublishManifestWithBodyWithResponse(ctx, suit.MediaTypeEnvelope, bytes.NewReader(envelope))
	if err != nil {
		return "", err
	}
	if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
		return "", err
	}
	return r.JSON201.Digest, nil
}

func (o *operator) findDevice(ctx context.Context, ueid string) (id, state string, err error) {
	params := &client.ListDevicesParams{}
	for {
		r, err := o.api.ListDevicesWithResponse(ctx, params)
		if err != nil {
			return "", "", err
		}
		if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
			return "", "", err
		}
		for _, d := range r.JSON200.Items {
			if d.UEID == ueid {
				return d.ID, string(d.State), nil
			}
		}
		if r.JSON200.Next == "" {
			return "", "", fmt.Errorf("the TAM knows no device with ueid %s", ueid)
		}
		params.After = &r.JSON200.Next
	}
}

func (o *operator) accept(ctx context.Context, id string) error {
	r, err := o.api.AcceptDeviceWithResponse(ctx, id, client.StateChange{Reason: "demo"})
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) require(ctx context.Context, id string, component suit.ComponentID) error {
	r, err := o.api.RequireComponentWithResponse(ctx, id, client.NewRequirement{Component: component.String()})
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

// status is how far the TAM has a release on the device; nil where it was not offered.
func (o *operator) status(ctx context.Context, dev *demoDevice, r *release) (*client.ComponentStatus, error) {
	found, err := o.device(ctx, dev)
	if err != nil {
		return nil, err
	}
	for _, c := range found.Components {
		if c.Manifest == r.digest {
			return &c, nil
		}
	}
	return nil, nil
}

func state(s *client.ComponentStatus) string {
	if s == nil {
		return "nothing offered"
	}
	return string(s.State)
}

func (o *operator) device(ctx context.Context, dev *demoDevice) (*client.DeviceDetail, error) {
	r, err := o.api.GetDeviceWithResponse(ctx, dev.id)
	if err != nil {
		return nil, err
	}
	return r.JSON200, answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) addReferenceProvider(ctx context.Context, title string, key *cosekit.PublicKey) error {
	r, err := o.api.AddReferenceProviderWithResponse(ctx, client.NewTrustedKey{Title: title, PublicKey: string(key.PEM())})
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) importReferenceValues(ctx context.Context, corim []byte) error {
	r, err := o.api.ImportReferenceValuesWithBodyWithResponse(ctx, "application/rim+cbor", bytes.NewReader(corim))
	if err != nil {
		return err
	}
	return answered(r.HTTPResponse, r.Body, nil)
}

func (o *operator) try(ctx context.Context, p client.NewPolicy) (*client.PolicyTrial, error) {
	r, err := o.api.TryPolicyWithResponse(ctx, nil, p)
	if err != nil {
		return nil, err
	}
	return r.JSON200, answered(r.HTTPResponse, r.Body, nil)
}

// addPolicy returns how decisions name the policy.
func (o *operator) addPolicy(ctx context.Context, p client.NewPolicy) (string, error) {
	r, err := o.api.AddPolicyWithResponse(ctx, p)
	if err != nil {
		return "", err
	}
	if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s@%d", r.JSON200.Name, r.JSON200.Version), nil
}

func (o *operator) diff(ctx context.Context, dev *demoDevice) (*client.AttestationDiff, error) {
	r, err := o.api.DiffAttestationsWithResponse(ctx, dev.id, nil)
	if err != nil {
		return nil, err
	}
	return r.JSON200, answered(r.HTTPResponse, r.Body, nil)
}

// happened reports whether the audit log has such an event.
func (o *operator) happened(ctx context.Context, action, subject string) (bool, error) {
	params := &client.ListEventsParams{}
	for {
		r, err := o.api.ListEventsWithResponse(ctx, params)
		if err != nil {
			return false, err
		}
		if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
			return false, err
		}
		for _, e := range r.JSON200.Items {
			if e.Action == action && e.Subject == subject {
				return true, nil
			}
		}
		if r.JSON200.Next == "" {
			return false, nil
		}
		params.After = &r.JSON200.Next
	}
}
