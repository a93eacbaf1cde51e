package api

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s *server) ListAttestations(ctx context.Context, r ListAttestationsRequestObject) (ListAttestationsResponseObject, error) {
	page, err := pageOf(r.Params.After, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	query := tam.AppraisalQuery{Accepted: r.Params.Accepted, Limit: page.Limit}
	if r.Params.Device != nil {
		if query.Device = devices.ID(*r.Params.Device); query.Device == "" {
			return nil, fmt.Errorf("%w: the device has no id", errMalformed)
		}
	}
	if page.After != "" {
		if query.Before, err = strconv.ParseInt(page.After, 10, 64); err != nil || query.Before < 1 {
			return nil, noCursor(page)
		}
	}
	list, err := s.fleet.Appraisals(ctx, query)
	if err != nil {
		return nil, err
	}
	out := ListAttestations200JSONResponse{Items: show(list, showAppraisal)}
	if len(list) == page.Limit {
		out.Next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return out, nil
}

func (s *server) GetAttestation(ctx context.Context, r GetAttestationRequestObject) (GetAttestationResponseObject, error) {
	a, err := s.fleet.Appraisal(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	shown, err := showAttestation(a, r.Params.Raw)
	return GetAttestation200JSONResponse(shown), err
}

func (s *server) DiffAttestations(ctx context.Context, r DiffAttestationsRequestObject) (DiffAttestationsResponseObject, error) {
	from, err := numberOf(r.Params.From)
	if err != nil {
		return nil, err
	}
	to, err := numberOf(r.Params.To)
	if err != nil {
		return nil, err
	}
	d, err := s.fleet.AttestationDiff(ctx, devices.ID(r.ID), from, to)
	if err != nil {
		return nil, err
	}
	return DiffAttestations200JSONResponse{From: showAppraisal(d.From), To: showAppraisal(d.To), Changes: show(d.Changes, showChange)}, nil
}

// numberOf is that of an attestation, 0 where none is given.
func numberOf(given *int64) (int64, error) {
	if given == nil {
		return 0, nil
	}
	if *given < 1 {
		return 0, fmt.Errorf("%w: %d is no attestation, they count from 1", errMalformed, *given)
	}
	return *given, nil
}

func (s *server) AcceptUntil(ctx context.Context, r AcceptUntilRequestObject) (AcceptUntilResponseObject, error) {
	if err := checkReason(r.Body.Reason); err != nil {
		return nil, err
	}
	if r.Body.Until.IsZero() {
		return nil, fmt.Errorf("%w: until is missing", errMalformed)
	}
	if r.Body.Attestation < 0 {
		return nil, fmt.Errorf("%w: %d is no attestation, they count from 1", errMalformed, r.Body.Attestation)
	}
	d, err := s.fleet.AcceptFaults(ctx, s.actor, devices.ID(r.ID), r.Body.Attestation, r.Body.Until, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return AcceptUntil200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}

func (s *server) EndException(ctx context.Context, r EndExceptionRequestObject) (EndExceptionResponseObject, error) {
	if err := checkReason(r.Params.Reason); err != nil {
		return nil, err
	}
	d, err := s.fleet.EndException(ctx, s.actor, devices.ID(r.ID), r.Params.Reason)
	if err != nil {
		return nil, err
	}
	return EndException200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}

func (s *server) QuarantineDevice(ctx context.Context, r QuarantineDeviceRequestObject) (QuarantineDeviceResponseObject, error) {
	if err := checkReason(r.Body.Reason); err != nil {
		return nil, err
	}
	d, err := s.fleet.Quarantine(ctx, s.actor, devices.ID(r.ID), r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return QuarantineDevice200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}

func (s *server) ReleaseDevice(ctx context.Context, r ReleaseDeviceRequestObject) (ReleaseDeviceResponseObject, error) {
	if err := checkReason(r.Body.Reason); err != nil {
		return nil, err
	}
	d, err := s.fleet.Release(ctx, s.actor, devices.ID(r.ID), r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return ReleaseDevice200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}

func (s *server) SetLabels(ctx context.Context, r SetLabelsRequestObject) (SetLabelsResponseObject, error) {
	if *r.Body == nil {
		return nil, fmt.Errorf("%w: the labels are null; an empty object takes them away", errMalformed)
	}
	d, err := s.fleet.SetLabels(ctx, s.actor, devices.ID(r.ID), *r.Body)
	if err != nil {
		return nil, err
	}
	return SetLabels200JSONResponse(showDevice(tam.SeenDevice{Device: d})), nil
}
