package sigv4_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

const (
	keyID  = "LKIAEXAMPLE000000001"
	secret = "not-a-secret/of+anyone"
	token  = "a-session-token=="
	// emptyHash is the SHA-256 of no bytes.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	otherHash = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
)

var noon = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)

func request(t testing.TB, method, target string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signed returns a request that Parse accepts and Verify confirms.
func signed(t testing.TB, service string) *http.Request {
	t.Helper()
	r := request(t, http.MethodGet, "http://127.0.0.1:8780/bucket/key%20one?list-type=2&prefix=a%2Fb")
	r.Header.Set("Content-Type", "text/plain")
	sigv4.Sign(r, keyID, secret, token, "eu-west-1", service, emptyHash, noon)
	return r
}

func TestParse(t *testing.T) {
	got, err := sigv4.Parse(signed(t, "s3"))
	if err != nil {
		t.Fatal(err)
	}
	want := &sigv4.Signature{
		KeyID: keyID, Date: "20260309", Region: "eu-west-1", Service: "s3", Time: noon,
		SignedHeaders: []string{"content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"},
		Token:         token, PayloadHash: emptyHash,
	}
	if diff := cmp.Diff(got, want, cmpopts.IgnoreUnexported(sigv4.Signature{})); diff != "" {
		t.Errorf("Parse (-got +want):\n%s", diff)
	}
}

// edit changes one part of a good Authorization header.
func edit(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		header := r.Header.Get("Authorization")
		r.Header.Set("Authorization", strings.Replace(header, from, to, 1))
	}
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func add(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func unset(name string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Del(name) }
}

func query(raw string) func(*http.Request) {
	return func(r *http.Request) { r.URL.RawQuery = raw }
}

func all(changes ...func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) {
		for _, change := range changes {
			change(r)
		}
	}
}

// TestParseAccepts lists the freedoms that clients take.
func TestParseAccepts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
	}{
		{"as signed", func(*http.Request) {}},
		{"commas without spaces", edit(", ", ",")},
		{"parts in another order", func(r *http.Request) {
			parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ", ")
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+parts[2]+", "+parts[0]+", "+parts[1])
		}},
		{"an unsigned header that is not X-Amz-*", set("X-Amzn-Trace-Id", "Root=1-2")},
		{"Date beside X-Amz-Date, of another day", set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")},
		{"a parameter that only looks like SigV2's", query("Signature=x&Expires=1")},
		{"X-Amz- in a query that is no authentication", query("x-amz-checksum-mode=ENABLED")},
		{"another region", edit("eu-west-1", "default_1.x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, "s3")
			tt.change(r)
			if _, err := sigv4.Parse(r); err != nil {
				t.Errorf("Parse: %v", err)
			}
		})
	}
}

// TestParseRefuses is the table of refusals: kind, and what the message must say for the caller to know what to do.
func TestParseRefuses(t *testing.T) {
	const incomplete = fault.IncompleteAuth
	unsigned := unset("Authorization")
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		kind   fault.Kind
		says   string
	}{
		{"unsigned", unsigned, fault.MissingAuth, "--no-sign-request"},
		{"SigV2 header", set("Authorization", "AWS AKID:c2ln"), fault.Unsupported, "aws configure set default.s3.signature_version s3v4"},
		{"SigV2 query", all(unsigned, query("AWSAccessKeyId=AKID&Signature=c2ln&Expires=1")), fault.Unsupported, "aws configure set default.s3.signature_version s3v4"},
		{"SigV4A", set("Authorization", "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260309/s3/aws4_request"), fault.Unsupported, "AWS_AUTH_SCHEME_PREFERENCE=sigv4"},
		{"presigned, in part", all(unsigned, query("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00")), fault.IncompleteAuth, "lacks X-Amz-Credential"},
		{"presigned, escaped name", all(unsigned, query("X%2DAmz%2dSignature=00")), fault.IncompleteAuth, "lacks X-Amz-Algorithm"},
		{"browser form", all(unsigned, func(r *http.Request) { r.Method = http.MethodPost }, set("Content-Type", "multipart/form-data; boundary=x")), fault.Unsupported, "PutObject"},
		{"s3express", edit("/s3/", "/s3express/"), fault.Unsupported, "--x-s3"},
		{"streaming body of version 4A", set("X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"), fault.Unsupported, "AWS_AUTH_SCHEME_PREFERENCE=sigv4"},
		{"streaming body of a kind that is none", set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS"), fault.IncompleteAuth, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
		{"unsigned body outside S3", all(edit("/s3/", "/eks/"), set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")), fault.Unsupported, `"eks"`},

		{"two Authorization headers", add("Authorization", "AWS4-HMAC-SHA256 x"), incomplete, "exactly one"},
		{"header and query", query("prefix=a&x-amz-credential=AKID"), incomplete, "both"},
		{"header and SigV2 query", query("AWSAccessKeyId=AKID"), incomplete, "both"},
		{"header and a token in the query", query("X-Amz-Security-Token=t"), incomplete, "both"},
		{"bearer token", set("Authorization", "Bearer x"), incomplete, "AWS4-HMAC-SHA256"},
		{"empty", set("Authorization", ""), incomplete, "AWS4-HMAC-SHA256"},
		{"algorithm alone", set("Authorization", "AWS4-HMAC-SHA256"), incomplete, "Credential"},
		{"algorithm in lower case", edit("AWS4-HMAC", "aws4-hmac"), incomplete, "AWS4-HMAC-SHA256"},
		{"too long", set("Authorization", "AWS4-HMAC-SHA256 "+strings.Repeat("x", 8<<10)), incomplete, "8192"},
		{"unknown part", edit("Signature=", "Extra=1, Signature="), incomplete, `"Extra"`},
		{"part twice", edit("Signature=", "Credential=x, Signature="), incomplete, "two parts"},
		{"empty part", edit("Signature=", "Signature=,X="), incomplete, `"Signature"`},
		{"no signature", func(r *http.Request) {
			head, _, _ := strings.Cut(r.Header.Get("Authorization"), ", Signature=")
			r.Header.Set("Authorization", head)
		}, incomplete, "without Signature"},
		{"no credential", edit("Credential="+keyID+"/20260309/eu-west-1/s3/aws4_request, ", ""), incomplete, "without Credential"},

		{"credential of four parts", edit("/eu-west-1", ""), incomplete, "KEYID/YYYYMMDD/REGION/SERVICE"},
		{"credential of six parts", edit("/eu-west-1", "/eu/west-1"), incomplete, "KEYID/YYYYMMDD/REGION/SERVICE"},
		{"another terminator", edit("aws4_request", "aws5_request"), incomplete, "aws4_request"},
		{"no key id", edit(keyID, ""), incomplete, "KEYID"},
		{"key id with a control character", edit(keyID, "A\x01B"), incomplete, "KEYID"},
		{"key id too long", edit(keyID, strings.Repeat("A", 129)), incomplete, "KEYID"},
		{"no region", edit("eu-west-1", ""), incomplete, "REGION"},
		{"no service", edit("/s3/", "//"), incomplete, "SERVICE"},
		{"date of another day", edit("20260309", "20260308"), incomplete, "the same day"},
		{"date in another form", edit("20260309", "2026-03-09"), incomplete, "the same day"},

		{"signed headers in upper case", edit("content-type", "Content-Type"), incomplete, "lower case"},
		{"signed headers not sorted", edit("content-type;host", "host;content-type"), incomplete, "sorted"},
		{"signed header twice", edit("host;", "host;host;"), incomplete, "each once"},
		{"empty signed header", edit("host;", "host;;"), incomplete, "lower case"},
		{"host not signed", edit("host;", ""), incomplete, "host"},
		{"signed header absent", unset("Content-Type"), incomplete, `"content-type"`},
		{"too many signed headers", edit("host", "host"+strings.Repeat(";x", 100)), incomplete, "at most 100"},
		{"signed header name too long", edit("host", "host;"+strings.Repeat("h", 129)), incomplete, "lower case"},
		{"unsigned X-Amz header", set("X-Amz-Acl", "public-read"), incomplete, `"X-Amz-Acl"`},
		{"unsigned token", edit(";x-amz-security-token", ""), incomplete, `"X-Amz-Security-Token"`},
		{"unsigned date", edit(";x-amz-date", ""), incomplete, `"X-Amz-Date"`},

		{"signature too short", edit("Signature=", "Signature=0\x00"), incomplete, "64 hex digits"},
		{"signature in upper case", func(r *http.Request) {
			head, sum, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", head+"Signature="+strings.Repeat("A", len(sum)))
		}, incomplete, "64 hex digits"},

		{"two dates", add("X-Amz-Date", "20260309T120000Z"), incomplete, "at most one"},
		{"date not ISO 8601", set("X-Amz-Date", "2026-03-09T12:00:00Z"), incomplete, "20060102T150405Z"},
		{"date with an offset", set("X-Amz-Date", "20260309T120000+0100"), incomplete, "20060102T150405Z"},
		{"no date at all", all(unset("X-Amz-Date"), edit(";x-amz-date", "")), incomplete, "X-Amz-Date"},
		{"Date not signed", all(unset("X-Amz-Date"), edit(";x-amz-date", ""), set("Date", noon.Format(http.TimeFormat))), incomplete, "lacks date"},
		{"two tokens", add("X-Amz-Security-Token", "other"), incomplete, "at most one"},
		{"two payload hashes", add("X-Amz-Content-Sha256", otherHash), incomplete, "at most one"},
		{"payload hash in upper case", set("X-Amz-Content-Sha256", strings.ToUpper(emptyHash)), incomplete, "lower case"},
		{"no payload hash at S3", all(unset("X-Amz-Content-Sha256"), edit("x-amz-content-sha256;", "")), incomplete, "s3 needs it"},
		{"two lengths", all(set("Content-Length", "0"), add("Content-Length", "1")), incomplete, "at most one"},
		{"another length than the body's", set("Content-Length", "7"), incomplete, "Content-Length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, "s3")
			tt.change(r)
			s, err := sigv4.Parse(r)
			if !fault.Is(err, tt.kind) || !strings.Contains(fault.Message(err), tt.says) {
				t.Errorf("Parse = %+v, %v of kind %v; want kind %v with %q", s, err, fault.Of(err), tt.kind, tt.says)
			}
		})
	}
}

// TestDateHeader signs with Date in the place of X-Amz-Date, in each form that HTTP knows.
func TestDateHeader(t *testing.T) {
	for _, form := range []string{http.TimeFormat, time.RFC850, time.ANSIC, "20060102T150405Z"} {
		r := request(t, http.MethodGet, "http://127.0.0.1/")
		r.Header.Set("Date", noon.Format(form))
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=K/20260309/r/eks/aws4_request, SignedHeaders=date;host, Signature="+emptyHash)
		s, err := sigv4.Parse(r)
		if err != nil {
			t.Errorf("Parse with Date %q: %v", r.Header.Get("Date"), err)
		} else if !s.Time.Equal(noon) {
			t.Errorf("Date %q is read as %v", r.Header.Get("Date"), s.Time)
		}
	}
}

func TestCheckTime(t *testing.T) {
	s, err := sigv4.Parse(signed(t, "s3"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		ok    bool
	}{
		{0, true},
		{sigv4.MaxSkew, true},
		{-sigv4.MaxSkew, true},
		{sigv4.MaxSkew + time.Second, false},
		{-sigv4.MaxSkew - time.Second, false},
		{24 * time.Hour, false},
	} {
		now := noon.Add(tt.after)
		err := s.CheckTime(now)
		if tt.ok && err != nil {
			t.Errorf("CheckTime at %v: %v", now, err)
		}
		if tt.ok {
			continue
		}
		message := fault.Message(err)
		if !fault.Is(err, fault.Skewed) || !strings.Contains(message, "2026-03-09T12:00:00Z") || !strings.Contains(message, now.Format(time.RFC3339)) {
			t.Errorf("CheckTime at %v: %v; want Skewed with both times", now, err)
		}
	}
}

func TestLogsShowNoSecret(t *testing.T) {
	s, err := sigv4.Parse(signed(t, "s3"))
	if err != nil {
		t.Fatal(err)
	}
	key := sigv4.Derive(secret, s.Date, s.Region, s.Service)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("seen", "signature", s, "key", key)
	if got := log.String(); strings.Contains(got, token) || !strings.Contains(got, "key=REDACTED") || !strings.Contains(got, keyID) {
		t.Errorf("logged %s; want the key id, no token and no key", got)
	}
	if got, want := fmt.Sprintf("%v %+v %#v %s %x %d", key, key, key, key, key, key), strings.Repeat(" REDACTED", 6)[1:]; got != want {
		t.Errorf("printed %s, want %s", got, want)
	}
}
