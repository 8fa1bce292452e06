package gateway

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// code is one of S3's error codes with the status and the sentence that go with it
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
type code struct {
	name     string
	status   int
	sentence string // said when the error has no text for the caller
}

// Codes that only this door gives: no other wire has a place for them, so they are no kinds.
var (
	accessForbidden = code{"AccessForbidden", http.StatusForbidden, "CORSResponse: This CORS request is not allowed: the bucket's CORS rules have the origin, method or headers not, or there are none."}
	badRequest      = code{"BadRequest", http.StatusBadRequest, "Bad Request"}
	bodyMismatch    = code{
		"XAmzContentSHA256Mismatch", http.StatusBadRequest,
		"The provided 'x-amz-content-sha256' header does not match what was computed.",
	}
	badDigest     = code{"BadDigest", http.StatusBadRequest, "The Content-MD5 you specified did not match what we received."}
	badParameters = code{
		"AuthorizationQueryParametersError", http.StatusBadRequest,
		"Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
	}
	entityTooLarge       = code{"EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size"}
	illegalLocation      = code{"IllegalLocationConstraintException", http.StatusBadRequest, "The location constraint is not this region."}
	incompleteBody       = code{"IncompleteBody", http.StatusBadRequest, "You did not provide the number of bytes specified by the Content-Length HTTP header"}
	invalidBucketName    = code{"InvalidBucketName", http.StatusBadRequest, "The specified bucket is not valid."}
	invalidChunkSize     = code{"InvalidChunkSizeError", http.StatusForbidden, "Only the last chunk is allowed to have a size less than 8192 bytes"}
	invalidDigest        = code{"InvalidDigest", http.StatusBadRequest, "The Content-MD5 you specified was invalid."}
	invalidRequest       = code{"InvalidRequest", http.StatusBadRequest, "Invalid Request"}
	invalidToken         = code{"InvalidToken", http.StatusBadRequest, "The provided token is malformed or otherwise invalid."}
	invalidURI           = code{"InvalidURI", http.StatusBadRequest, "Couldn't parse the specified URI."}
	keyTooLong           = code{"KeyTooLongError", http.StatusBadRequest, "Your key is too long"}
	malformedTrailer     = code{"MalformedTrailerError", http.StatusBadRequest, "The request contained trailing data that was not well-formed or did not conform to our published schema."}
	metadataTooLarge     = code{"MetadataTooLarge", http.StatusBadRequest, "Your metadata headers exceed the maximum allowed metadata size"}
	methodNotAllowed     = code{"MethodNotAllowed", http.StatusMethodNotAllowed, "The specified method is not allowed against this resource."}
	missingContentLength = code{"MissingContentLength", http.StatusLengthRequired, "You must provide the Content-Length HTTP header."}
	requestTimeout       = code{"RequestTimeout", http.StatusBadRequest, "Your socket connection to the server was not read from or written to within the timeout period."}
)

// internalError is said when the reason is nobody's business.
var internalError = code{"InternalError", http.StatusInternalServerError, "We encountered an internal error. Please try again."}

