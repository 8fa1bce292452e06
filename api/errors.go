package api

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// Code is how a door shows a kind of failure.
type Code struct {
	Name   string
	Status int
}

// Errors is a door's table from kind to code. A kind that it lacks shows as Internal, so a door's test holds its table
// against fault.Kinds.
type Errors map[fault.Kind]Code

// What every AWS service in front of its operations says alike, in the two protocols. A door adds its own words for what
// its operations run into.
var (
	restErrors = Errors{
		fault.Internal:           {"InternalFailure", http.StatusInternalServerError},
		fault.Invalid:            {"InvalidParameterException", http.StatusBadRequest},
		fault.Malformed:          {"SerializationException", http.StatusBadRequest},
		fault.MalformedPolicy:    {"InvalidParameterException", http.StatusBadRequest},
		fault.TooLarge:           {"RequestEntityTooLargeException", http.StatusRequestEntityTooLarge},
		fault.NotFound:           {"ResourceNotFoundException", http.StatusNotFound},
		fault.BadState:           {"InvalidRequestException", http.StatusBadRequest},
		fault.Unmodifiable:       {"InvalidRequestException", http.StatusBadRequest},
		fault.MissingAuth:        {"MissingAuthenticationTokenException", http.StatusForbidden},
		fault.IncompleteAuth:     {"IncompleteSignatureException", http.StatusBadRequest},
		fault.UnknownKey:         {"UnrecognizedClientException", http.StatusForbidden},
		fault.BadSignature:       {"InvalidSignatureException", http.StatusForbidden},
		fault.Skewed:             {"InvalidSignatureException", http.StatusForbidden},
		fault.UnknownOperation:   {"UnknownOperationException", http.StatusNotFound},
		fault.Unsupported:        {"InvalidRequestException", http.StatusBadRequest},
		fault.Throttled:          {"ThrottlingException", http.StatusTooManyRequests},
		fault.Unavailable:        {"ServiceUnavailableException", http.StatusServiceUnavailable},
		fault.Exists:             {"ResourceInUseException", http.StatusConflict},
		fault.InUse:              {"ResourceInUseException", http.StatusConflict},
		fault.Limit:              {"ResourceLimitExceededException", http.StatusBadRequest},
		fault.Denied:             {"AccessDeniedException", http.StatusForbidden},
		fault.CrossAccount:       {"AccessDeniedException", http.StatusForbidden},
		fault.ExpiredCredentials: {"ExpiredTokenException", http.StatusForbidden},
		fault.BadToken:           {"InvalidParameterException", http.StatusBadRequest},
		fault.ExpiredToken:       {"InvalidParameterException", http.StatusBadRequest},
		fault.RejectedClaim:      {"InvalidParameterException", http.StatusBadRequest},
		fault.IssuerUnreachable:  {"ServiceUnavailableException", http.StatusServiceUnavailable},
	}
	queryErrors = Errors{
		fault.Internal:           {"InternalFailure", http.StatusInternalServerError},
		fault.Invalid:            {"ValidationError", http.StatusBadRequest},
		fault.Malformed:          {"MalformedInput", http.StatusBadRequest},
		fault.MalformedPolicy:    {"MalformedPolicyDocument", http.StatusBadRequest},
		fault.TooLarge:           {"RequestEntityTooLarge", http.StatusRequestEntityTooLarge},
		fault.Denied:             {"AccessDenied", http.StatusForbidden},
		fault.CrossAccount:       {"AccessDenied", http.StatusForbidden},
		fault.MissingAuth:        {"MissingAuthenticationToken", http.StatusForbidden},
		fault.IncompleteAuth:     {"IncompleteSignature", http.StatusBadRequest},
		fault.UnknownKey:         {"InvalidClientTokenId", http.StatusForbidden},
		fault.BadSignature:       {"SignatureDoesNotMatch", http.StatusForbidden},
		fault.Skewed:             {"SignatureDoesNotMatch", http.StatusForbidden},
		fault.ExpiredCredentials: {"ExpiredToken", http.StatusForbidden},
		fault.RejectedClaim:      {"IDPRejectedClaim", http.StatusForbidden},
		fault.IssuerUnreachable:  {"IDPCommunicationError", http.StatusBadRequest},
		fault.UnknownOperation:   {"InvalidAction", http.StatusBadRequest},
		fault.Throttled:          {"Throttling", http.StatusBadRequest},
		fault.Unavailable:        {"ServiceUnavailable", http.StatusServiceUnavailable},
	}
)

// RESTErrors returns the table of a REST-JSON door with the words that are its own.
func RESTErrors(own Errors) Errors { return restErrors.with(own) }

// QueryErrors returns the table of a query door with the words that are its own.
func QueryErrors(own Errors) Errors { return queryErrors.with(own) }

func (t Errors) with(own Errors) Errors {
	all := maps.Clone(t)
	maps.Copy(all, own)
	return all
}

// of returns the code and the text for the caller. Text of ours never leaves: the request id leads to it in the log.
func (t Errors) of(c *Call, err error) (Code, string) {
	kind := fault.Of(err)
	code, ok := t[kind]
	if c.Operation != nil {
		if own, has := c.Operation.Errors[kind]; has {
			code, ok = own, true
		}
	}
	if !ok || kind == fault.Internal {
		return t.internal(), fmt.Sprintf("The request %s failed because of an internal error.", c.ID)
	}
	return code, clip(fault.Message(err), maxMessage)
}

// Messages quote what was sent, which may be as long as a body: an answer and a line of the log stay short.
const (
	maxMessage = 2 << 10
	maxLogged  = 8 << 10 // a panic's stack is in it
)

func clip(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "") + "…"
}

func (t Errors) name(c *Call, err error) string {
	code, _ := t.of(c, err)
	return code.Name
}

func (t Errors) internal() Code {
	if code, ok := t[fault.Internal]; ok {
		return code
	}
	return Code{"InternalFailure", http.StatusInternalServerError}
}
