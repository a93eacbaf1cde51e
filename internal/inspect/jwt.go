package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// looksJWT tells a JWS in compact form (RFC 7515 section 3.1): a header that begins
// with a JSON object, and two dots.
func looksJWT(data []byte) bool {
	return bytes.HasPrefix(data, []byte("eyJ")) && bytes.Count(data, []byte(".")) == 2
}

// jwt shows header and claims of a JWT, and judges its signature.
func (r *reader) jwt(data []byte) Node {
	n := Node{Kind: KindJWT, Type: "json", path: r.here(), raw: data}
	parts := strings.Split(string(bytes.TrimSpace(data)), ".")
	for i, name := range []string{"header", "claims"} {
		part := r.json(name, parts[i])
		part.Name = name
		n.Items = append(n.Items, part)
	}
	if isResult(n.child("claims")) {
		n.Kind = KindEAR
	}
	signature := Node{Name: "signature", Type: "text", Value: parts[2]}
	n.Items = append(n.Items, signature)
	r.jws(n.child("header"), parts)
	return n
}

// jwsAlgorithms are the numbers of the signature algorithms in COSE (RFC 7518 section 3.1,
// RFC 8037 section 3.1): the signatures are made alike.
var jwsAlgorithms = map[string]cosekit.Algorithm{
	"ES256": cosekit.LegacyES256, "ES384": -35, "ES512": -36, "EdDSA": cosekit.LegacyEdDSA, "Ed25519": cosekit.Ed25519,
}

// jws judges the signature of a JWT. A kid is what its issuer calls the key, so every key is
// tried.
func (r *reader) jws(header *Node, parts []string) {
	name := "no algorithm"
	if alg := header.child("alg"); alg != nil {
		name = fmt.Sprint(alg.Value)
	}
	value, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		r.lint(SeverityError, "RFC 7515 section 2", "the signature is not base64url without padding")
	}
	s := signed{structure: []byte(parts[0] + "." + parts[1]), value: value}
	number, known := jwsAlgorithms[name]
	if known {
		s.algorithm = integerItem(int64(number))
	}
	r.signatureAs(Check{What: "signature", Algorithm: oneLine(name)}, s)
}

func integerItem(n int64) item {
	budget := 1
	it, err := parse(cosekit.MustMarshal(n), &budget, 0)
	if err != nil {
		panic(err) // it was encoded just now
	}
	return it
}

func (r *reader) json(name, encoded string) Node {
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		r.lint(SeverityError, "RFC 7515 section 2", "the %s is not base64url", name)
		return Node{Type: "text", Value: encoded}
	}
	d := json.NewDecoder(bytes.NewReader(decoded))
	d.UseNumber()
	n, err := r.jsonValue(d, 0)
	if err != nil {
		r.lint(SeverityError, "RFC 7519 section 7.2", "the %s is not JSON: %v", name, err)
		return Node{Type: "text", Value: strings.ToValidUTF8(string(decoded), "\ufffd")}
	}
	return n
}

var errTooDeep = errors.New("nested too deep, or too long")

// jsonValue reads one value in the order of the text.
func (r *reader) jsonValue(d *json.Decoder, depth int) (Node, error) {
	token, err := d.Token()
	if err != nil {
		return Node{}, err
	}
	if r.budget--; r.budget < 0 || depth > maxNesting {
		return Node{}, errTooDeep
	}
	switch v := token.(type) {
	case json.Delim:
		return r.jsonContainer(d, v, depth)
	case json.Number:
		return Node{Type: "integer", Value: v}, nil
	case bool:
		return Node{Type: "boolean", Value: v}, nil
	case string:
		return Node{Type: "text", Value: v}, nil
	}
	return Node{Type: "null"}, nil
}

func (r *reader) jsonContainer(d *json.Decoder, open json.Delim, depth int) (Node, error) {
	n := Node{Type: "array"}
	if open == '{' {
		n.Type = "map"
	}
	for d.More() {
		name := ""
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return n, err
			}
			name = fmt.Sprint(token)
		}
		value, err := r.jsonValue(d, depth+1)
		if err != nil {
			return n, err
		}
		value.Name = name
		if name == "exp" || name == "nbf" || name == "iat" {
			value.Text = jsonTime(value)
		}
		n.Items = append(n.Items, value)
	}
	_, err := d.Token()
	return n, err
}

func jsonTime(n Node) string {
	number, ok := n.Value.(json.Number)
	if !ok {
		return ""
	}
	seconds, err := number.Int64()
	if err != nil {
		return ""
	}
	return rfc3339(seconds)
}

// isResult tells EAR claims by their profile.
func isResult(claims *Node) bool {
	if claims == nil {
		return false
	}
	profile := claims.child("eat_profile")
	return profile != nil && (profile.Value == attest.ProfileEARVeraison || profile.Value == attest.ProfileEAR03)
}
