package tam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TAM holds no sessions: all that outlives a message is in the store or in a
// MACed token. It is safe for concurrent use.
type TAM struct {
	cfg    Config
	tokens *mint
	gate   *appraisalGate
	rules  rulebook

	strangers    strangers
	selfAttested pace // to agents that are known
	// strangersAttested is what others have got.
	strangersAttested pace
	appraisals        appraisalSweeper
}

// New makes a TAM, and its first MAC key where the store has none.
func New(ctx context.Context, cfg Config) (*TAM, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("tam: %w", err)
	}
	t := &TAM{cfg: cfg, gate: newAppraisalGate(cfg.Policy.MaxAppraisals)}
	t.tokens = &mint{cfg: &t.cfg, rand: lockedReader{mu: &sync.Mutex{}, r: cfg.Rand}}
	if err := t.Maintain(ctx); err != nil {
		return nil, fmt.Errorf("tam: %w", err)
	}
	return t, nil
}

// Answer is what goes back to the sender.
type Answer struct {
	Body   []byte // a signed TEEP message; nil where there is nothing to send
	Reason Reason // why not what the sender hoped for; empty where all went well
}

// ProcessConnect answers a device that connects (RFC 9397 section 6.2.1) with a
// QueryRequest (draft-ietf-teep-protocol-26 section 4.2). Anybody may ask, so it
// writes nothing. An error is a fault of the TAM itself.
func (t *TAM) ProcessConnect(ctx context.Context, ep *Endpoint) (answer Answer, err error) {
	defer func(began time.Time) { t.observeConnect(ep, began, err) }(t.cfg.Clock())
	items := tokenItems
	if ep.firstContact(t.cfg.Policy) == ChallengeFirst {
		items = challengeItems
	}
	request, err := t.queryRequest(ep, purpose(items), nil, ep.FirstRequest)
	if err != nil {
		return Answer{}, err
	}
	var body []byte
	if ep.FirstRequest != 0 {
		body, err = teep.Seal(ep.Numbering, request, t.cfg.Signers.of(ep.FirstRequest))
	} else {
		body, err = teep.SealFor(ep.Numbering, request, t.cfg.Signers.all())
	}
	if err != nil {
		return Answer{}, fmt.Errorf("sign a QueryRequest: %w", err)
	}
	t.cfg.Log.DebugContext(ctx, "connect", slog.String("endpoint", ep.Path))
	return Answer{Body: body}, nil
}

// ProcessTeepMessage answers a message of an agent (RFC 9397 section 6.2.1). A
// message that is refused has an Answer with a Reason; an error is a fault of the
// TAM itself, [ErrUnavailable] among them.
func (t *TAM) ProcessTeepMessage(ctx context.Context, ep *Endpoint, wire []byte) (Answer, error) {
	x := &exchange{ep: ep, now: t.cfg.Clock().UTC()}
	out, err := t.process(ctx, x, wire)
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		out, err = outcome{reason: refused.reason, detail: refused.detail()}, nil
	}
	var answer Answer
	if err == nil {
		answer, err = t.answer(x, out)
	}
	t.log(ctx, x, out, err)
	t.observeMessage(x, out, err)
	return answer, err
}

// outcome is what a message came to, before the answer is signed.
type outcome struct {
	reply  teep.Message // nil for none
	reason Reason
	detail string // for logs
	// suite signs the reply; zero for that of the agent's own message.
	suite cosekit.Algorithm
}

// answer signs the reply in the suite of the agent's own message.
func (t *TAM) answer(x *exchange, out outcome) (Answer, error) {
	if out.reply == nil {
		return Answer{Reason: out.reason}, nil
	}
	if out.suite == 0 {
		out.suite = x.env.Algorithm()
	}
	body, err := teep.Seal(x.ep.Numbering, out.reply, t.cfg.Signers.of(out.suite))
	if err != nil {
		return Answer{}, fmt.Errorf("sign the answer: %w", err)
	}
	return Answer{Body: body, Reason: out.reason}, nil
}

// routine are the reasons of polls that go as they should.
var routine = map[Reason]bool{"": true, ReasonNothingToDo: true, ReasonAttestationWanted: true}

// nextSteps are for operators where a device that looks genuine gets nothing, and
// they alone can help it.
var nextSteps = map[Reason]string{
	ReasonNotAffirmed:    "find out what changed: tamctl attestation diff; tamctl reference-values import where the values are missing",
	ReasonPolicyRejected: "read the policy that the detail names: tamctl policy show; tamctl policy try for another",
	ReasonNotAppraised:   "look at the verifier that the detail names",
	ReasonAttestationKey: "find out why the key changed: tamctl device show; attestation.second_key can let it be replaced",
	ReasonSecondKey:      "find out why there is another agent: tamctl device show; attestation.second_key can let it be replaced",
}

