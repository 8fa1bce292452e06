package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go"
)

// newTestIdentity has what STS answers for each token; an answer of nil is a session of an hour.
func newTestIdentity(t *testing.T, answer func(token string) error) *identity {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("own"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &identity{
		file: file, now: time.Now, turn: make(chan struct{}, 1),
		assume: func(_ context.Context, from stscreds.IdentityTokenRetriever) (aws.Credentials, error) {
			token, err := from.GetIdentityToken()
			if err == nil {
				err = answer(string(token))
			}
			return aws.Credentials{AccessKeyID: "ASIA" + time.Now().String(), Expires: time.Now().Add(time.Hour)}, err
		},
	}
}

// TestAFailedRenewalIsTold: once, as long as the old session serves, and again after one that came about.
func TestAFailedRenewalIsTold(t *testing.T) {
	tests := []struct {
		name  string
		fails func(sinceStart time.Duration) bool
		held  bool // a session, at the start
		want  int
	}{
		{"never", func(time.Duration) bool { return false }, true, 0},
		{"from the start on", func(time.Duration) bool { return true }, false, 0}, // whoever asks tells it
		{"until the session is over, and longer", func(time.Duration) bool { return true }, true, 1},
		{"in the first hour and in the third", func(at time.Duration) bool { return at/time.Hour%2 == 0 }, true, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, log := time.Now(), &lockedBuffer{}
				i := newTestIdentity(t, func(string) error {
					if tt.fails(time.Since(start)) {
						return errors.New("STS is away")
					}
					return nil
				})
				if tt.held {
					i.self = aws.Credentials{AccessKeyID: "ASIAFIRST", Expires: start.Add(time.Hour)}
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan bool)
				go func() { i.keep(ctx, slog.New(slog.NewTextHandler(log, nil))); close(ended) }()
				time.Sleep(4 * time.Hour)
				stop()
				<-ended
				if got := strings.Count(log.String(), "STS is away"); got != tt.want {
					t.Errorf("told %d times, want %d:\n%s", got, tt.want, log)
				}
			})
		})
	}
}

// TestTheSpareToken: it serves where STS does not take the first, and where it takes neither, both reasons are told.
func TestTheSpareToken(t *testing.T) {
	refuses := func(why string) error { return &smithy.GenericAPIError{Code: "InvalidIdentityToken", Message: why} }
	for _, spareServes := range []bool{true, false} {
		i := newTestIdentity(t, func(token string) error {
			if token == "spare" && spareServes {
				return nil
			}
			return refuses("no " + token)
		})
		i.fallback = func(context.Context) (string, error) { return "spare", nil }
		_, err := i.session(t.Context())
		switch {
		case spareServes && err != nil:
			t.Errorf("with a spare token that STS takes: %v", err)
		case !spareServes && (err == nil || !isAnswer(err) || !strings.Contains(err.Error(), "no own") || !strings.Contains(err.Error(), "no spare")):
			t.Errorf("with one that it does not take: %v; want both reasons", err)
		}
	}
}

// TestTheSameRefusalReadsTheSame, so that it is told once, and another one is told too.
func TestTheSameRefusalReadsTheSame(t *testing.T) {
	code, asked := "AccessDenied", 0
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>`+
			`<Message>Not authorized</Message></Error><RequestId>request-%d</RequestId></ErrorResponse>`, code, asked)
	}))
	defer sts.Close()
	i := newIdentity(Upstream{
		STSEndpoint: sts.URL, Region: testRegion, RoleARN: "arn:aws:iam::" + testAccount + ":role/connector", Instance: "connector-0",
		TokenFile: newTestIdentity(t, nil).file,
	}, sts.Client(), nil)
	var told []string
	for range 2 {
		_, err := i.attempt(t.Context())
		if err == nil || !isAnswer(err) || !strings.Contains(err.Error(), "AccessDenied: Not authorized") {
			t.Fatalf("a refusal: %v", err)
		}
		told = append(told, err.Error())
	}
	if asked != 2 || told[0] != told[1] {
		t.Errorf("of %d requests one was refused with %q, another with %q", asked, told[0], told[1])
	}
	code = "ExpiredTokenException"
	if _, err := i.attempt(t.Context()); err == nil || err.Error() == told[0] {
		t.Errorf("another reason reads the same: %v", err)
	}
}
