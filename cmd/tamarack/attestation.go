package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/attest/veraison"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// The files of the keys that the TAM attests and issues results with, without their ending.
const (
	attestationKeyName = "tam-attestation"
	verifierKeyName    = "tam-verifier"
)

// verifiers makes the one Verifier of the TAM: evidence goes to the first remote verifier
// that takes its format, all else to the built-in one.
func (s *server) verifiers(c AttestationConfig, trust local.Trust) (attest.Verifier, error) {
	var routes []evidence.Route
	for _, v := range c.Verifiers {
		client, err := v.client(s.metrics.RemoteVerifier)
		if err != nil {
			return nil, fmt.Errorf("attestation.verifiers: %s: %w", v.Name, err)
		}
		s.remote = append(s.remote, client)
		routes = append(routes, evidence.Route{Name: v.Name, Accepts: client.Accepts, Verifier: client})
	}
	builtIn := local.New(trust, local.Options{Skew: tam.Defaults().ClockSkew, Strict: c.Strict})
	routes = append(routes, evidence.Route{Name: local.Name, Accepts: local.Accepts, Verifier: builtIn})
	return s.metrics.Verifier(evidence.NewRouter(routes...)), nil
}

// client makes the client of a remote verifier.
func (v VerifierConfig) client(observe func(veraison.Event)) (*veraison.Client, error) {
	config := veraison.Config{
		Name: v.Name, URL: v.URL, MediaTypes: v.MediaTypes, Timeout: v.Timeout, Attempts: v.Attempts, Concurrency: v.Concurrency,
		Skew: tam.Defaults().ClockSkew, Observe: observe,
	}
	if v.KeyThumbprint != "" {
		key, err := cosekit.ParseThumbprint(v.KeyThumbprint)
		if err != nil {
			return nil, err
		}
		config.KeyThumbprint = key
	}
	for _, file := range v.KeyFiles {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		key, err := ear.ParseKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		key.Name = v.Name
		config.Keys = append(config.Keys, key)
	}
	if v.CAFile != "" {
		data, err := os.ReadFile(v.CAFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s has no certificate in PEM", v.CAFile)
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		config.HTTP = &http.Client{Transport: transport}
	}
	return veraison.New(config)
}

// checkVerifiers makes each client, and wants each format to go to one verifier: the second
// that is given it would never be asked.
func (c *Config) checkVerifiers(fault func(string, string, ...any)) {
	named := map[string]bool{}
	var clients []*veraison.Client
	for i, v := range c.Attestation.Verifiers {
		key := fmt.Sprintf("attestation.verifiers[%d]", i)
		if v.Name == "" || named[v.Name] {
			fault(key+".name", "%q: give each verifier a name of its own", v.Name)
		}
		named[v.Name] = true
		if (len(v.KeyFiles) == 0) == (v.KeyThumbprint == "") {
			fault(key, "name the key that signs its results, with either key_files or key_thumbprint")
			continue
		}
		client, err := v.client(nil)
		if err != nil {
			fault(key, "%v", err)
			continue
		}
		defer client.Close()
		for _, format := range v.formats() {
			j := slices.IndexFunc(clients, func(earlier *veraison.Client) bool { return earlier.Accepts(format) })
			if j >= 0 {
				fault(key+".media_types", "%s goes to another verifier above already; give each format to one", format)
			}
		}
		clients = append(clients, client)
	}
}

// foreign are the formats that the verifier is given and no device can bring: of evidence in
// any other the TAM finds neither challenge nor key.
func (v VerifierConfig) foreign() (list []string) {
	for _, m := range v.formats() {
		if _, known := evidence.KindOf(m); !known {
			list = append(list, m.String())
		}
	}
	return list
}

// takes says in words which evidence goes to the verifier.
func (v VerifierConfig) takes() string {
	text := strings.Join(v.MediaTypes, ", ")
	if v.MediaTypes == nil {
		text = "PSA and CCA tokens"
	}
	if foreign := v.foreign(); len(foreign) > 0 {
		text += "; unknown here, so never sent: " + strings.Join(foreign, ", ")
	}
	return text
}

// formats are those that the verifier is given; one of them stands for the default.
func (v VerifierConfig) formats() []attest.MediaType {
	var list []attest.MediaType
	for _, text := range v.MediaTypes {
		if m, err := attest.ParseMediaType(text); err == nil { // veraison.New admits no other
			list = append(list, m)
		}
	}
	if v.MediaTypes == nil {
		list = append(list, attest.MediaType{Type: "application/psa-attestation-token"})
	}
	return list
}

// loadAttestationKeys loads or makes the keys with which the TAM attests itself, and
// issues results.
func (s *server) loadAttestationKeys(dir string, lifetime time.Duration) error {
	keys := map[string]cosekit.Signer{}
	for _, name := range []string{attestationKeyName, verifierKeyName} {
		private := filepath.Join(dir, name+".pem")
		signer, err := loadKey(private, publicHalf(private), cosekit.ESP256)
		if err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
		if err := writePublic(publicHalf(private), signer.PublicKey().PEM()); err != nil {
			return err
		}
		keys[name] = signer
	}
	executable, err := digestOfExecutable()
	if err != nil {
		return fmt.Errorf("measure the running program: %w", err)
	}
	s.attester = selfAttester{key: keys[attestationKeyName], executable: executable, clock: time.Now}
	s.issuer = &ear.Issuer{
		Signer: keys[verifierKeyName], Form: ear.FormTEEP, Lifetime: lifetime, Clock: time.Now,
		Developer: "https://github.com/tamarack-tam/tamarack", Build: version(),
	}
	return nil
}

// selfAttester makes Evidence about this TAM: which program it was when it started, by
// the word of that program. It is worth as much as the system that it runs on; what it
// gives agents is a key that operators can keep apart from those of the messages.
type selfAttester struct {
	key        cosekit.Signer
	executable [sha256.Size]byte
	clock      func() time.Time
}

// Evidence implements tam.Attester with an EAT that has the claims of the EAT profile of
// TEEP (draft-ietf-teep-protocol-26 section 5).
func (a selfAttester) Evidence(_ context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error) {
	identity := a.key.PublicKey().Thumbprint()
	oemid, err := cosekit.Marshal(identity[:16]) // of the random kind: nobody has assigned one
	if err != nil {
		return nil, err
	}
	digest := suit.Digest{Algorithm: suit.SHA256, Bytes: a.executable[:]}
	program := attest.ManifestRef{Digest: digest}
	token, err := attest.SignEAT(&attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, Confirmation: attest.Confirmation{Key: key}, IssuedAt: a.clock(),
		UEID: append([]byte{1}, identity[:16]...), OEMID: oemid, HWModel: []byte("tamarack"), HWVersion: version(),
		Manifests: []attest.ManifestRef{},
		Measurements: []attest.Measurement{{Manifest: program, Components: []suit.PropertyClaims{
			{Component: suit.ComponentID{[]byte("tamarack")}, ImageDigest: &digest},
		}}},
	}, a.key)
	if err != nil {
		return nil, err
	}
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}, nil
}

// digestOfExecutable measures the file that this process was started from; on Linux that
// very file, even where another one has taken its name since.
func digestOfExecutable() (digest [sha256.Size]byte, err error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		path, err := os.Executable()
		if err != nil {
			return digest, err
		}
		if f, err = os.Open(path); err != nil {
			return digest, err
		}
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return digest, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
