package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bare is an EKS Auth of AWS's alone, at one address, and an STS at another: it has the one operation, refuses every other
// path as AWS does, and tells nothing but what the API's model has.
func bare(t *testing.T, listener net.Listener, now func() time.Time) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now().Format(http.TimeFormat))
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
		case r.URL.Path == "/":
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>agent-secret</SecretAccessKey><SessionToken>agent-session</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
				now().Add(time.Hour).Format(time.RFC3339))
		case r.Method != http.MethodPost || r.URL.Path != "/clusters/dev/assume-role-for-pod-identity":
			w.Header().Set("X-Amzn-Errortype", "UnknownOperationException")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `<UnknownOperationException/>`)
		default:
			var in map[string]string
			if err := json.Unmarshal(body, &in); err != nil || len(in) != 1 || in["token"] == "" {
				t.Errorf("the body is %s: %v", body, err)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"assumedRoleUser":{"arn":"arn:aws:sts::111122223333:assumed-role/api/eks-dev-api","assumeRoleId":"AROA1:eks-dev-api"},"audience":"pods.eks.amazonaws.com","credentials":{"accessKeyId":"ASIAPOD","expiration":%.6E,"secretAccessKey":"pod-secret","sessionToken":"pod-session"},"podIdentityAssociation":{"associationArn":"arn:aws:eks:us-east-1:111122223333:podidentityassociation/dev/a-1","associationId":"a-1"},"subject":{"namespace":"default","serviceAccount":"api"}}`,
				float64(now().Add(6*time.Hour).Unix()))
		}
	}))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// A server that has the one operation of EKS Auth is enough: nothing is missed but the push, and it is hardly asked for.
func TestABareEKSAuthIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newBubble(t, nil)
		p, clock := newPipes(), r.fake.clock.now
		r.upstream.client.dialer = p.dial
		server := bare(t, p, clock)
		for _, url := range []*string{&r.upstream.url, &r.upstream.identity.url, &r.watcher.url} {
			_, path, _ := strings.Cut(strings.TrimPrefix(*url, "http://"), "/")
			*url = server.URL + "/" + path
		}
		defer r.run(t)()
		synctest.Wait()
		for hour := range 12 {
			w := r.wantStatus(t, day("a"), http.StatusOK)
			// A renewal may have prepared the answer up to a minute ago.
			if got, most := expiration(t, w), clock().Add(time.Hour); got.After(most) || got.Before(most.Add(-fresh)) {
				t.Errorf("after %d hours Expiration is %v, want %v", hour, got, most)
			}
			time.Sleep(time.Hour)
		}
		if n := strings.Count(r.log.String(), "no invalidations are pushed"); n != 1 {
			t.Errorf("told %d times that nothing is pushed:\n%s", n, r.log)
		}
	})
}
