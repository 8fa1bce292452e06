// Package sigv4 verifies AWS signatures of version 4 in their header, query and chunk forms, and makes those of the header.
//
// The specification is https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html, with S3's rules from
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. Parse is cheap and strict and comes
// before any look-up; the caller then finds the key, hashes the body as its service demands, and calls Verify. A body in
// chunks is declared and not hashed; Chunks reads and verifies it.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeForm   = "20060102T150405Z"
	dateForm   = "20060102"
	s3         = "s3"
	sts        = "sts"

	// UnsignedPayload stands in the place of the body's hash where a client of S3 leaves the body to the transport.
	UnsignedPayload = "UNSIGNED-PAYLOAD"

	// The three bodies in chunks (content coding aws-chunked) that S3 takes; two of them end with trailing headers.
	StreamingSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

	streamingV4A        = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
	streamingV4ATrailer = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"

	// MaxSkew is how far a request's time may be from ours, either way.
	MaxSkew = 15 * time.Minute
)

// Signature is the authorization of one request as its headers or its query state it. Nothing in it is proven until
// Verify.
type Signature struct {
	KeyID                 string // the access key id
	Date, Region, Service string // the scope; Date is YYYYMMDD and the day of Time
	Time                  time.Time
	SignedHeaders         []string      // lower case, sorted
	Token                 string        // X-Amz-Security-Token, or ""
	PayloadHash           string        // X-Amz-Content-Sha256 as sent: 64 hex digits, UnsignedPayload or Streaming* at S3, or ""
	Expires               time.Duration // how long after Time a presigned URL is good; 0 in header form

	scope string // DATE/REGION/SERVICE/aws4_request
	mac   [sha256.Size]byte
	query map[string]string // the signature's parameters of a presigned URL
	key   *Key              // set by Verify, for the chunks of the body; a pointer, so that no print shows it
}

// Presigned reports whether the signature stands in the query.
func (s *Signature) Presigned() bool { return s.query != nil }

// Streaming reports whether the body comes in chunks, which Chunks reads.
func (s *Signature) Streaming() bool { return isStreaming(s.PayloadHash) }

func isStreaming(hash string) bool {
	return hash == StreamingSigned || hash == StreamingSignedTrailer || hash == StreamingUnsignedTrailer
}

// LogValue shows who signed for what, and neither the token nor the signature.
func (s Signature) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key", s.KeyID), slog.String("scope", s.scope), slog.Time("time", s.Time))
}

