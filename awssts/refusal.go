package awssts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/openlanyard/lanyard/fault"
)

// Refusal is what STS answered instead of a session. It is for the audit and the log: it names Lanyard's identity, which
// pods need not know.
type Refusal struct {
	Code, Message string // as STS says them, cut to a few hundred bytes
	RequestID     string
	Action        string // what STS says was not allowed: sts:AssumeRole, sts:TagSession; "" is not said
	status        int    // of HTTP
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("STS: %s: %s (request %s)", r.Code, r.Message, r.RequestID)
}

const maxText = 500

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

func (r *Refusal) throttles() bool {
	_, known := retry.DefaultThrottleErrorCodes[r.Code]
	return known || r.status == http.StatusTooManyRequests
}

// ours are the codes by which STS refuses Lanyard's own credentials and not what they asked for. They may pass, and no pod
// is to lose what it has because of them.
var ours = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "InvalidClientTokenId": true, "UnrecognizedClientException": true,
	"SignatureDoesNotMatch": true, "InvalidSignatureException": true, "IncompleteSignature": true, "RequestExpired": true,
	"MissingAuthenticationToken": true, "InvalidAccessKeyId": true, "AuthFailure": true, "OptInRequired": true, "NotAuthorized": true,
	"RequestTimeTooSkewed": true,
}

// refusal gives an error of a call its kind, and the words that the node's side may show.
func (s *STS) refusal(err error, role string) error {
	var r *Refusal
	switch {
	case errors.As(err, &r):
	case errors.Is(err, context.Canceled):
		return err
	default:
		r = &Refusal{}
	}
	code := r.Code
	request := ""
	if r.RequestID != "" {
		request = " (STS request " + r.RequestID + ")"
	}
	switch {
	case r.throttles():
		return fault.Hide(fault.Throttled, r, "AWS STS asks for fewer requests%s; try again.", request)
	case code == "":
		return fault.Hide(fault.Unavailable, err, "AWS STS cannot be reached or does not answer as STS does; try again.")
	case r.status >= http.StatusInternalServerError:
		return fault.Hide(fault.Unavailable, r, "AWS STS is in trouble%s; try again.", request)
	case ours[code]:
		s.doubt()
		return fault.Hide(fault.Unavailable, r, "AWS STS does not accept Lanyard's own identity: %s%s; try again later.", r.Code, request)
	case code == "AccessDenied" || code == "AccessDeniedException":
		action := r.Action
		if action == "" {
			action = "sts:AssumeRole"
		}
		return fault.Hide(fault.Denied, r, "AWS does not let Lanyard assume %s: %s is not allowed, by the role's trust policy most likely%s. "+
			"`lanyard account verify` says which statement is missing.", role, action, request)
	case code == "NoSuchEntity":
		return fault.Hide(fault.Denied, r, "AWS knows no role %s%s.", role, request)
	case code == "PackedPolicyTooLarge":
		return fault.Hide(fault.Limit, r, "AWS cannot pack the session tags and the policy for %s: %s%s. "+
			"Shorter names or disableSessionTags help.", role, r.Message, request)
	case code == "MalformedPolicyDocument":
		return fault.Hide(fault.MalformedPolicy, r, "AWS does not accept the session policy for %s: %s%s", role, r.Message, request)
	case code == "RegionDisabledException":
		return fault.Hide(fault.BadState, r, "STS is switched off in this region for the AWS account of %s%s.", role, request)
	case code == "ValidationError" || code == "ValidationException" || code == "InvalidParameterValue":
		return fault.Hide(fault.Invalid, r, "AWS does not accept the request for %s: %s%s", role, r.Message, request)
	}
	return fault.Hide(fault.Unavailable, r, "AWS STS answers %s%s; try again.", r.Code, request)
}

func unreadable(why string) error {
	return fault.Hide(fault.Unavailable, errors.New("STS's answer: "+why), "AWS STS does not answer as STS does; try again.")
}
