package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tamarack-tam/tamarack/attest/veraison"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/api"
	"github.com/tamarack-tam/tamarack/tam/metrics"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

const (
	maintenance  = time.Minute      // between two rounds of TAM.Maintain
	shutdownTime = 10 * time.Second // for requests under way when the server ends
)

// server is a TAM with its store and its listeners.
type server struct {
	teepURL      string // without a path
	apiURL       string
	metricsURL   string // empty for none
	tokenFile    string
	tokenCreated bool
	signers      tam.Signers
	publicKeys   []string               // files of their public halves
	encryption   cosekit.DecryptionKeys // the key in use, then the retired ones
	encryptTo    string                 // file of the public half of the key in use
	attester     tam.Attester
	issuer       tam.Issuer
	remote       []*veraison.Client

	tam       *tam.TAM
	store     *store.SQLite
	metrics   *metrics.Metrics
	log       *slog.Logger
	listeners []listener
}

type listener struct {
	net.Listener
	http *http.Server
}

// newServer opens everything that the configuration names; serve then answers.
// All listeners are bound when it returns, so clients can connect at once.
func newServer(ctx context.Context, c Config, log *slog.Logger) (_ *server, err error) {
	s := &server{log: log, tokenFile: c.API.TokenFile, metrics: metrics.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, err
	}
	if s.signers, err = s.loadKeys(filepath.Join(c.Data, "keys")); err != nil {
		return nil, err
	}
	if err = s.loadEncryptionKeys(c.encryptionKey()); err != nil {
		return nil, err
	}
	if s.store, err = store.OpenSQLite(ctx, c.database(), store.Options{}); err != nil {
		return nil, err
	}
	payloads, err := store.OpenPayloads(filepath.Join(c.Data, "payloads"))
	if err != nil {
		return nil, err
	}
	if err = s.loadAttestationKeys(filepath.Join(c.Data, "keys"), c.Attestation.ResultLifetime); err != nil {
		return nil, err
	}
	trust := tam.NewTrust(s.store, time.Now, tam.Defaults().ClockSkew)
	verifier, err := s.verifiers(c.Attestation, trust)
	if err != nil {
		return nil, err
	}
	s.tam, err = tam.New(ctx, tam.Config{
		Store:          s.metrics.Store(s.store),
		Verifier:       verifier,
		Results:        trust,
		Attester:       s.attester,
		Issuer:         s.issuer,
		Signers:        s.signers,
		Policy:         c.policy(),
		DecryptionKeys: s.encryption,
		Log:            log,
		Observer:       s.metrics,
	})
	if err != nil {
		return nil, err
	}
	devices, err := teephttp.New(s.tam, c.endpoints(), payloads, teephttp.Options{
		MaxBody: c.TEEP.MaxBody,
		Limits:  teephttp.Limits{PerAddress: c.TEEP.RateLimit.PerAddress, Total: c.TEEP.RateLimit.Total},
		Log:     log,
	})
	if err != nil {
		return nil, err
	}
	if s.teepURL, err = s.listen(c.TEEP.Listen, c.TEEP.TLSCert, c.TEEP.TLSKey, teephttp.Server(c.TEEP.Listen, s.metrics.Handler("teep", devices))); err != nil {
		return nil, fmt.Errorf("teep.listen: %w", err)
	}
	if c.TEEP.PublicURL != "" {
		s.teepURL = strings.TrimSuffix(c.TEEP.PublicURL, "/")
	}
	operators, err := s.operators(c, payloads)
	if err != nil {
		return nil, err
	}
	if s.apiURL, err = s.listen(c.API.Listen, c.API.TLSCert, c.API.TLSKey, api.Server(c.API.Listen, s.metrics.Handler("api", operators))); err != nil {
		return nil, fmt.Errorf("api.listen: %w", err)
	}
	if err := s.monitor(c.Metrics.Listen); err != nil {
		return nil, err
	}
	return s, nil
}

// monitor serves metrics and health, where an address is given for them.
func (s *server) monitor(address string) (err error) {
	if address == "" {
		return nil
	}
	ready := metrics.NewReadiness(s.store, s.signers, time.Now, s.log)
	if s.metricsURL, err = s.listen(address, "", "", metrics.Server(address, metrics.Handler(s.metrics, ready))); err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	return nil
}

