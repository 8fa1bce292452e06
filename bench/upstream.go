package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// upstream is an EKS Auth with an STS that answer every token alike, so that what is measured is the agent. EKS Auth takes
// the time that the verb's argument says; GET /connections tells how many were made.
func upstream(delay string) (*http.Server, error) {
	takes, err := time.ParseDuration(delay)
	if err != nil {
		return nil, err
	}
	var made atomic.Int64
	answer := credentialsAnswer()
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the agent gave up
		}
		switch {
		case r.URL.Path == "/connections":
			reply(w, fmt.Append(nil, made.Load()))
		case r.URL.Path == "/":
			reply(w, fmt.Appendf(nil, `<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>`,
				time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339)))
		case strings.HasPrefix(r.URL.Path, "/clusters/"):
			if takes > 0 {
				select {
				case <-time.After(takes):
				case <-r.Context().Done():
					return
				}
			}
			reply(w, answer)
		default:
			http.NotFound(w, r)
		}
	})
	return server, nil
}

// credentialsAnswer is as long as a pod's answer with a session token of 1,100 bytes.
func credentialsAnswer() []byte {
	return fmt.Appendf(nil, `{"subject":{"namespace":"pay","serviceAccount":"api"},"audience":"pods.eks.amazonaws.com","podIdentityAssociation":{"associationArn":"arn:aws:eks:us-east-1:111122223333:podidentityassociation/bench/a-0123456789abcdefg","associationId":"a-0123456789abcdefg"},"assumedRoleUser":{"arn":"arn:aws:sts::111122223333:assumed-role/pay-api/eks-bench-api","assumeRoleId":"AROAAAAAAAAAAAAAAAAAA:eks-bench-api"},"credentials":{"accessKeyId":"ASIAAAAAAAAAAAAAAAAA","secretAccessKey":"0123456789012345678901234567890123456789","sessionToken":"%s","expiration":%d}}`,
		strings.Repeat("A", 1100), time.Now().Add(6*time.Hour).Unix())
}

// hop is the floor of a miss: a proxy that posts the token and copies the answer, without signing, cache or checks.
func hop(address string) http.Handler {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	url := "http://" + address + "/clusters/" + clusterName + "/assume-role-for-pod-identity"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, strings.NewReader(`{"token":"`+r.Header.Get("Authorization")+`"}`))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		in, err := transport.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		body, err := io.ReadAll(in.Body)
		if err != nil || in.Body.Close() != nil {
			panic(http.ErrAbortHandler)
		}
		reply(w, body)
	})
}
