package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// Config is the one configuration file. Every key can be set by a flag with its
// dotted name (--teep.listen) or by the environment (TAMARACK_TEEP_LISTEN); a
// flag wins over the environment, the environment over the file. Values there are
// YAML too.
type Config struct {
	Data        string            `yaml:"data" doc:"directory of the database, payloads and keys"`
	TEEP        TEEPConfig        `yaml:"teep"`
	API         APIConfig         `yaml:"api"`
	Metrics     MetricsConfig     `yaml:"metrics"`
	Attestation AttestationConfig `yaml:"attestation"`
	Publishers  PublishersConfig  `yaml:"publishers"`
	Reports     ReportsConfig     `yaml:"reports"`
	Sessions    SessionsConfig    `yaml:"sessions"`
	Retention   RetentionConfig   `yaml:"retention"`
	Log         LogConfig         `yaml:"log"`
}

// TEEPConfig is the devices' listener.
type TEEPConfig struct {
	Listen    string           `yaml:"listen" doc:"address for devices"`
	PublicURL string           `yaml:"public_url" doc:"URL at which devices reach the listener; empty for its own address"`
	TLSCert   string           `yaml:"tls_cert" doc:"PEM certificate chain; empty serves plain HTTP, for loopback or behind a proxy"`
	TLSKey    string           `yaml:"tls_key" doc:"PEM private key file of tls_cert"`
	MaxBody   int64            `yaml:"max_body" doc:"bytes that one message may have"`
	RateLimit RateConfig       `yaml:"rate_limit"`
	Endpoints []EndpointConfig `yaml:"endpoints" doc:"list of endpoints, as YAML"`
}

// RateConfig limits requests, in memory, before anything is decoded.
type RateConfig struct {
	PerAddress float64 `yaml:"per_address" doc:"requests a second from one address; -1 for no limit"`
	Total      float64 `yaml:"total" doc:"requests a second from all addresses; -1 for no limit"`
}

// EndpointConfig is one TEEP URL.
type EndpointConfig struct {
	Path             string         `yaml:"path"`
	Numbering        teep.Numbering `yaml:"numbering"`
	FirstRequest     string         `yaml:"first_request"` // sign, esp256 or ed25519; es256 or eddsa with legacy_algorithms
	FirstContact     string         `yaml:"first_contact"` // token, challenge or empty for attestation.first_contact
	Freshness        string         `yaml:"freshness"`     // of evidence: nonce or timestamp
	TryKeys          []string       `yaml:"try_keys"`      // thumbprints of agents that sign without a kid
	LegacyAlgorithms bool           `yaml:"legacy_algorithms"`
	Passport         bool           `yaml:"passport"`       // asks for attestation results, without a challenge
	ReturnResults    bool           `yaml:"return_results"` // passes results back, for agents to keep
	Debug            bool           `yaml:"debug"`
}

// APIConfig is the operators' listener.
type APIConfig struct {
	Listen     string `yaml:"listen" doc:"address for operators"`
	TLSCert    string `yaml:"tls_cert" doc:"PEM certificate chain; needed beyond loopback"`
	TLSKey     string `yaml:"tls_key" doc:"PEM private key file of tls_cert"`
	TokenFile  string `yaml:"token_file" doc:"file of the admin token; empty for admin.token in the data directory"`
	MaxPayload int64  `yaml:"max_payload" doc:"bytes that one uploaded payload may have"`
}

// MetricsConfig is the listener of the monitoring.
type MetricsConfig struct {
	Listen string `yaml:"listen" doc:"address of /metrics, /healthz and /readyz, plain HTTP without a login; empty for none"`
}

// AttestationConfig is when devices must attest, and what becomes of new ones.
type AttestationConfig struct {
	FirstContact string        `yaml:"first_contact" doc:"token (cheap polls) or challenge (one round trip less for new devices)"`
	Admission    string        `yaml:"admission" doc:"new devices: pending until an operator accepts them, or affirming, which accepts the first device of each attestation key by its evidence"`
	SecondKey    string        `yaml:"second_key" doc:"another key of a known device, of its agent or its attester: refuse or replace-after-attestation"`
	MaxAge       time.Duration `yaml:"max_age" doc:"age at which an attestation must be renewed"`
	Strict       bool          `yaml:"strict" doc:"the built-in verifier wants a reference value for every component that a device measures"`
	// Verifiers are asked before the built-in one.
	Verifiers      []VerifierConfig `yaml:"verifiers" doc:"list of remote verifiers, as YAML"`
	ResultLifetime time.Duration    `yaml:"result_lifetime" doc:"of the results that the TAM issues for endpoints with return_results"`
}

