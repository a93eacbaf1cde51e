package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tamarack-tam/tamarack/internal/expr"
	"github.com/tamarack-tam/tamarack/tam"
)

// The problems that are not refusals of the fleet.
var (
	errUnauthorized    = errors.New("the request carries no valid bearer token")
	errTooManyAttempts = errors.New("too many requests without a valid bearer token")
	errMediaType       = errors.New("content type")
	errBodyTooLarge    = errors.New("the body is too large")
	errMalformed       = errors.New("malformed request")
	errNoRoute         = errors.New("there is nothing under this path")
	errMethod          = errors.New("the path does not take this method")
)

// kind is what all occurrences of a problem have in common.
type kind struct {
	err    error
	status int
	code   string // empty: the refusal's own
	title  string
	hint   string
}

// kinds is the one table from errors to problems. The first that errors.Is wins;
// what is not in it is a fault of the server, of which nothing is told.
var kinds = []kind{
	{errUnauthorized, http.StatusUnauthorized, "unauthorized", "Not authorized", "send the token of the server's token file; tamctl takes it from --token-file or TAMCTL_TOKEN_FILE"},
	{errTooManyAttempts, http.StatusTooManyRequests, "too-many-requests", "Too many requests", "wait, and check the token"},
	{errMediaType, http.StatusUnsupportedMediaType, "unsupported-media-type", "Unsupported media type", "set Content-Type as the description of the operation says"},
	{errBodyTooLarge, http.StatusRequestEntityTooLarge, "body-too-large", "Body too large", ""},
	{errMalformed, http.StatusBadRequest, "malformed-request", "Malformed request", "compare the request with the description of the operation"},
	{errNoRoute, http.StatusNotFound, "not-found", "Not found", "the operations are under /api/v1"},
	{errMethod, http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", ""},

	{tam.ErrEnvelopeMalformed, http.StatusUnprocessableEntity, "", "Malformed envelope", "make the envelope with tamctl suit create"},
	{tam.ErrEnvelopeTooLarge, http.StatusRequestEntityTooLarge, "", "Envelope too large", "let devices fetch the payload from a URI instead of carrying it in the envelope"},
	{tam.ErrBadSignature, http.StatusUnprocessableEntity, "", "No valid signature", "sign the envelope with tamctl suit sign"},
	{tam.ErrUnknownSigner, http.StatusUnprocessableEntity, "", "Unknown signer", "add the key that signed it with tamctl publisher add, or sign with a publisher's key"},
	{tam.ErrSignerNotAllowed, http.StatusUnprocessableEntity, "", "Signer not allowed", "sign with the key of a publisher of this component; tamctl publisher list shows who may sign what"},
	{tam.ErrSignatureMissing, http.StatusUnprocessableEntity, "", "Signature missing", "countersign the envelope with the key of another publisher: tamctl suit countersign"},
	{tam.ErrDependencyMissing, http.StatusUnprocessableEntity, "", "Dependency missing", "publish the dependency first, or create the manifest again with its envelope inside"},
	{tam.ErrNoManifestComponent, http.StatusUnprocessableEntity, "", "No manifest component id", "give the manifest a manifest component id and sign it again"},
	{tam.ErrSequenceNotAbove, http.StatusConflict, "", "Sequence number not above the last one", "create the manifest again with a higher sequence number and sign it"},
	{tam.ErrAlreadyPublished, http.StatusConflict, "", "Already published", "nothing is left to do"},
	{tam.ErrSeveredMismatch, http.StatusUnprocessableEntity, "", "Severed element does not match", "publish the envelope with all of its severed elements, as it was signed"},
	{tam.ErrNoTarget, http.StatusUnprocessableEntity, "", "Nothing to install", "let the manifest fetch, write or copy a component and state its image digest"},
	{tam.ErrPayloadMismatch, http.StatusUnprocessableEntity, "", "Payload mismatch", "create the manifest again from the payload that is to be installed"},
	{tam.ErrPayloadMissing, http.StatusUnprocessableEntity, "", "Payload missing", "upload it first: tamctl manifest publish ENVELOPE --payload FILE"},
	{tam.ErrUnsupportedManifest, http.StatusUnprocessableEntity, "", "Unsupported manifest", "mend the command that the detail names; docs/api.md says what can be published"},
	{tam.ErrPayloadTooLarge, http.StatusRequestEntityTooLarge, "", "Payload too large", "raise the limit of the server, or host the payload elsewhere"},
	{tam.ErrAmbiguous, http.StatusConflict, "", "Names more than one", "give more digits"},
	{tam.ErrDeviceState, http.StatusConflict, "", "Not possible in this state", "look at the device with tamctl device show"},
	{tam.ErrNoReason, http.StatusUnprocessableEntity, "", "Reason required", "say why, with --reason"},
	{tam.ErrNoComponent, http.StatusUnprocessableEntity, "", "Component required", "name the component, for example app/hello"},
	{tam.ErrRemovalOrdered, http.StatusConflict, "", "Removal ordered", "withdraw the removal first, with tamctl device remove-component --withdraw"},
	{tam.ErrStillRequired, http.StatusConflict, "", "Still required", "end the requirement first, with tamctl device unrequire"},
	{tam.ErrBadAnchor, http.StatusUnprocessableEntity, "", "Not a usable trust anchor", "mend what the detail names"},

	{tam.ErrBadPolicy, http.StatusUnprocessableEntity, "", "Not a usable policy", "mend the expression where the detail points; docs/attestation.md lists what policies can use"},
	{tam.ErrBadSelector, http.StatusUnprocessableEntity, "", "Not a usable selector", "mend the selector where the detail points, for example device.labels.site == \"hall-3\""},
	{tam.ErrBadLabels, http.StatusUnprocessableEntity, "", "Not usable as labels", "give names and values such as site=hall-3"},
	{tam.ErrGroupInUse, http.StatusConflict, "", "Group in use", "change or retire the policy that names it first"},
	{tam.ErrNoAppraisal, http.StatusConflict, "", "No attestation to go by", "let the device attest first; tamctl attestation list shows what there is"},
	{tam.ErrBadException, http.StatusUnprocessableEntity, "", "Not possible as an exception", "look at what was wrong with tamctl attestation list and show"},
	{tam.ErrBadReferences, http.StatusUnprocessableEntity, "", "Not usable as reference values", "make the file with tamctl reference-values, and add the key that signed it with tamctl reference-provider add"},
	{tam.ErrBadCertificate, http.StatusUnprocessableEntity, "", "Not usable as a device CA", "give the certificate of the CA itself, in PEM"},

	{tam.ErrNotFound, http.StatusNotFound, "not-found", "Not found", "list what there is"},
	{tam.ErrExists, http.StatusConflict, "exists", "Already exists", "look at what there is; it was left as it is"},
	{tam.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Unavailable for now", "try again soon; nothing was changed"},
}

var internal = kind{nil, http.StatusInternalServerError, "internal", "Internal error", "the log of the server says more"}

// problemOf finds what to tell about an error.
func problemOf(err error) Problem {
	k, detail := internal, "the server could not do this"
	for _, candidate := range kinds {
		if errors.Is(err, candidate.err) {
			k, detail = candidate, err.Error()
			break
		}
	}
	if k.code == "" {
		code, _ := tam.RefusalCode(err)
		k.code = string(code)
	}
	p := Problem{
		Type:  "tag:tamarack-tam.github.io,2026:problem:" + k.code,
		Title: k.title, Status: k.status, Detail: detail, Hint: k.hint, Code: k.code,
	}
	var at *expr.Error
	if k.status < http.StatusInternalServerError && errors.As(err, &at) {
		p.Line, p.Column = at.Line, at.Column
	}
	return p
}

// fail answers with the problem of err (RFC 9457) and ends the request.
func (s *server) fail(c *gin.Context, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		s.log.ErrorContext(c, "operators' request failed", "method", c.Request.Method, "route", c.FullPath(), "error", err.Error())
	}
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		c.Header("Retry-After", "1")
	}
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="tamarack"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number always encode
	}
	c.Abort()
	c.Data(p.Status, "application/problem+json", body)
}
