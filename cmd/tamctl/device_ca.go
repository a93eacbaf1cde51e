package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func deviceCACommand(app *app) *cobra.Command {
	return group("device-ca", "Say which CAs certify the attestation keys of devices", deviceCAAdd(app), deviceCAList(app), deviceCARemove(app))
}

func deviceCAAdd(app *app) *cobra.Command {
	var title string
	var formats []string
	cmd := &cobra.Command{
		Use:   "add CERTIFICATE --title TEXT",
		Short: "Let a CA certify the attestation keys of devices",
		Long: `Add registers a CA. Evidence that brings a certificate chain (x5chain) up to it is checked
with the key in that chain, so that one CA covers a fleet. CERTIFICATE is a file: one PEM
block CERTIFICATE.

It certifies keys for EATs unless you say otherwise with --format.

A certificate that names a device, as urn:ueid:HEX in its subjectAltName, is good for that
device alone. One that names none is good for any ueid that its holder claims, until that
ueid is on record with a key: let the CA name the device.`,
		Example: `  tamctl device-ca add factory-ca.pem --title 'Factory 2'
  tamctl device-ca add ak-ca.pem --title 'AKs of Acme' --format tpm`,
		Args: exactly("CERTIFICATE"),
	}
	cmd.Flags().StringVar(&title, "title", "", "whose CA it is, for people (required)")
	cmd.Flags().StringArrayVar(&formats, "format", nil, formatUsage)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if title == "" {
			return usage("say whose CA it is, with --title")
		}
		certificate, err := readCertificate(args[0])
		if err != nil {
			return err
		}
		ca, err := query(app, func(api *client.ClientWithResponses) (client.DeviceCA, error) {
			ca, err := made(api.AddDeviceCAWithResponse(cmd.Context(), client.NewDeviceCA{Certificate: certificate, Title: title, Formats: formats}))
			if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.Code == "bad-certificate" {
				err = advise(err, "mend what the detail names: the certificate has to be that of a CA, and valid now ('openssl x509 -noout -text -in %s' shows it)", lines.Quote(args[0]))
			}
			return ca, err
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), ca, func(t *tabwriter.Writer) {
			fact(t, "device CA", ca.Title)
			fact(t, "certificate", ca.Fingerprint)
			fact(t, "subject", ca.Subject)
			fact(t, "for evidence", formatsText(ca.Formats))
			fact(t, "from", ca.NotBefore)
			fact(t, "until", ca.NotAfter)
			fact(t, "note", "its certificates should name their device, as urn:ueid:…")
		})
	}
	return cmd
}

// readCertificate reads a file that holds one certificate in PEM. That nothing else is in
// it keeps a private key here, and people from believing that a whole chain was added.
func readCertificate(path string) (string, error) {
	data, err := readBounded(path)
	if err != nil {
		return "", err
	}
	block, rest := pem.Decode(data)
	switch {
	case bytes.Contains(data, []byte("PRIVATE KEY-----")):
		return "", advise(fmt.Errorf("%s holds a private key, which stays here", path), "give the certificate of the CA alone")
	case block == nil:
		return "", advise(fmt.Errorf("%s holds no PEM block", path), "give the certificate in PEM: 'openssl x509 -inform der -in FILE -out ca.pem' makes it of DER")
	case block.Type == "PUBLIC KEY":
		return "", advise(fmt.Errorf("%s holds a key, and no certificate", path), "register the key of one device with 'tamctl attestation-anchor add'")
	case block.Type != "CERTIFICATE":
		return "", fmt.Errorf("%s holds a PEM block %s, and no certificate", path, block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return "", advise(fmt.Errorf("%s holds more than one certificate", path), "give the one of the CA that you trust, in a file of its own")
	}
	return string(data), nil
}

func listCAs(ctx context.Context, api *client.ClientWithResponses) ([]client.DeviceCA, error) {
	return got(api.ListDeviceCAsWithResponse(ctx))
}

func deviceCAList(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the CAs that certify attestation keys",
		Example: "  tamctl device-ca list --wide",
	}
	return listing(app, cmd, "whole fingerprints and subjects", listCAs, func(t *tabwriter.Writer, list []client.DeviceCA, wide bool) {
		row(t, "CERTIFICATE", "TITLE", "SUBJECT", "UNTIL")
		for _, ca := range list {
			subject := ca.Subject
			if !wide {
				subject = fitted(subject, 36)
			}
			row(t, elided(ca.Fingerprint, wide), ca.Title, subject, ca.NotAfter)
		}
	})
}

func deviceCARemove(app *app) *cobra.Command {
	return removing(app, &cobra.Command{
		Use:   "remove CERTIFICATE --reason TEXT",
		Short: "Trust a CA of devices no longer",
		Long: `Remove ends the trust in a CA. Devices that it certifies fail their next attestation.

CERTIFICATE is its SHA-256 fingerprint, or the first digits of it (four at least).`,
		Example: "  tamctl device-ca remove 3fa1 --reason 'the factory is closed'",
		Args:    exactly("CERTIFICATE"),
	}, "device CA", listCAs, func(ca client.DeviceCA) (string, string) { return ca.Fingerprint, ca.Title },
		func(ctx context.Context, api *client.ClientWithResponses, fingerprint, reason string) error {
			return done(api.DeleteDeviceCAWithResponse(ctx, fingerprint, &client.DeleteDeviceCAParams{Reason: reason}))
		})
}
