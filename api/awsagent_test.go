package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseksauth "github.com/aws/aws-sdk-go-v2/service/eksauth"
	authtypes "github.com/aws/aws-sdk-go-v2/service/eksauth/types"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
)

// awsAgent asks EKS Auth as AWS's own agent does (github.com/aws/eks-pod-identity-agent, internal/cloud/eksauth): AWS's
// client and the standard retries. Its time limits, of which a second for each attempt is one, are left out: attempts are
// counted, and a machine may be slow.
type awsAgent struct {
	client   *awseksauth.Client
	attempts *atomic.Int64
}

func newAWSAgent(t *testing.T, w *world, config api.Config, as signer) awsAgent {
	t.Helper()
	frame := api.New(config, "eks", w.doors()...)
	attempts := &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attempts.Add(1)
		frame.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return awsAgent{attempts: attempts, client: awseksauth.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider(as.id, as.secret, as.token),
		Retryer: func() aws.Retryer { // what is tried again is the standard's; only the waits between are left out
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	})}
}

// drops is how AWS's agent sorts errors: on these it forgets the credentials that it holds for the token.
func drops(err error) bool {
	return errors.As(err, new(*authtypes.AccessDeniedException)) || errors.As(err, new(*authtypes.ExpiredTokenException)) ||
		errors.As(err, new(*authtypes.InvalidTokenException)) || errors.As(err, new(*authtypes.ResourceNotFoundException))
}

func TestAWSsAgentIsServed(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	made := w.associate(t, ours)
	agent := newAWSAgent(t, w, w.config(), w.agent(t, ours))
	token := w.token(t, podToken(w.clock()))
	got, err := agent.client.AssumeRoleForPodIdentity(t.Context(), &awseksauth.AssumeRoleForPodIdentityInput{ClusterName: aws.String("dev"), Token: &token})
	if err != nil {
		t.Fatal(err)
	}
	// What it takes from the answer, some of it without a look whether it is there.
	if *got.PodIdentityAssociation.AssociationId != made.ID || *got.Subject.Namespace != "default" || *got.Subject.ServiceAccount != "app" || *got.Audience != registry.PodAudience {
		t.Errorf("the answer is of %+v %+v", got.PodIdentityAssociation, got.Subject)
	}
	if role, err := arn.Parse(*got.AssumedRoleUser.Arn); err != nil || role.AccountID != ours {
		t.Errorf("the account is read from %q: %v", *got.AssumedRoleUser.Arn, err)
	}
	c := got.Credentials
	if left := c.Expiration.Sub(w.clock()); left < 5*time.Hour || left > 6*time.Hour || *c.AccessKeyId == "" || *c.SecretAccessKey == "" || *c.SessionToken == "" {
		t.Errorf("the credentials end in %v, or are not whole", left)
	}
	if n := agent.attempts.Load(); n != 1 {
		t.Errorf("it took %d attempts", n)
	}
}

// What passes must never look like what does not, or the agent drops good credentials; and what does not is not tried again.
func TestAWSsAgentSortsOurErrors(t *testing.T) {
	for _, c := range []struct {
		name     string
		prepare  func(*testing.T, *world, *api.Config) (as signer, token string)
		drops    bool
		attempts int64
		text     string
	}{
		{"no association", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			if _, err := w.registry.DeleteAssociation(t.Context(), ours, "dev", w.associated(t).ID); err != nil {
				t.Fatal(err)
			}
			return w.agent(t, ours), w.token(t, podToken(w.clock()))
		}, true, 1, "No pod identity association found for service account default/app."},
		{"the pod's token is over", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			return w.agent(t, ours), w.token(t, podToken(w.clock().Add(-2*time.Hour)))
		}, true, 1, "expired"},
		{"the pod's token is another cluster's", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			return w.agent(t, ours), newClusterKey(t, "key-9").sign(t, podToken(w.clock()))
		}, true, 1, ""},
		{"the role does not trust pods any more", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			if err := w.directory.UpdateTrust(t.Context(), ours, "pod", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+ours+`"},"Action":"sts:AssumeRole"}}`); err != nil {
				t.Fatal(err)
			}
			return w.agent(t, ours), w.token(t, podToken(w.clock()))
		}, true, 1, "Unauthorized Exception! EKS does not have permissions to assume the associated role."},
		{"a caller who may not ask", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			return w.role(t, ours, "nobody"), w.token(t, podToken(w.clock()))
		}, true, 1, "is not authorized to perform: eks-auth:AssumeRoleForPodIdentity"},
		{"the agent's own session is revoked", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			as := w.agent(t, ours)
			cluster, err := w.registry.Cluster(ours, "dev")
			if err == nil {
				_, err = w.registry.Revoke(t.Context(), ours, "admin", registry.Target{Kind: registry.ByNode, Value: cluster.ID + "/node-1"})
			}
			if err != nil {
				t.Fatal(err)
			}
			return as, w.token(t, podToken(w.clock()))
		}, false, 1, ""},
		{"the agent's signature is wrong", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			as := w.agent(t, ours)
			as.secret += "x"
			return as, w.token(t, podToken(w.clock()))
		}, false, 1, ""},
		{"asked too often", func(t *testing.T, w *world, config *api.Config) (signer, string) {
			config.Addresses = limit.NewRates(1e-9, 1, 64)
			config.Addresses.Allow(limit.Source("127.0.0.1:1"), w.clock())
			return w.agent(t, ours), w.token(t, podToken(w.clock()))
		}, false, 3, "Rate exceeded"},
		{"everything is busy", func(t *testing.T, w *world, config *api.Config) (signer, string) {
			config.Gate = limit.NewGate(2, 1)
			for range 2 {
				if _, err := config.Gate.Enter(t.Context(), true); err != nil {
					t.Fatal(err)
				}
			}
			return w.agent(t, ours), w.token(t, podToken(w.clock()))
		}, false, 3, ""},
		{"cut off from the state", func(t *testing.T, w *world, _ *api.Config) (signer, string) {
			w.access.MaxStaleness = -1 // any age is too old
			return w.agent(t, ours), w.token(t, podToken(w.clock()))
		}, false, 3, "try again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.account(t, ours)
			w.associate(t, ours)
			config := w.config()
			as, token := c.prepare(t, w, &config)
			agent := newAWSAgent(t, w, config, as)
			_, err := agent.client.AssumeRoleForPodIdentity(t.Context(), &awseksauth.AssumeRoleForPodIdentityInput{ClusterName: aws.String("dev"), Token: &token})
			if err == nil {
				t.Fatal("it is served")
			}
			if drops(err) != c.drops {
				t.Errorf("it drops what it holds: %v, want %v; the error is %v", drops(err), c.drops, err)
			}
			if n := agent.attempts.Load(); n != c.attempts {
				t.Errorf("%d attempts, want %d; the error is %v", n, c.attempts, err)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("the error is %v, want one with %q", err, c.text)
			}
		})
	}
}

// associated is the account's one association.
func (w *world) associated(t *testing.T) *registry.Association {
	t.Helper()
	found, _, err := w.registry.Associations(ours, "dev", registry.AssociationQuery{Limit: 1})
	if err != nil || len(found) != 1 {
		t.Fatalf("the association: %v, %v", found, err)
	}
	return found[0]
}