// VerifierConfig is one remote verifier, a Veraison.
type VerifierConfig struct {
	Name          string        `yaml:"name"`           // for people, logs and metrics
	URL           string        `yaml:"url"`            // without the path of its API
	KeyFiles      []string      `yaml:"key_files"`      // of keys that sign its results, PEM or JWK
	KeyThumbprint string        `yaml:"key_thumbprint"` // or which key to take from its discovery document
	MediaTypes    []string      `yaml:"media_types"`    // what to send there; empty for PSA and CCA tokens
	CAFile        string        `yaml:"ca_file"`        // PEM certificates that its TLS is checked with; empty for the system's
	Timeout       time.Duration `yaml:"timeout"`        // of one appraisal
	Attempts      int           `yaml:"attempts"`       // at each request
	Concurrency   int           `yaml:"concurrency"`    // appraisals at once
}

// PublishersConfig is what manifests must have to be published.
type PublishersConfig struct {
	Signatures string `yaml:"signatures" doc:"of publishers with rights over all of a manifest: any, or classical+post-quantum for one of each"`
}

// ReportsConfig is about the SUIT reports of devices.
type ReportsConfig struct {
	EncryptionKey string `yaml:"encryption_key" doc:"PEM private key file that decrypts reports and evidence, made at the first start; empty for keys/tam-reports.pem in the data directory"`
}

// SessionsConfig holds the lifetimes of what the TAM sends.
type SessionsConfig struct {
	TokenLifetime     time.Duration `yaml:"token_lifetime" doc:"of the token in a QueryRequest"`
	ChallengeLifetime time.Duration `yaml:"challenge_lifetime" doc:"of a challenge"`
	UpdateLifetime    time.Duration `yaml:"update_lifetime" doc:"of the token in an Update"`
	Outstanding       int           `yaml:"outstanding" doc:"unanswered Updates kept per device"`
}

// RetentionConfig is how long history is kept.
type RetentionConfig struct {
	AppraisalAge   time.Duration `yaml:"appraisal_age" doc:"older attestations are dropped, with their evidence"`
	KeepAppraisals int           `yaml:"keep_appraisals" doc:"attestations of each agent that are kept whatever their age"`
	EvidenceAge    time.Duration `yaml:"evidence_age" doc:"raw evidence and results are dropped from older attestations; what they came to stays"`
	KeepEvidence   int           `yaml:"keep_evidence" doc:"bytes of evidence, or of a result, that are kept raw; of more, none"`
	AuditAge       time.Duration `yaml:"audit_age" doc:"older audit events are dropped, leaving an event that says so; 0s keeps all"`
}

// LogConfig is the log on standard error.
type LogConfig struct {
	Format string `yaml:"format" doc:"text or json"`
	Level  string `yaml:"level" doc:"debug, info, warn or error"`
}

// DefaultConfig is a TAM on loopback that keeps its data in ./tamarack-data.
func DefaultConfig() Config {
	return Config{
		Data: "tamarack-data",
		TEEP: TEEPConfig{
			Listen:    "127.0.0.1:8777",
			MaxBody:   1 << 20,
			RateLimit: RateConfig{PerAddress: 50, Total: 5000},
			Endpoints: []EndpointConfig{{Path: "/tam", FirstRequest: "sign", Freshness: "nonce"}},
		},
		API:         APIConfig{Listen: "127.0.0.1:8778", MaxPayload: 1 << 30},
		Metrics:     MetricsConfig{Listen: "127.0.0.1:8779"},
		Attestation: AttestationConfig{FirstContact: "token", Admission: "pending", SecondKey: "refuse", MaxAge: 24 * time.Hour, ResultLifetime: time.Hour},
		Publishers:  PublishersConfig{Signatures: suit.AnySignature.String()},
		Sessions: SessionsConfig{
			TokenLifetime:     5 * time.Minute,
			ChallengeLifetime: 5 * time.Minute,
			UpdateLifetime:    6 * time.Hour,
			Outstanding:       4,
		},
		Retention: RetentionConfig{AppraisalAge: tam.Defaults().AppraisalAge, KeepAppraisals: tam.Defaults().KeepAppraisals, EvidenceAge: tam.Defaults().EvidenceAge, KeepEvidence: tam.Defaults().KeepEvidence},
		Log:       LogConfig{Format: "text", Level: "info"},
	}
}

