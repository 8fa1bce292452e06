package awssts_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/awssts"
)

// TestCallsAreCounted holds that each call over the wire is counted by how it ended, and that who answers in STS's place
// makes no labels up.
func TestCallsAreCounted(t *testing.T) {
	a := newAmazon(t)
	role := a.role(t, theirs, "pay", trusting, 12*time.Hour)
	metrics := prometheus.NewRegistry()
	s := awssts.New(awssts.Config{Metrics: metrics, Load: func(context.Context) (aws.Config, error) {
		return aws.Config{Credentials: credentials.NewStaticCredentialsProvider(a.root.ID, string(a.root.Secret), "")}, nil
	}})
	refuses := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code></Error></ErrorResponse>", code)
		}
	}
	for _, answer := range []http.HandlerFunc{
		nil,
		refuses(403, "AccessDenied"),
		refuses(400, "Throttling"),
		refuses(400, "MadeUpByAStranger"),
		refuses(503, ""), // tried twice
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, // likewise
	} {
		a.breaks(answer)
		if _, err := s.Assume(t.Context(), a.place(), nil, asked(role)); (err == nil) != (answer == nil) {
			t.Errorf("got %v", err)
		}
	}
	a.breaks(nil)
	_, err := s.Caller(t.Context(), a.place())
	must(t, err)

	families, err := metrics.Gather()
	must(t, err)
	var got []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got = append(got, fmt.Sprintf("%s %s %d", family.GetName(), strings.Join(labels, "/"), m.GetHistogram().GetSampleCount()))
		}
	}
	want := []string{
		"lanyard_sts_seconds /AssumeRole 1",
		"lanyard_sts_seconds /GetCallerIdentity 1",
		"lanyard_sts_seconds AccessDenied/AssumeRole 1",
		"lanyard_sts_seconds Other/AssumeRole 3",
		"lanyard_sts_seconds Throttling/AssumeRole 1",
		"lanyard_sts_seconds Unreachable/AssumeRole 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}