// maxLogged bounds what one message may have said of it in the log: errors quote it.
const maxLogged = 1024

// identitySteps are for evidence of which the verifier does not know who signed it: the
// first whose word its reason has.
var identitySteps = []struct{ word, next string }{
	{"and not for the format", "register the key for this format: tamctl attestation-anchor remove, then add with --format"},
	{"certificate is of device", "give the device a certificate with its own ueid, urn:ueid:…"},
	{"unknown authority", "if the device is yours, register the CA of its certificate: tamctl device-ca add"},
	{"certificate", "mend the certificates that the device sends; tamctl device-ca list shows whose count"},
	{"not registered", "if the device is yours, register its attestation key: tamctl attestation-anchor add"},
	{"names no key", "if the device is yours, register its attestation key: tamctl attestation-anchor add"},
}

// nextStep is what operators can do about an outcome; empty where they can do nothing.
func nextStep(x *exchange, out outcome) string {
	if out.reason != ReasonNotAffirmed || x.appraised.result == nil || x.appraised.result.Identified() {
		return nextSteps[out.reason]
	}
	for _, step := range identitySteps {
		if strings.Contains(out.detail, step.word) {
			return step.next
		}
	}
	return "find out who speaks for the device: the detail says what is wrong with the signature"
}

// log writes one line for each message. It never holds tokens, evidence or keys;
// thumbprints are names.
func (t *TAM) log(ctx context.Context, x *exchange, out outcome, err error) {
	level := slog.LevelInfo
	switch {
	case err != nil:
		level = slog.LevelError
	case routine[out.reason]:
		level = slog.LevelDebug
	case nextStep(x, out) != "":
		level = slog.LevelWarn
	}
	if !t.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("endpoint", x.ep.Path)}
	if x.env != nil {
		attrs = append(attrs, slog.String("message", x.env.Kind().String()))
	}
	if x.key != nil {
		attrs = append(attrs, slog.Any("agent", x.thumbprint()))
	}
	if x.device != "" {
		attrs = append(attrs, slog.String("device", string(x.device)))
	}
	if out.reply != nil {
		attrs = append(attrs, slog.String("reply", out.reply.Kind().String()))
	}
	if out.reason != "" {
		attrs = append(attrs, slog.String("reason", string(out.reason)))
	}
	if out.detail != "" {
		attrs = append(attrs, slog.String("detail", shortened(out.detail, maxLogged)))
	}
	if next := nextStep(x, out); next != "" {
		attrs = append(attrs, slog.String("next", next))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	t.cfg.Log.LogAttrs(ctx, level, "teep message", attrs...)
}

// What QueryRequests ask for. The extensions bit is left clear until there is an
// extension to use: an agent without any could not even answer it, since ext-list
// must not be empty.
const (
	tokenItems     = teep.ItemTrustedComponents
	challengeItems = teep.ItemTrustedComponents | teep.ItemAttestation
)

// queryRequest makes a QueryRequest with a token, or a challenge where evidence is
// asked for: a token stands in it if and only if the attestation bit is clear. Where
// a timestamp shows that evidence is fresh there is no challenge either, nor for
// passports, but for an agent that does not know how. suite is the agent's, where it is known.
func (t *TAM) queryRequest(ep *Endpoint, p purpose, to *cosekit.Thumbprint, suite cosekit.Algorithm) (*teep.QueryRequest, error) {
	q := &teep.QueryRequest{
		Versions:     []uint32{0},
		CipherSuites: []teep.CipherSuite{teep.SuiteESP256, teep.SuiteEd25519},
		COSEProfiles: teep.TEEPProfiles,
		DataItems:    p.items(),
	}
	if isLegacy(suite) {
		q.CipherSuites = append([]teep.CipherSuite{{{COSEType: cosekit.TagSign1, Algorithm: suite}}}, q.CipherSuites...)
	}
	if p.challenge() && ep.byTime() && !p.retried() {
		q.FreshnessMechanisms = []teep.FreshnessMechanism{teep.FreshnessTimestamp}
		return q, nil
	}
	secret, err := t.tokens.issue(ep, p, to)
	if err != nil {
		return nil, err
	}
	if p.challenge() {
		q.Challenge = secret
		q.FreshnessMechanisms = []teep.FreshnessMechanism{teep.FreshnessNonce}
	} else {
		q.Token = secret
	}
	return q, nil
}