// LoadConfig reads the file, if one is named, then the environment, then the flags.
func LoadConfig(file string, env []string, flags map[string]string) (Config, error) {
	c := DefaultConfig()
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return c, fmt.Errorf("configuration: %w; make it or leave --config out", err)
		}
		if err := decodeYAML(data, &c); err != nil {
			return c, fmt.Errorf("configuration %s:\n%w", file, err)
		}
	}
	keys := c.keys()
	known := map[string]reflect.Value{}
	for _, k := range keys {
		known[k.env()] = k.value
	}
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "TAMARACK_") || strings.HasPrefix(name, "TAMARACK_TEST_") {
			continue
		}
		target, ok := known[name]
		if !ok {
			return c, fmt.Errorf("environment variable %s names no key; see 'tamarack config keys'", name)
		}
		if err := setYAML(target, value); err != nil {
			return c, fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	for _, k := range keys {
		if value, given := flags[k.name]; given {
			if err := setYAML(k.value, value); err != nil {
				return c, fmt.Errorf("flag --%s: %w", k.name, err)
			}
		}
	}
	c.TEEP.setDefaults()
	if c.API.TokenFile == "" {
		c.API.TokenFile = filepath.Join(c.Data, "admin.token")
	}
	return c, c.check()
}

// setDefaults writes out what is in force at an endpoint that does not say.
func (t *TEEPConfig) setDefaults() {
	for i := range t.Endpoints {
		e := &t.Endpoints[i]
		e.FirstRequest = cmp.Or(e.FirstRequest, "sign")
		e.Freshness = cmp.Or(e.Freshness, "nonce")
	}
}

func decodeYAML(data []byte, into any) error {
	err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(into)
	if err != nil {
		text := yaml.FormatError(err, false, true)
		if strings.Contains(text, "time.Duration") {
			text += "\na duration has a unit: 90s, 15m or 24h"
		}
		return errors.New(text)
	}
	return nil
}

// setYAML reads value as YAML into target; an empty value empties it.
func setYAML(target reflect.Value, value string) error {
	fresh := reflect.New(target.Type())
	if value != "" {
		err := decodeYAML([]byte(value), fresh.Interface())
		if _, wait := fresh.Interface().(*time.Duration); wait && err != nil {
			return fmt.Errorf("%q is not a duration such as 90s, 15m or 24h", value)
		}
		if err != nil {
			return err
		}
	}
	target.Set(fresh.Elem())
	return nil
}

// key is one settable leaf of the configuration.
type key struct {
	name  string // dotted
	doc   string
	value reflect.Value
}

func (k key) env() string {
	return "TAMARACK_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// keys lists the leaves of c in the order of the file.
func (c *Config) keys() []key { return leaves("", reflect.ValueOf(c).Elem()) }

func leaves(prefix string, v reflect.Value) []key {
	var found []key
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := prefix + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			found = append(found, leaves(name+".", v.Field(i))...)
			continue
		}
		found = append(found, key{name, field.Tag.Get("doc"), v.Field(i)})
	}
	return found
}

// check names every fault at once.
func (c *Config) check() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	choice := func(key, value string, allowed ...string) {
		for _, a := range allowed {
			if value == a {
				return
			}
		}
		named := slices.DeleteFunc(allowed, func(a string) bool { return a == "" })
		fault(key, "%q is not one of %s", value, strings.Join(named, ", "))
	}
	if c.Data == "" {
		fault("data", "name a directory")
	}
	for _, l := range []struct {
		key, address string
		optional     bool
	}{{"teep.listen", c.TEEP.Listen, false}, {"api.listen", c.API.Listen, false}, {"metrics.listen", c.Metrics.Listen, true}} {
		if l.optional && l.address == "" {
			continue
		}
		_, port, err := net.SplitHostPort(l.address)
		if _, unknown := net.LookupPort("tcp", port); err != nil || unknown != nil {
			fault(l.key, "%q is not host:port, such as 127.0.0.1:8777, with a port up to 65535", l.address)
		}
	}
	c.checkTLS(fault)
	c.checkEndpoints(fault, choice)
	choice("attestation.first_contact", c.Attestation.FirstContact, "token", "challenge")
	// Devices cannot be registered ahead yet, so "preregistered" would let nobody in.
	choice("attestation.admission", c.Attestation.Admission, "pending", "affirming")
	choice("attestation.second_key", c.Attestation.SecondKey, "refuse", "replace-after-attestation")
	c.checkVerifiers(fault)
	if _, err := suit.ParseSignatureRule(c.Publishers.Signatures); err != nil {
		fault("publishers.signatures", "%v", err)
	}
	choice("log.format", c.Log.Format, "text", "json")
	choice("log.level", c.Log.Level, "debug", "info", "warn", "error")
	for _, positive := range []struct {
		key   string
		value int64
	}{
		{"teep.max_body", c.TEEP.MaxBody},
		{"api.max_payload", c.API.MaxPayload},
		{"attestation.max_age", int64(c.Attestation.MaxAge)},
		{"attestation.result_lifetime", int64(c.Attestation.ResultLifetime)},
		{"retention.evidence_age", int64(c.Retention.EvidenceAge)},
		{"retention.keep_evidence", int64(c.Retention.KeepEvidence)},
		{"sessions.token_lifetime", int64(c.Sessions.TokenLifetime)},
		{"sessions.challenge_lifetime", int64(c.Sessions.ChallengeLifetime)},
		{"sessions.update_lifetime", int64(c.Sessions.UpdateLifetime)},
		{"sessions.outstanding", int64(c.Sessions.Outstanding)},
		{"retention.appraisal_age", int64(c.Retention.AppraisalAge)},
		{"retention.keep_appraisals", int64(c.Retention.KeepAppraisals)},
	} {
		if positive.value <= 0 {
			fault(positive.key, "must be above 0")
		}
	}
	if c.Retention.AuditAge < 0 {
		fault("retention.audit_age", "must not be negative")
	}
	return errors.Join(faults...)
}

