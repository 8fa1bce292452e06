package awssts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// door is an STS as it is asked. The SDK says where it is and by which client, and makes no call: its layers cost more than
// all else that a pod's credentials cost (docs/adr/0013-aws-behind-an-account.md).
type door struct {
	url, region string
	client      *http.Client
	signer      *v4.Signer
	ahead       atomic.Int64 // of our clock, in nanoseconds, as its refusals have shown
}

// newDoor finds the place as the SDK does, with all that the environment says of FIPS, IPv6 and other addresses.
func newDoor(ctx context.Context, own *aws.Config, at Place) (*door, error) {
	o := sts.NewFromConfig(*own, func(o *sts.Options) {
		if o.Region = at.Region; at.Endpoint != "" {
			o.BaseEndpoint = aws.String(at.Endpoint)
		}
	}).Options()
	found, err := o.EndpointResolverV2.ResolveEndpoint(ctx, sts.EndpointParameters{
		Region: aws.String(at.Region), Endpoint: o.BaseEndpoint,
		UseFIPS:           aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack:      aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		UseGlobalEndpoint: aws.Bool(false),
	})
	if err != nil {
		return nil, err
	}
	if found.URI.Path == "" {
		found.URI.Path = "/"
	}
	return &door{url: found.URI.String(), region: at.Region, client: newHTTP(own.HTTPClient), signer: v4.NewSigner()}, nil
}

// form is the body of a call.
type form struct {
	strings.Builder
	operation string
}

func newForm(action string) *form {
	f := &form{operation: action}
	f.Grow(2 << 10)
	f.WriteString("Action=" + action + "&Version=2011-06-15")
	return f
}

func (f *form) add(name, value string) {
	f.WriteByte('&')
	f.WriteString(name)
	f.WriteByte('=')
	f.WriteString(url.QueryEscape(value))
}

func (in *Assumption) form(length time.Duration) *form {
	f := newForm("AssumeRole")
	f.add("RoleArn", in.Role.String())
	f.add("RoleSessionName", in.SessionName)
	f.add("DurationSeconds", strconv.Itoa(int(length/time.Second)))
	if in.ExternalID != "" {
		f.add("ExternalId", in.ExternalID)
	}
	if in.Policy != "" {
		f.add("Policy", in.Policy)
	}
	for i, t := range in.Tags {
		n := strconv.Itoa(i + 1)
		f.add("Tags.member."+n+".Key", t.Key)
		f.add("Tags.member."+n+".Value", t.Value)
		f.add("TransitiveTagKeys.member."+n, t.Key)
	}
	return f
}

type assumeRoleResponse struct {
	XMLName xml.Name `xml:"AssumeRoleResponse"`
	Result  struct {
		Credentials struct {
			AccessKeyID     string    `xml:"AccessKeyId"`
			SecretAccessKey string    `xml:"SecretAccessKey"`
			SessionToken    string    `xml:"SessionToken"`
			Expiration      time.Time `xml:"Expiration"`
		} `xml:"Credentials"`
		User struct {
			ARN string `xml:"Arn"`
			ID  string `xml:"AssumedRoleId"`
		} `xml:"AssumedRoleUser"`
		Packed int `xml:"PackedPolicySize"`
	} `xml:"AssumeRoleResult"`
}

type getCallerIdentityResponse struct {
	XMLName xml.Name `xml:"GetCallerIdentityResponse"`
	Result  struct {
		ARN     string `xml:"Arn"`
		Account string `xml:"Account"`
	} `xml:"GetCallerIdentityResult"`
}

type errorResponse struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	Error   struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	} `xml:"Error"`
	RequestID string `xml:"RequestId"`
}

// told is what STS says beside its answer.
type told struct {
	requestID string
	date      time.Time // of its clock; zero: it does not say
}

var errUnreadable = errors.New("STS's answer cannot be read") // the cause could quote a secret

