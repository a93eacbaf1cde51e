package ear

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// readSet reads a CBOR claims set into the tree that readJSON makes, with its labels
// replaced by the names that they have in JSON, and with byte strings as []byte.
func readSet(data []byte) (claimsSet, error) {
	if err := cosekit.Validate(data); err != nil {
		return claimsSet{}, fmt.Errorf("%w: %w", ErrResult, err)
	}
	v, err := readItem(data, claimNames)
	if err != nil {
		return claimsSet{}, fmt.Errorf("%w: %w", ErrResult, err)
	}
	tree, ok := v.(map[string]any)
	if !ok {
		return claimsSet{}, fmt.Errorf("%w: the claims are not a map", ErrResult)
	}
	return claimsSet{tree: tree}, nil
}

// labels gives the labels of one map their names, and those of the maps inside it.
type labels struct {
	names  map[int64]string
	inside map[int64]*labels
	each   *labels // of every map inside, whatever its label
}

// claimNames are the labels of RFC 8392, RFC 9711 and draft-ietf-rats-ear-03.
var claimNames = newClaimNames()

func newClaimNames() *labels {
	l := &labels{names: map[int64]string{
		1: "iss", 2: "sub", 3: "aud", 4: "exp", 5: "nbf", 6: "iat", 7: "cti", 8: "cnf", 10: "eat_nonce",
		256: "ueid", 257: "sueids", 258: "oemid", 259: "hwmodel", 260: "hwversion",
		265: "eat_profile", 266: "submods", 272: "manifests", 273: "measurements",
		1000: "ear_status", 1001: "ear_trustworthiness_vector", 1002: "ear_raw_evidence",
		1003: "ear_appraisal_policy_ids", 1004: "ear_verifier_id", 65000: "ear_teep_claims",
		-70000: "ear_veraison_annotated_evidence", -70001: "ear_veraison_policy_claims",
		-70002: "ear_veraison_key_attestation",
	}}
	vector := map[int64]string{}
	for i, name := range vectorOrder {
		vector[int64(i)] = name
	}
	l.inside = map[int64]*labels{
		266:   {each: l}, // an appraisal has the labels of the whole
		1001:  {names: vector},
		1004:  {names: map[int64]string{0: "developer", 1: "build"}},
		65000: asItCame,
	}
	return l
}

// asItCame leaves a map encoded, for attest.DecodeClaims.
var asItCame = &labels{}

// vectorOrder are the elements in the order of their labels (draft-ietf-rats-ear-03).
var vectorOrder = [...]string{
	attest.InstanceIdentity, attest.Configuration, attest.Executables, attest.FileSystem,
	attest.Hardware, attest.RuntimeOpaque, attest.StorageOpaque, attest.SourcedData,
}

// tagged is a tagged item: it is none of the types that a claim may have here.
type tagged struct{ content any }

// readItem reads an item that Validate has seen.
func readItem(item []byte, l *labels) (any, error) {
	if l == asItCame {
		return cosekit.RawMessage(item), nil
	}
	switch cosekit.Major(item) {
	case cosekit.MajorUint, cosekit.MajorNegative:
		return cosekit.Int(item)
	case cosekit.MajorBytes:
		return cosekit.Bytes(item)
	case cosekit.MajorText:
		return cosekit.Text(item)
	case cosekit.MajorArray:
		return readArray(item)
	case cosekit.MajorMap:
		return readMap(item, l)
	case cosekit.MajorTag:
		var tag cosekit.Tag
		if err := cosekit.UnmarshalValid(item, &tag); err != nil {
			return nil, err
		}
		content, err := readItem(tag.Content, nil)
		return tagged{content}, err
	}
	var simple any // true, false, null, a float
	err := cosekit.UnmarshalValid(item, &simple)
	return simple, err
}

func readArray(item []byte) (any, error) {
	elements, err := cosekit.Elements(item)
	if err != nil {
		return nil, err
	}
	array := make([]any, len(elements))
	for i, e := range elements {
		if array[i], err = readItem(e, nil); err != nil {
			return nil, err
		}
	}
	return array, nil
}

func readMap(item []byte, l *labels) (any, error) {
	pairs, err := cosekit.Pairs(item)
	if err != nil {
		return nil, err
	}
	tree := make(map[string]any, len(pairs))
	for _, p := range pairs {
		name, inside := l.of(p.Key)
		if _, twice := tree[name]; twice {
			return nil, fmt.Errorf("claim %.64q under its label and under its name", name)
		}
		if tree[name], err = readItem(p.Value, inside); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// of returns the name of a map key, and the labels of the map behind it. A label that
// has no name is written in decimal, any other key in hexadecimal digits.
func (l *labels) of(key []byte) (name string, inside *labels) {
	if l == nil {
		l = &labels{}
	}
	if name, err := cosekit.Text(key); err == nil {
		return name, l.each
	}
	label, err := cosekit.Int(key)
	if err != nil {
		return hex.EncodeToString(key), nil
	}
	if name, ok := l.names[label]; ok {
		return name, l.inside[label]
	}
	return strconv.FormatInt(label, 10), l.each
}