func (s *server) operators(c Config, payloads tam.Payloads) (http.Handler, error) {
	token, created, err := api.LoadOrCreateToken(c.API.TokenFile)
	if err != nil {
		return nil, err
	}
	s.tokenCreated = created
	fleet := tam.NewFleet(tam.FleetConfig{
		Store:      s.metrics.Store(s.store),
		Payloads:   payloads,
		Clock:      time.Now,
		Log:        s.log,
		PayloadURL: s.teepURL + teephttp.PayloadPath,
		MaxPayload: c.API.MaxPayload,
		Signatures: c.signatureRule(),
	})
	return api.New(fleet, api.Options{
		Token:     token,
		Keys:      []*cosekit.PublicKey{s.signers.ESP256.PublicKey(), s.signers.Ed25519.PublicKey()},
		ReportKey: s.encryption.Agreements[0].PublicKey(),
		Log:       s.log,
	}), nil
}

// listen binds an address and returns the URL of it.
func (s *server) listen(address, cert, key string, h *http.Server) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	scheme := "http"
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return "", errors.Join(err, l.Close())
		}
		scheme = "https"
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	s.listeners = append(s.listeners, listener{l, h})
	return scheme + "://" + l.Addr().String(), nil
}

// serve answers until ctx ends, lets the requests under way finish, and closes.
func (s *server) serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range s.listeners {
		group.Go(func() error {
			if err := l.http.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
			defer cancel()
			return l.http.Shutdown(end)
		})
	}
	group.Go(func() error {
		s.maintain(ctx)
		return nil
	})
	return errors.Join(group.Wait(), s.close())
}

func (s *server) maintain(ctx context.Context) {
	tick := time.NewTicker(maintenance)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.tam.Maintain(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "maintenance failed; it is tried again", slog.Any("error", err))
		}
	}
}

func (s *server) close() error {
	var faults []error
	for _, l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			faults = append(faults, err)
		}
	}
	for _, client := range s.remote {
		client.Close()
	}
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	return errors.Join(faults...)
}

func (c *Config) policy() tam.Policy {
	return tam.Policy{
		FirstContact:      tam.FirstContact(c.Attestation.FirstContact),
		Admission:         tam.Admission(c.Attestation.Admission),
		SecondKey:         tam.SecondKey(c.Attestation.SecondKey),
		AttestationMaxAge: c.Attestation.MaxAge,
		ChallengeLifetime: c.Sessions.ChallengeLifetime,
		TokenLifetime:     c.Sessions.TokenLifetime,
		UpdateLifetime:    c.Sessions.UpdateLifetime,
		Outstanding:       c.Sessions.Outstanding,
		AppraisalAge:      c.Retention.AppraisalAge,
		KeepAppraisals:    c.Retention.KeepAppraisals,
		EvidenceAge:       c.Retention.EvidenceAge,
		KeepEvidence:      c.Retention.KeepEvidence,
		AuditAge:          c.Retention.AuditAge,
	}
}

func (c *Config) endpoints() []*tam.Endpoint {
	list := make([]*tam.Endpoint, len(c.TEEP.Endpoints))
	for i, e := range c.TEEP.Endpoints {
		list[i] = e.endpoint()
	}
	return list
}

var (
	firstRequests = map[string]cosekit.Algorithm{
		"esp256": cosekit.ESP256, "ed25519": cosekit.Ed25519, "es256": cosekit.LegacyES256, "eddsa": cosekit.LegacyEdDSA,
	}
	freshness = map[string]teep.FreshnessMechanism{"nonce": teep.FreshnessNonce, "timestamp": teep.FreshnessTimestamp}
)

func (e EndpointConfig) endpoint() *tam.Endpoint {
	var tried []cosekit.Thumbprint
	for _, k := range e.TryKeys {
		if key, err := cosekit.ParseThumbprint(k); err == nil { // Config.check admits no other
			tried = append(tried, key)
		}
	}
	return &tam.Endpoint{
		Path:             e.Path,
		Numbering:        e.Numbering,
		FirstRequest:     firstRequests[e.FirstRequest],
		LegacyAlgorithms: e.LegacyAlgorithms,
		Freshness:        freshness[e.Freshness],
		TryKeys:          tried,
		FirstContact:     tam.FirstContact(e.FirstContact),
		Passport:         e.Passport,
		ReturnResults:    e.ReturnResults,
		Debug:            e.Debug,
	}
}

func (c *Config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level = slog.LevelInfo // Config.check admits no other text
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
