package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"slices"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s *server) ListReferenceValues(ctx context.Context, _ ListReferenceValuesRequestObject) (ListReferenceValuesResponseObject, error) {
	list, err := s.fleet.ReferenceFiles(ctx)
	if err != nil {
		return nil, err
	}
	return ListReferenceValues200JSONResponse(show(list, showReferences)), nil
}

func (s *server) ImportReferenceValues(ctx context.Context, r ImportReferenceValuesRequestObject) (ImportReferenceValuesResponseObject, error) {
	// One byte more than the cap, to be refused.
	raw, err := io.ReadAll(io.LimitReader(r.Body, corim.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	f, err := s.fleet.ImportReferences(ctx, s.actor, raw)
	if err != nil {
		return nil, err
	}
	return ImportReferenceValues201JSONResponse(showReferences(f)), nil
}

func (s *server) GetReferenceValues(ctx context.Context, r GetReferenceValuesRequestObject) (GetReferenceValuesResponseObject, error) {
	list, err := s.fleet.ReferenceFiles(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(f tam.ReferenceFile) bool { return f.ID == r.Params.ID && f.Version == r.Params.Version })
	if i < 0 {
		return nil, fmt.Errorf("reference values %q, version %d: %w", r.Params.ID, r.Params.Version, tam.ErrNotFound)
	}
	return GetReferenceValues200JSONResponse{Values: showReferences(list[i]), File: list[i].Raw}, nil
}

func (s *server) DeleteReferenceValues(ctx context.Context, r DeleteReferenceValuesRequestObject) (DeleteReferenceValuesResponseObject, error) {
	if err := checkReason(r.Params.Reason); err != nil {
		return nil, err
	}
	if err := s.fleet.DeleteReferences(ctx, s.actor, r.Params.ID, r.Params.Version, r.Params.Reason); err != nil {
		return nil, err
	}
	return DeleteReferenceValues204Response{}, nil
}

func showReferences(f tam.ReferenceFile) ReferenceValues {
	return ReferenceValues{
		ID: f.ID, Version: f.Version, Signer: f.Signer, Size: len(f.Raw), ImportedAt: f.ImportedAt, ImportedBy: f.ImportedBy,
	}
}

func (s *server) ListDeviceCAs(ctx context.Context, _ ListDeviceCAsRequestObject) (ListDeviceCAsResponseObject, error) {
	list, err := s.fleet.DeviceCAs(ctx)
	if err != nil {
		return nil, err
	}
	return ListDeviceCAs200JSONResponse(show(list, showDeviceCA)), nil
}

func (s *server) AddDeviceCA(ctx context.Context, r AddDeviceCARequestObject) (AddDeviceCAResponseObject, error) {
	if r.Body.Title == "" {
		return nil, fmt.Errorf("%w: the certificate has no title", errMalformed)
	}
	block, rest := pem.Decode([]byte(r.Body.Certificate))
	switch {
	case block == nil || block.Type != "CERTIFICATE":
		return nil, fmt.Errorf("%w: certificate is not a PEM block CERTIFICATE", errMalformed)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: there is more than one certificate; add one at a time", errMalformed)
	}
	ca, err := s.fleet.AddDeviceCA(ctx, s.actor, r.Body.Title, block.Bytes, formatsOf(r.Body.Formats)...)
	if err != nil {
		return nil, err
	}
	return AddDeviceCA201JSONResponse(showDeviceCA(ca)), nil
}

func (s *server) DeleteDeviceCA(ctx context.Context, r DeleteDeviceCARequestObject) (DeleteDeviceCAResponseObject, error) {
	if err := checkReason(r.Params.Reason); err != nil {
		return nil, err
	}
	fingerprint, err := digits(r.Fingerprint)
	if err != nil {
		return nil, err
	}
	if err := s.fleet.DeleteDeviceCA(ctx, s.actor, fingerprint, r.Params.Reason); err != nil {
		return nil, err
	}
	return DeleteDeviceCA204Response{}, nil
}

func showDeviceCA(ca tam.DeviceCA) DeviceCA {
	out := DeviceCA{
		Fingerprint: hex.EncodeToString(ca.Fingerprint[:]), Title: ca.Title, AddedAt: ca.AddedAt, AddedBy: ca.AddedBy,
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate})),
		Formats:     formatNames(ca.Formats),
	}
	if c, err := x509.ParseCertificate(ca.Certificate); err == nil { // the fleet parsed it before
		out.Subject, out.NotBefore, out.NotAfter = c.Subject.String(), c.NotBefore, c.NotAfter
	}
	return out
}