const (
	attempts = 2                      // of one call: for a connection that broke, an answer of 5xx, and a clock that is off
	pause    = 250 * time.Millisecond // before the second at most: a pod waits
)

// ask makes one call and reads its answer. What STS refuses is a *Refusal. Throttling is left to whoever spares STS: to ask
// again at once is what it asks us not to do.
func (s *STS) ask(ctx context.Context, d *door, as aws.Credentials, form *form, into any) (told, error) {
	text := form.String()
	for left := attempts - 1; ; left-- {
		ahead := time.Duration(d.ahead.Load())
		began := s.now()
		said, err := s.once(ctx, d, as, text, ahead, into)
		s.observe(form.operation, began, err)
		if err == nil || left == 0 || ctx.Err() != nil {
			return said, err
		}
		switch {
		case s.learnClock(d, err, said, ahead):
		case !mayPass(err):
			return said, err
		default:
			wait := time.NewTimer(rand.N(pause))
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ctx.Done():
				return said, err
			}
		}
	}
}

func (s *STS) once(ctx context.Context, d *door, as aws.Credentials, form string, ahead time.Duration, into any) (said told, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, strings.NewReader(form))
	if err != nil {
		return said, fmt.Errorf("building the request: %w", err)
	}
	r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	r.Header["User-Agent"] = []string{"lanyard"}
	digest := sha256.Sum256([]byte(form))
	if err := d.signer.SignHTTP(ctx, as, r, hex.EncodeToString(digest[:]), "sts", d.region, s.now().Add(-ahead)); err != nil {
		return said, fmt.Errorf("signing the request: %w", err)
	}
	// A second session does no harm: an idle connection that STS has just closed is replaced. Without a value the header is
	// not sent.
	r.Header["Idempotency-Key"] = []string{}
	response, err := d.client.Do(r)
	if err != nil {
		return said, err
	}
	body, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return said, err
	}
	said.requestID = clip(response.Header.Get("X-Amzn-Requestid"))
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		said.date = date
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return said, readRefusal(response.StatusCode, said.requestID, body)
	}
	if err := xml.Unmarshal(body, into); err != nil {
		return said, errUnreadable
	}
	return said, nil
}

// readRefusal is without a code where whoever answers is not STS, or has no words for its trouble.
func readRefusal(status int, requestID string, body []byte) *Refusal {
	var wire errorResponse
	if xml.Unmarshal(body, &wire) != nil {
		wire = errorResponse{}
	}
	r := &Refusal{Code: clip(wire.Error.Code), Message: clip(wire.Error.Message), RequestID: requestID, status: status}
	if requestID == "" {
		r.RequestID = clip(wire.RequestID)
	}
	for _, action := range []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"} {
		if strings.Contains(wire.Error.Message, "perform: "+action+" ") {
			r.Action = action
		}
	}
	return r
}

// mayPass reports whether the same question may be answered in a moment.
func mayPass(err error) bool {
	var r *Refusal
	if errors.As(err, &r) {
		_, late := retry.DefaultRetryableErrorCodes[r.Code]
		return (late || r.status >= http.StatusInternalServerError) && !r.throttles()
	}
	for _, final := range []error{errInsecure, errRedirect, errTooLong, errUnreadable} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// offClock are the codes by which STS refuses a signature, be it for its time.
var offClock = map[string]bool{
	"RequestTimeTooSkewed": true, "SignatureDoesNotMatch": true, "InvalidSignatureException": true, "AuthFailure": true, "RequestExpired": true,
}

// learnClock reports whether STS refused a signature made by a clock that is off, and remembers how far.
func (s *STS) learnClock(d *door, err error, said told, ahead time.Duration) bool {
	var r *Refusal
	if !errors.As(err, &r) || !offClock[r.Code] || said.date.IsZero() {
		return false
	}
	found := s.now().Sub(said.date)
	if (found - ahead).Abs() <= slack-skewed {
		return false // STS allows for five minutes
	}
	d.ahead.Store(int64(found))
	return true
}
