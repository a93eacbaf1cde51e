package store

import (
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
)

// exception is the stored form of devices.Exception: numbers, so that a field may change
// its name. What it refers to keeps the names that it has in an appraisal.
type exception struct {
	Until       int64               `cbor:"1,keyasint"`
	Reason      string              `cbor:"2,keyasint,omitempty"`
	By          string              `cbor:"3,keyasint,omitempty"`
	At          int64               `cbor:"4,keyasint"`
	Appraisal   int64               `cbor:"5,keyasint"`
	Elements    []attest.Element    `cbor:"6,keyasint,omitempty"`
	Comparisons []attest.Comparison `cbor:"7,keyasint,omitempty"`
	Policy      string              `cbor:"8,keyasint,omitempty"`
}

// exceptionOrNull keeps a missing exception as NULL.
func exceptionOrNull(e *devices.Exception) ([]byte, error) {
	if e == nil {
		return nil, nil
	}
	return encode(exception{micros(e.Until), e.Reason, e.By, micros(e.At), e.Appraisal, e.Elements, e.Comparisons, e.Policy})
}

func exceptionOf(data []byte) (*devices.Exception, error) {
	if data == nil {
		return nil, nil
	}
	var e exception
	if err := decode("exception", data, &e); err != nil {
		return nil, err
	}
	return &devices.Exception{
		Until: timeOf(e.Until), Reason: e.Reason, By: e.By, At: timeOf(e.At),
		Appraisal: e.Appraisal, Policy: e.Policy, Elements: e.Elements, Comparisons: e.Comparisons,
	}, nil
}