func (s *server) ListVerifiers(ctx context.Context, _ ListVerifiersRequestObject) (ListVerifiersResponseObject, error) {
	list, err := s.fleet.Verifiers(ctx)
	if err != nil {
		return nil, err
	}
	return ListVerifiers200JSONResponse(show(list, showTrustedKey)), nil
}

func (s *server) AddVerifier(ctx context.Context, r AddVerifierRequestObject) (AddVerifierResponseObject, error) {
	a, err := readAnchor(r.Body)
	if err != nil {
		return nil, err
	}
	if a, err = s.fleet.AddVerifier(ctx, s.actor, a); err != nil {
		return nil, err
	}
	return AddVerifier201JSONResponse(showTrustedKey(a)), nil
}

func (s *server) ListReferenceProviders(ctx context.Context, _ ListReferenceProvidersRequestObject) (ListReferenceProvidersResponseObject, error) {
	list, err := s.fleet.ReferenceSigners(ctx)
	if err != nil {
		return nil, err
	}
	return ListReferenceProviders200JSONResponse(show(list, showTrustedKey)), nil
}

func (s *server) AddReferenceProvider(ctx context.Context, r AddReferenceProviderRequestObject) (AddReferenceProviderResponseObject, error) {
	a, err := readAnchor(r.Body)
	if err != nil {
		return nil, err
	}
	if a, err = s.fleet.AddReferenceSigner(ctx, s.actor, a); err != nil {
		return nil, err
	}
	return AddReferenceProvider201JSONResponse(showTrustedKey(a)), nil
}

func (s *server) RemoveAnchor(ctx context.Context, r RemoveAnchorRequestObject) (RemoveAnchorResponseObject, error) {
	if err := checkReason(r.Params.Reason); err != nil {
		return nil, err
	}
	key, err := digits(r.Thumbprint)
	if err != nil {
		return nil, err
	}
	if err := s.fleet.RemoveAnchor(ctx, s.actor, cosekit.Thumbprint(key), r.Params.Reason); err != nil {
		return nil, err
	}
	return RemoveAnchor204Response{}, nil
}

// digits reads the whole SHA-256 by which keys and certificates are named.
func digits(text string) (sum [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(sum) {
		return sum, fmt.Errorf("%w: %q is not %d hexadecimal digits", errMalformed, text, 2*len(sum))
	}
	return [sha256.Size]byte(b), nil
}

// readAnchor reads a key that is trusted for one thing, which the fleet sets.
func readAnchor(n *NewTrustedKey) (anchor.Anchor, error) {
	key, err := readKey(n.PublicKey, n.Title, cosekit.ReadPublicKey)
	return anchor.Anchor{
		Key: key, Title: n.Title, NotBefore: n.NotBefore, NotAfter: n.NotAfter,
		Constraints: anchor.Constraints{Formats: formatsOf(n.Formats), Products: n.Products},
	}, err
}

// formatsOf are the formats of those names, which the fleet looks at.
func formatsOf(names []string) (formats []anchor.Format) {
	for _, name := range names {
		formats = append(formats, anchor.Format(name))
	}
	return formats
}

func formatNames(formats []anchor.Format) (names []string) {
	for _, f := range formats {
		names = append(names, string(f))
	}
	return names
}
