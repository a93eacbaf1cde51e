package local

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// VendorRoots are certificates of makers of processors that are trusted beside those that
// this package knows.
type VendorRoots struct {
	// AMD are certificates of AMD: ARKs, and each ASK or ASVK that hosts do not send along.
	AMD []*x509.Certificate
	// Intel are root certificates of Intel's provisioning certification service.
	Intel []*x509.Certificate
}

// The known roots, by the SHA-256 of their certificates. Hosts and quotes bring the
// certificates themselves along.
var (
	amdRoots = map[string]string{
		"69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "ARK-Milan",
		"4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "ARK-Genoa",
		"1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "ARK-Turin",
	}
	intelRoots = map[string]string{
		"44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3": "Intel SGX Root CA",
	}
)

// vendorChain validates the certificate of a maker's key: to a configured root, or to one
// in the chain that is known. An error is the fault of the evidence.
func vendorChain(leaf []byte, issuers [][]byte, configured []*x509.Certificate, known map[string]string, now time.Time) (*x509.Certificate, error) {
	chain, err := parseChain(append([][]byte{leaf}, issuers...))
	if err != nil {
		return nil, err
	}
	var roots, between []*x509.Certificate
	for _, c := range configured {
		if selfSigned(c) {
			roots = append(roots, c)
		} else {
			between = append(between, c)
		}
	}
	for _, c := range chain[1:] {
		if sum := sha256.Sum256(c.Raw); known[hex.EncodeToString(sum[:])] != "" {
			roots = append(roots, c)
		}
	}
	if roots == nil {
		return nil, fmt.Errorf("%w: the root of %.64q is neither known nor configured", errChain, chain[0].Issuer)
	}
	return chain[0], validateChain(inOrder(chain[0], append(between, chain[1:]...)), roots, now)
}

// inOrder puts each certificate before the one that has the name of its issuer: hosts send
// them in any order.
func inOrder(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for last := leaf; !selfSigned(last) && len(chain) < evidence.MaxChain; last = chain[len(chain)-1] {
		i := slices.IndexFunc(others, func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, last.RawIssuer) })
		if i < 0 {
			break
		}
		chain = append(chain, others[i])
	}
	return chain
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }
