package awssts_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/fault"
)

const (
	trusting = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999988887777:user/administrator"},"Action":"sts:AssumeRole",
		 "Condition":{"StringEquals":{"sts:ExternalId":"abc/team","aws:RequestTag/kubernetes-namespace":"pay"}}},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999988887777:user/administrator"},"Action":"sts:TagSession"}]}`
	untagged = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"sts:AssumeRole"}}`
)

func asked(role arn.ARN) awssts.Assumption {
	return awssts.Assumption{
		Role: role, SessionName: "eks-prod-api", ExternalID: "abc/team", Longest: 6 * time.Hour,
		Tags: []awssts.Tag{{Key: "kubernetes-namespace", Value: "pay"}},
	}
}

func TestAssume(t *testing.T) {
	a := newAmazon(t)
	role := a.role(t, theirs, "pay", trusting, 12*time.Hour)
	poor := a.role(t, theirs, "poor", untagged, 12*time.Hour)
	s := a.asLanyard()
	made, err := s.Assume(t.Context(), a.place(), nil, asked(role))
	must(t, err)
	if life := time.Until(made.Expires); life < 5*time.Hour+59*time.Minute || life > 6*time.Hour+time.Second {
		t.Errorf("the session lives for %s, want 6 h", life)
	}
	if made.RequestID == "" || !strings.HasPrefix(made.RoleID, "AROA") {
		t.Errorf("request %q, role id %q: want both", made.RequestID, made.RoleID)
	}
	who, err := as(made.AccessKeyID, made.SecretAccessKey, made.SessionToken).Caller(t.Context(), a.place())
	must(t, err)
	if want := "arn:aws:sts::111122223333:assumed-role/pay/eks-prod-api"; who.ARN != want || who.Account != theirs {
		t.Errorf("the credentials are of %v, want %s", who, want)
	}

	refusals := map[string]struct {
		change func(*awssts.Assumption)
		action string
	}{
		"another's external id":                 {func(in *awssts.Assumption) { in.ExternalID = "abc/other" }, "sts:AssumeRole"},
		"no external id":                        {func(in *awssts.Assumption) { in.ExternalID = "" }, "sts:AssumeRole"},
		"another namespace's tag":               {func(in *awssts.Assumption) { in.Tags[0].Value = "ship" }, "sts:AssumeRole"},
		"a role that does not exist":            {func(in *awssts.Assumption) { in.Role = arn.Role(theirs, "/", "none") }, "sts:AssumeRole"},
		"a role whose trust leaves out tagging": {func(in *awssts.Assumption) { in.Role = poor }, "sts:TagSession"},
	}
	for name, tt := range refusals {
		in := asked(role)
		tt.change(&in)
		_, err := s.Assume(t.Context(), a.place(), nil, in)
		var r *awssts.Refusal
		if !fault.Is(err, fault.Denied) || !errors.As(err, &r) || r.Action != tt.action || r.RequestID == "" || r.Code != "AccessDenied" {
			t.Errorf("%s: %v (%+v), want to be denied %s", name, err, r, tt.action)
		}
		if text := fault.Message(err); !strings.Contains(text, in.Role.String()) || !strings.Contains(text, tt.action) || strings.Contains(text, ours) {
			t.Errorf("%s: the pod reads %q, want role and action and nothing of Lanyard's identity", name, text)
		}
	}
	in := asked(poor)
	in.Tags = nil
	if _, err := s.Assume(t.Context(), a.place(), nil, in); err != nil {
		t.Errorf("the same without tags: %v", err)
	}
}

// TestLength: STS says only that a session is too long, so its length is found out, and then known.
func TestLength(t *testing.T) {
	a := newAmazon(t)
	s := a.asLanyard()
	role := a.role(t, theirs, "two", untagged, 2*time.Hour)
	in := awssts.Assumption{Role: role, SessionName: "eks-prod-api", Longest: 6 * time.Hour}
	for i, want := range []int{4, 1} { // 6, 4, 3 and 2 hours; then 2 at once
		before := a.asked()
		made, err := s.Assume(t.Context(), a.place(), nil, in)
		must(t, err)
		if life := time.Until(made.Expires).Round(time.Minute); life != 2*time.Hour {
			t.Errorf("call %d: the session lives for %s, want 2 h", i, life)
		}
		if got := a.asked() - before; got != want {
			t.Errorf("call %d: %d questions to STS, want %d", i, got, want)
		}
	}

	// A session of Lanyard's own, and the second hop, get an hour, whatever the role allows, and ask for no more.
	long := a.role(t, theirs, "long", untagged, 12*time.Hour)
	onward := a.role(t, theirs, "onward", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+long.String()+`"},"Action":"sts:AssumeRole"}}`, 12*time.Hour)
	in.Role, in.Longest = long, awssts.Least
	first, err := s.Assume(t.Context(), a.place(), nil, in)
	must(t, err)
	if life := time.Until(first.Expires).Round(time.Minute); life != awssts.Least {
		t.Errorf("the first hop lives for %s, want %s", life, awssts.Least)
	}
	in.Role, in.Longest = onward, 6*time.Hour
	before := a.asked()
	second, err := s.Assume(t.Context(), a.place(), first, in)
	must(t, err)
	if life := time.Until(second.Expires).Round(time.Minute); life != time.Hour || a.asked() != before+1 {
		t.Errorf("the second hop lives for %s after %d questions, want 1 h after one", life, a.asked()-before)
	}
}

// TestFaults: whatever stands where STS should, a pod reads one clear line, nothing of the answer, and nothing is taken for
// credentials that is none.
func TestFaults(t *testing.T) {
	a := newAmazon(t)
	role := a.role(t, theirs, "pay", untagged, 6*time.Hour)
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	answer := func(keyID, secret, token, expires, who, id string) string {
		return fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
			<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>
			<AssumedRoleUser><Arn>%s</Arn><AssumedRoleId>%s</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>`,
			keyID, secret, token, expires, who, id)
	}
	const (
		key = "ASIAIOSFODNN7EXAMPLE"
		who = "arn:aws:sts::111122223333:assumed-role/pay/eks-prod-api"
		id  = "AROAEXAMPLEEXAMPLE123:eks-prod-api"
	)
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // the client may have gone
		}
	}
	refuses := func(status int, code string) http.HandlerFunc {
		return says(status, `<ErrorResponse><Error><Type>Sender</Type><Code>`+code+`</Code><Message>of `+code+`</Message></Error><RequestId>id-1</RequestId></ErrorResponse>`)
	}
	stolen := false
	cases := map[string]struct {
		by   http.HandlerFunc
		want fault.Kind
	}{
		"throttling":               {refuses(400, "Throttling"), fault.Throttled},
		"too many, by status":      {says(429, ""), fault.Throttled},
		"5xx":                      {refuses(503, "ServiceUnavailable"), fault.Unavailable},
		"5xx without words":        {says(500, ""), fault.Unavailable},
		"our key is unknown":       {refuses(403, "InvalidClientTokenId"), fault.Unavailable},
		"our session is over":      {refuses(403, "ExpiredToken"), fault.Unavailable},
		"a code that none knows":   {refuses(400, "Whatever"), fault.Unavailable},
		"tags do not fit":          {refuses(400, "PackedPolicyTooLarge"), fault.Limit},
		"a policy that none reads": {refuses(400, "MalformedPolicyDocument"), fault.MalformedPolicy},
		"a region that is off":     {refuses(403, "RegionDisabledException"), fault.BadState},
		"not even XML":             {says(200, "credentials: "+secret), fault.Unavailable},
		"cut short":                {says(200, answer(key, secret, "t", in(time.Hour), who, id)[:300]), fault.Unavailable},
		"a connection that breaks": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if stolen = r.URL.Path != "/"; !stolen {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			}
		}, fault.Unavailable},
		"oversized":                {says(200, answer(key, secret, strings.Repeat("t", 1<<20), in(time.Hour), who, id)), fault.Unavailable},
		"a token of 9,001 bytes":   {says(200, answer(key, secret, strings.Repeat("t", 9001), in(time.Hour), who, id)), fault.Unavailable},
		"no secret":                {says(200, answer(key, "", "t", in(time.Hour), who, id)), fault.Unavailable},
		"no session token":         {says(200, answer(key, secret, "", in(time.Hour), who, id)), fault.Unavailable},
		"a key with a quote":       {says(200, answer(key+"\"", secret, "t", in(time.Hour), who, id)), fault.Unavailable},
		"a token with a newline":   {says(200, answer(key, secret, "t\nx: y", in(time.Hour), who, id)), fault.Unavailable},
		"expired in the past":      {says(200, answer(key, secret, "t", in(-time.Minute), who, id)), fault.Unavailable},
		"longer than asked for":    {says(200, answer(key, secret, "t", in(100*time.Hour), who, id)), fault.Unavailable},
		"another role's":           {says(200, answer(key, secret, "t", in(time.Hour), strings.Replace(who, "pay", "root", 1), id)), fault.Unavailable},
		"another account's":        {says(200, answer(key, secret, "t", in(time.Hour), strings.Replace(who, "1111", "2222", 1), id)), fault.Unavailable},
		"another session's":        {says(200, answer(key, secret, "t", in(time.Hour), who, "AROAEXAMPLEEXAMPLE123:x")), fault.Unavailable},
		"nothing of the session":   {says(200, `<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>`), fault.Unavailable},
		"the answer that it gives": {says(200, answer(key, secret, strings.Repeat("t", 2000), in(time.Hour), who, id)), fault.Internal},
	}
	for name, tt := range cases {
		a.breaks(tt.by)
		made, err := a.asLanyard().Assume(t.Context(), a.place(), nil, awssts.Assumption{Role: role, SessionName: "eks-prod-api", Longest: 6 * time.Hour})
		if tt.want == fault.Internal {
			if err != nil || made.SecretAccessKey != secret {
				t.Errorf("%s: %v, want it accepted", name, err)
			}
			continue
		}
		if made != nil || !fault.Is(err, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", name, made, err, tt.want)
			continue
		}
		for _, text := range []string{err.Error(), fault.Message(err), fmt.Sprintf("%+v", err)} {
			if strings.Contains(text, secret) || strings.Contains(text, string(a.root.Secret)) || strings.Contains(text, "ttt") {
				t.Errorf("%s: the error quotes a secret: %s", name, text)
			}
		}
	}
	if stolen {
		t.Error("a redirect was followed")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", awssts.Session{SecretAccessKey: secret}, &awssts.Session{SessionToken: secret}, awssts.Session{SecretAccessKey: secret}, &awssts.Session{SecretAccessKey: secret}); strings.Contains(text, secret) {
		t.Errorf("a session prints as %s", text)
	}
}

// TestTransient: what breaks once is asked again, but not what asks for fewer questions.
func TestTransient(t *testing.T) {
	a := newAmazon(t)
	role := a.role(t, theirs, "pay", untagged, 6*time.Hour)
	in := awssts.Assumption{Role: role, SessionName: "eks-prod-api", Longest: 6 * time.Hour}
	once := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			a.breaks(nil)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	a.breaks(once(500, ""))
	if _, err := a.asLanyard().Assume(t.Context(), a.place(), nil, in); err != nil || a.asked() != 2 {
		t.Errorf("after one 500: %v in %d questions, want a session in two", err, a.asked())
	}
	a.breaks(once(400, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`))
	if _, err := a.asLanyard().Assume(t.Context(), a.place(), nil, in); !fault.Is(err, fault.Throttled) || a.asked() != 3 {
		t.Errorf("after one Throttling: %v in %d questions, want Throttled in one", err, a.asked()-2)
	}
}

