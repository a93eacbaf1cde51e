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
	answer, err := o.api.GetDeviceWithResponse(ctx, dev.id)
	if err != nil {
		return nil, err
	}
	if err := answered(answer.HTTPResponse, answer.Body, nil); err != nil {
		return nil, err
	}
	for _, c := range answer.JSON200.Components {
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
