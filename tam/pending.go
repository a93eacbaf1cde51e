package tam

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
)

// What stands here fails closed until the packages that it belongs to have it.

func covers(*devices.Exception, *attest.Result, time.Time) bool { return false }

func resultOf(a devices.Appraisal) (*attest.Result, error) {
	vector, compared, err := findings(a)
	if err != nil {
		return nil, err
	}
	r := &attest.Result{Status: attest.Status(a.Status), Vector: vector, Comparisons: compared, Verifier: a.Verifier, AppraisedAt: a.At}
	if a.Claims != nil {
		r.Claims = &attest.Claims{}
		err = json.Unmarshal(a.Claims, &r.Document)
	}
	return r, err
}

type selecting struct{}

func compileSelector(string, map[string]string) (*selecting, error) {
	return nil, errors.New("selectors are not read yet")
}

func (*selecting) Matches(devices.Device, ...devices.Agent) (bool, error) { return false, nil }