func (c *Config) encryptionKey() encryptionKey {
	return encryptionKey{cmp.Or(c.Reports.EncryptionKey, filepath.Join(c.Data, "keys", "tam-reports.pem"))}
}

// signatureRule is the checked rule.
func (c *Config) signatureRule() suit.SignatureRule {
	rule, err := suit.ParseSignatureRule(c.Publishers.Signatures)
	if err != nil {
		panic(err) // check has found it
	}
	return rule
}

func (c *Config) checkTLS(fault func(string, string, ...any)) {
	if (c.TEEP.TLSCert == "") != (c.TEEP.TLSKey == "") {
		fault("teep.tls_cert", "tls_cert and tls_key go together")
	}
	if (c.API.TLSCert == "") != (c.API.TLSKey == "") {
		fault("api.tls_cert", "tls_cert and tls_key go together")
	}
	if c.API.TLSCert == "" && !loopback(c.API.Listen) {
		fault("api.listen", "%s is not loopback and the admin token would travel in the clear; set api.tls_cert and api.tls_key", c.API.Listen)
	}
	if host, _, err := net.SplitHostPort(c.TEEP.Listen); err == nil && c.TEEP.PublicURL == "" && (host == "" || net.ParseIP(host).IsUnspecified()) {
		fault("teep.public_url", "teep.listen %s is every address of this machine; say by which URL devices reach it", c.TEEP.Listen)
	}
	if c.TEEP.PublicURL != "" {
		u, err := url.Parse(c.TEEP.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
			fault("teep.public_url", "%q is not an http or https URL", c.TEEP.PublicURL)
		}
	}
}

// loopback reports whether only this machine reaches the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) checkEndpoints(fault func(string, string, ...any), choice func(string, string, ...string)) {
	if len(c.TEEP.Endpoints) == 0 {
		fault("teep.endpoints", "name at least one")
	}
	seen := map[string]bool{}
	for i, e := range c.TEEP.Endpoints {
		key := fmt.Sprintf("teep.endpoints[%d]", i)
		u, err := url.Parse(e.Path)
		switch {
		case err != nil || !strings.HasPrefix(e.Path, "/") || u.Path != e.Path || strings.ContainsAny(e.Path, ":*"):
			fault(key+".path", "%q is not a plain path such as /tam", e.Path)
		case e.Path == "/payloads" || strings.HasPrefix(e.Path, "/payloads/"):
			fault(key+".path", "/payloads is taken by the payload files")
		case seen[e.Path]:
			fault(key+".path", "%q is there twice", e.Path)
		}
		seen[e.Path] = true
		choice(key+".first_request", e.FirstRequest, "", "sign", "esp256", "ed25519", "es256", "eddsa")
		choice(key+".freshness", e.Freshness, "", "nonce", "timestamp")
		for _, k := range e.TryKeys {
			if _, err := cosekit.ParseThumbprint(k); err != nil {
				fault(key+".try_keys", "%v", err)
			}
		}
		choice(key+".first_contact", e.FirstContact, "", "token", "challenge")
		if (&tam.Endpoint{Path: e.Path}).Check() == nil {
			if err := e.endpoint().Check(); err != nil {
				fault(key, "%v", err)
			}
		}
	}
}