// TestClockSkew: STS refuses what was signed by a clock that is off, the SDK learns from it, and the session ends when it
// ends, on either clock.
func TestClockSkew(t *testing.T) {
	for _, off := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		a := newAmazon(t)
		role := a.role(t, theirs, "pay", untagged, 6*time.Hour)
		a.clock.set(off)
		made, err := a.asLanyard().Assume(t.Context(), a.place(), nil, awssts.Assumption{Role: role, SessionName: "eks-prod-api", Longest: time.Hour})
		if err != nil {
			t.Errorf("STS's clock is %s off: %v", off, err)
			continue
		}
		if left := time.Until(made.Expires); left > time.Hour+time.Second || left < 39*time.Minute {
			t.Errorf("STS's clock is %s off: the session is told to live for %s, want at most its hour", off, left)
		}
	}
}

func TestOnlyHTTPS(t *testing.T) {
	s := as("AKIAIOSFODNN7EXAMPLE", "secret", "")
	for _, endpoint := range []string{"http://sts.example.com", "http://10.0.0.1:80", "http://127.0.0.1.example.com"} {
		_, err := s.Caller(t.Context(), awssts.Place{Region: region, Endpoint: endpoint})
		if err == nil || !strings.Contains(err.Error(), "https alone") {
			t.Errorf("%s: %v, want to be refused before anything is sent", endpoint, err)
		}
	}
}