// codes says for each kind of failure what S3 calls it.
var codes = map[fault.Kind]code{
	fault.Internal:           internalError,
	fault.Invalid:            {"InvalidArgument", http.StatusBadRequest, "Invalid Argument"},
	fault.Malformed:          {"MalformedXML", http.StatusBadRequest, "The XML you provided was not well-formed or did not validate against our published schema"},
	fault.MalformedPolicy:    {"MalformedPolicy", http.StatusBadRequest, "Policy document is malformed"},
	fault.TooLarge:           {"MaxMessageLengthExceeded", http.StatusBadRequest, "Your request was too big."},
	fault.NotFound:           {"NoSuchKey", http.StatusNotFound, "The specified key does not exist."},
	fault.Exists:             {"BucketAlreadyExists", http.StatusConflict, "The requested bucket name is not available."},
	fault.InUse:              {"BucketNotEmpty", http.StatusConflict, "The bucket you tried to delete is not empty."},
	fault.BadState:           {"InvalidBucketState", http.StatusConflict, "The request is not valid for the current state of the bucket."},
	fault.Limit:              {"TooManyBuckets", http.StatusBadRequest, "You have attempted to create more buckets than allowed."},
	fault.Unmodifiable:       {"AccessDenied", http.StatusForbidden, "Access Denied"},
	fault.Denied:             {"AccessDenied", http.StatusForbidden, "Access Denied"},
	fault.CrossAccount:       {"AccessDenied", http.StatusForbidden, "Access Denied"},
	fault.MissingAuth:        {"AccessDenied", http.StatusForbidden, "Access Denied"},
	fault.IncompleteAuth:     {"AuthorizationHeaderMalformed", http.StatusBadRequest, "The authorization header you provided is invalid."},
	fault.UnknownKey:         {"InvalidAccessKeyId", http.StatusForbidden, "The AWS Access Key Id you provided does not exist in our records."},
	fault.BadSignature:       {"SignatureDoesNotMatch", http.StatusForbidden, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	fault.Skewed:             {"RequestTimeTooSkewed", http.StatusForbidden, "The difference between the request time and the current time is too large."},
	fault.ExpiredCredentials: {"ExpiredToken", http.StatusBadRequest, "The provided token has expired."},
	fault.BadToken:           invalidToken,
	fault.ExpiredToken:       {"ExpiredToken", http.StatusBadRequest, "The provided token has expired."},
	fault.RejectedClaim:      invalidToken,
	fault.IssuerUnreachable:  {"ServiceUnavailable", http.StatusServiceUnavailable, "Please try again."},
	fault.UnknownOperation:   {"NotImplemented", http.StatusNotImplemented, "A header or query you provided implies functionality that is not implemented"},
	fault.Unsupported:        {"NotImplemented", http.StatusNotImplemented, "A header or query you provided implies functionality that is not implemented"},
	fault.Throttled:          {"SlowDown", http.StatusServiceUnavailable, "Please reduce your request rate."},
	fault.Unavailable:        {"ServiceUnavailable", http.StatusServiceUnavailable, "Please try again."},
}

// refusal is an error with a code that has no kind.
type refusal struct {
	code     code
	message  string
	upstream bool // the code is none of ours
}

func (e *refusal) Error() string { return e.code.name + ": " + e.message }

func refuse(c code, format string, args ...any) error {
	return &refusal{code: c, message: fmt.Sprintf(format, args...)}
}

// refusal is an error of the code that says no more than its sentence.
func (c code) refusal() error { return &refusal{code: c, message: c.sentence} }

// codeOf returns what S3 calls an error and the text that may leave the process.
func codeOf(err error) (code, string) {
	var known *refusal
	if errors.As(err, &known) {
		return known.code, known.message
	}
	found, ok := codes[fault.Of(err)]
	if !ok {
		found = internalError
	}
	message := fault.Message(err)
	if message == "" {
		message = found.sentence
	}
	return found, message
}

// label returns an error's code for a metric: one of ours, so that an upstream cannot make up labels.
func label(err error) string {
	if err == nil {
		return ""
	}
	var known *refusal
	if errors.As(err, &known) && known.upstream {
		return "Upstream"
	}
	found, _ := codeOf(err)
	return found.name
}

// hostID stands where S3 names the machine that answered. Which of ours it was is in the log, under the request id.
const hostID = "lanyard"

type errorBody struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

// WriteError answers a request with err in S3's shape
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), for the frame's own refusals too, and returns the
// code and status that it gave. A HEAD gets the status alone.
func WriteError(w http.ResponseWriter, r *http.Request, requestID string, err error) (name string, status int) {
	found, message := codeOf(err)
	mark(w, requestID)
	if r.Method == http.MethodHead {
		w.WriteHeader(found.status)
		return found.name, found.status
	}
	body, err := xml.Marshal(errorBody{
		Code: found.name, Message: message, Resource: r.URL.Path, RequestID: requestID, HostID: hostID,
	})
	if err != nil { // a struct of strings always has an XML form
		body = nil
	}
	body = append([]byte(xml.Header), body...)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // the answer is whole before the handler ends
	w.WriteHeader(found.status)
	_, _ = w.Write(body) // a client that is gone cannot be told
	return found.name, found.status
}

// mark begins an answer. The time for it is counted from here, as a body may have taken hours. It sets what every answer carries:
// the request's id, and the two headers that keep a browser from running what an object contains, because the console may share
// this address.
func mark(w http.ResponseWriter, requestID string) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(defaultIdle)) // as in until
	h, values := w.Header(), [...]string{requestID, hostID, "sandbox", "nosniff"}
	for i, name := range [...]string{"X-Amz-Request-Id", "X-Amz-Id-2", "Content-Security-Policy", "X-Content-Type-Options"} {
		h[name] = values[i : i+1 : i+1] // one allocation for all, as the names are canonical already
	}
}
