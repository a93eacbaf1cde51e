package veraison

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// required are the claims by which a result says which evidence it is about: the answer to
// our challenge, and the hardware that gave it.
var required = map[evidence.Kind][]string{
	evidence.PSA: {"psa-nonce", "psa-instance-id", "psa-implementation-id"},
	evidence.CCA: {"cca-realm-challenge", "cca-platform-instance-id", "cca-platform-implementation-id"},
}

// checkAbout finds a result that affirms who made the evidence to be about the evidence
// that was sent. The nonce of the session does not say so: whoever can write into the
// session may put other evidence over the same nonce there, and the claims that a result
// is to speak with come from the bytes that we have. Veraison writes the claims that it has
// appraised into the result (ear.veraison.annotated-evidence), others may write all the
// evidence (ear.raw-evidence): each of them that is there must agree, and one must be.
func checkAbout(r *attest.Result, reading *evidence.Reading, payload []byte) error {
	if r.Claims == nil {
		return nil // nobody speaks with any claims
	}
	ear, _ := r.Document["ear"].(map[string]any)
	whole, err := checkRaw(ear, payload)
	if err != nil {
		return err
	}
	told, err := checkAnnotated(ear, reading.Document())
	if err != nil || whole {
		return err
	}
	kind, _ := evidence.KindOf(reading.Media)
	names, known := required[kind]
	if !known {
		return fmt.Errorf("%w: the result does not say which %s it is about", ErrAnswer, kind)
	}
	for _, name := range names {
		if !told[name] {
			return fmt.Errorf("%w: the result does not say which %s it is about: no %s in it", ErrAnswer, kind, name)
		}
	}
	return nil
}

// checkRaw compares all the evidence, where the result has it.
func checkRaw(ear map[string]any, payload []byte) (whole bool, err error) {
	raw, ok := ear["ear.raw-evidence"]
	if !ok {
		return false, nil
	}
	text, _ := raw.(string)
	told, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || !bytes.Equal(told, payload) {
		return false, fmt.Errorf("%w: the result is about other evidence than was sent", ErrAnswer)
	}
	return true, nil
}

// checkAnnotated compares the claims that submodules have with those of the same names that
// were sent, and returns the names.
func checkAnnotated(ear, sent map[string]any) (told map[string]bool, err error) {
	told = map[string]bool{}
	submods, _ := ear["submods"].(map[string]any)
	for _, submod := range slices.Sorted(maps.Keys(submods)) {
		appraisal, _ := submods[submod].(map[string]any)
		annotated, _ := appraisal["ear.veraison.annotated-evidence"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(annotated)) {
			ours, ok := sent[name]
			if !ok {
				continue
			}
			if !alike(annotated[name], ours) {
				return nil, fmt.Errorf("%w: the result is about other evidence than was sent: its %s differs", ErrAnswer, name)
			}
			told[name] = true
		}
	}
	return told, nil
}

// alike compares a claim as Veraison writes it with one as a document has it. Byte strings
// are in base64 there and hexadecimal digits here, and a lifecycle is a number there and the
// name of its state here. Members of a map that one side alone has are passed over.
func alike(told, ours any) bool {
	switch ours := ours.(type) {
	case string:
		switch told := told.(type) {
		case string:
			return told == ours || sameBytes(told, ours)
		case float64:
			return told >= 0 && told <= 0xffff && evidence.Lifecycle(told).State() == ours
		}
		return false
	case []any:
		list, ok := told.([]any)
		return ok && slices.EqualFunc(list, ours, alike)
	case map[string]any:
		object, ok := told.(map[string]any)
		for name, value := range ours {
			if other, both := object[name]; both && !alike(other, value) {
				return false
			}
		}
		return ok
	}
	return told == ours
}

func sameBytes(inBase64, inHex string) bool {
	a, errBase64 := base64.StdEncoding.DecodeString(inBase64)
	b, errHex := hex.DecodeString(inHex)
	return errBase64 == nil && errHex == nil && bytes.Equal(a, b)
}