// CheckTime refuses a signature made more than MaxSkew before or after now, and a presigned URL from its time of expiry
// on. The error is Skewed and names both times, so that whoever reads it knows which clock to set.
//
// STS's own rule is another one: a presigned GetCallerIdentity is good for MaxSkew, whatever it says itself. Tokens of
// `aws eks get-token` rely on it: they say 60 seconds and are used for 14 minutes.
func (s *Signature) CheckTime(now time.Time) error {
	skew := now.Sub(s.Time)
	expires := s.Presigned() && s.Service == s3
	if expires && skew >= s.Expires {
		return fault.New(fault.Skewed, "Request has expired: it was good until %s and the server's time is %s",
			s.Time.Add(s.Expires).Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if skew < -MaxSkew || skew > MaxSkew && !expires {
		return fault.New(fault.Skewed, "the request was signed at %s and the server's time is %s: at most %d minutes apart are accepted",
			s.Time.Format(time.RFC3339), now.UTC().Format(time.RFC3339), int(MaxSkew.Minutes()))
	}
	return nil
}

// Verify holds the request against its signature. The payload hash is what the caller computed of the body in lower-case
// hex, or at S3 what the client declared instead; it must be what the client declared, where it declared one. r must be as
// received: a header that a proxy or a Transport changed since is a header that does not verify. The error is BadSignature.
func (s *Signature) Verify(r *http.Request, key Key, payloadHash string) error {
	return s.verify(r, key, payloadHash, ruleOf(s.Service))
}

func (s *Signature) verify(r *http.Request, key Key, payloadHash string, rule pathRule) error {
	unsigned := s.Service == s3 && (payloadHash == UnsignedPayload || isStreaming(payloadHash))
	if !unsigned && !isHash(payloadHash) {
		return fault.New(fault.BadSignature, "payload hash %q: the SHA-256 of the body in hex is accepted, and %s at service s3", payloadHash, UnsignedPayload)
	}
	if s.PayloadHash != "" && s.PayloadHash != payloadHash {
		return fault.New(fault.BadSignature, "the body is not the one that X-Amz-Content-Sha256 %q declares", s.PayloadHash)
	}
	var space [2048]byte
	canonical, err := appendCanonical(space[:0], r, wirePath(r.URL), rule, s.SignedHeaders, payloadHash)
	if err != nil {
		return err
	}
	want := compute(canonical, key, s.Time, s.scope)
	if !hmac.Equal(want[:], s.mac[:]) {
		return fault.New(fault.BadSignature, "the signature does not fit the request: check the secret access key, and that "+
			"nothing on the way changed the method, path, query, body or a signed header")
	}
	if s.Streaming() {
		s.key = &key
	}
	return nil
}

// Sign adds the headers of a signature to a request that is about to be sent: X-Amz-Date, X-Amz-Security-Token where
// token is not empty, X-Amz-Content-Sha256 at S3, and Authorization; earlier ones are replaced. It signs Host, Content-Type,
// Content-Md5 and every X-Amz-* header, and leaves out those that a Transport may still change. A request whose query has
// no canonical form stays without Authorization, since every server would refuse it.
func Sign(r *http.Request, keyID, secret, token, region, service, payloadHash string, now time.Time) {
	sign(r, Derive, keyID, secret, token, region, service, payloadHash, now)
}

// Sign does what the function Sign does, with the signing key from memory where it can.
func (c *Cache) Sign(r *http.Request, keyID, secret, token, region, service, payloadHash string, now time.Time) {
	sign(r, c.Derive, keyID, secret, token, region, service, payloadHash, now)
}

type derive func(secret, date, region, service string) Key

func sign(r *http.Request, derive derive, keyID, secret, token, region, service, payloadHash string, now time.Time) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for _, name := range []string{"Authorization", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		r.Header.Del(name)
	}
	now = now.UTC()
	r.Header.Set("X-Amz-Date", now.Format(timeForm))
	if token != "" {
		r.Header.Set("X-Amz-Security-Token", token)
	}
	if service == s3 {
		r.Header.Set("X-Amz-Content-Sha256", payloadHash)
	}
	signed := []string{"host"}
	for name := range r.Header {
		if isAmz(name) || name == "Content-Type" || name == "Content-Md5" {
			signed = append(signed, strings.ToLower(name))
		}
	}
	slices.Sort(signed)
	var space [1024]byte
	canonical, err := appendCanonical(space[:0], r, r.URL.EscapedPath(), ruleOf(service), signed, payloadHash)
	if err != nil {
		return
	}
	date := now.Format(dateForm)
	scope := date + "/" + region + "/" + service + "/" + terminator
	sum := compute(canonical, derive(secret, date, region, service), now, scope)
	r.Header.Set("Authorization", algorithm+" Credential="+keyID+"/"+scope+
		", SignedHeaders="+strings.Join(signed, ";")+", Signature="+hex.EncodeToString(sum[:]))
}

// compute returns the signature of a canonical request.
func compute(canonical []byte, key Key, at time.Time, scope string) [sha256.Size]byte {
	return mac(key[:], appendStringToSign(make([]byte, 0, 256), canonical, at, scope))
}

func appendStringToSign(b, canonical []byte, at time.Time, scope string) []byte {
	b = append(b, algorithm+"\n"...)
	b = at.UTC().AppendFormat(b, timeForm)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	digest := sha256.Sum256(canonical)
	return hex.AppendEncode(b, digest[:])
}

// isAmz reports whether a header's name begins with X-Amz- in any case.
func isAmz(name string) bool {
	const prefix = "X-Amz-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// isHash reports whether s is a SHA-256 in lower-case hex.
func isHash(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
