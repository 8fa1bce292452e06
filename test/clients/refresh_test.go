package clients

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/agent"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/eksauth"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/gateway"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

// shortSession is how long a pod's session lasts here. The agent hands out none that ends within fifteen seconds.
const shortSession = 20 * time.Second

// shortLived is a caller that is a pod whose sessions are short. Pods' sessions last six hours and no option changes that,
// so it is the clock that mints them which is behind, by all but shortSession: a second broker over the same state, behind
// the EKS Auth that the agent asks. Every other clock, the one that judges whether a session has ended among them, is right.
func shortLived(t *testing.T) caller {
	t.Helper()
	ctx := t.Context()
	good := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	st, err := store.Open(ctx, store.Config{Dir: filepath.Join(folder, "state"), MasterKey: store.NewMasterKey()})
	good(err)
	t.Cleanup(func() { finish(t, st.Close()) })
	people := directory.New(st, nil)
	keys := keyring.New(st, nil, nil)
	clusters := registry.New(st, people, registry.Config{Region: "us-east-1"})
	good(st.Start(ctx))
	log, err := audit.Open(filepath.Join(folder, "audit"), audit.Config{})
	good(err)
	t.Cleanup(func() { finish(t, log.Close()) })
	background(t, log.Run)

	const account, cluster = "111122223333", "dev"
	_, _, err = people.CreateAccount(ctx, directory.NewAccount{ID: account, Name: "short"})
	good(err)
	_, err = people.CreateRole(ctx, directory.NewRole{Account: account, Name: role, Trust: trust})
	good(err)
	good(people.PutPolicy(ctx, directory.Who{Kind: directory.Roles, Account: account, Name: role}, "objects",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	good(err)
	registered, err := clusters.RegisterCluster(ctx, registry.NewCluster{Account: account, Name: cluster, Provider: "OTHER", RoleARN: roleARN})
	good(err)
	signer := podtoken.Key{ID: rand.Text(), Algorithm: "RS256", Public: &key.PublicKey}
	_, err = clusters.ActivateCluster(ctx, registered.Activation.ID, registry.Joining{Issuers: []string{"https://short"}, Keys: []podtoken.Key{signer}, Practice: true})
	good(err)
	_, err = clusters.CreateAssociation(ctx, registry.NewAssociation{Account: account, Cluster: cluster, Namespace: "default", ServiceAccount: "short", Role: roleARN})
	good(err)

	brokerAt := func(now func() time.Time) *broker.Broker {
		return &broker.Broker{Store: st, Directory: people, Registry: clusters, Keyring: keys, Verifier: podtoken.NewVerifier(64), Now: now}
	}
	behind := func() time.Time { return time.Now().Add(shortSession - broker.PodSession) }
	entry := &access.Access{Store: st, Directory: people, Registry: clusters, Ring: keys.Ring(), Keys: sigv4.NewCache(64)}
	serve := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	serveDoor := func(door *api.Door) string {
		return serve(api.New(api.Config{
			Region: "us-east-1", Audit: log, Ready: st.Ready, Log: slog.New(slog.DiscardHandler), Access: entry,
			Addresses: limit.NewRates(1e6, 1e6, 64), Principals: limit.NewRates(1e6, 1e6, 64), Gate: limit.NewGate(64, 16),
		}, door.Service, door))
	}
	auth, identity := serveDoor(eksauth.New(brokerAt(behind))), serveDoor(sts.New(brokerAt(time.Now)))
	// What it takes for a store is the suite's own gateway.
	upstream := gateway.Upstream{Region: "us-east-1", AccessKeyID: here.told("AWS_ACCESS_KEY_ID"), SecretAccessKey: here.told("AWS_SECRET_ACCESS_KEY")}
	upstream.URL, err = url.Parse(here.endpoint)
	good(err)
	s3, err := gateway.New(gateway.Config{
		Account: account, Region: "us-east-1", Access: entry, Audit: log, Upstream: upstream, Principals: limit.NewRates(1e6, 1e6, 64),
	})
	good(err)

	token := func(serviceAccount, audience string) string {
		file := filepath.Join(folder, serviceAccount+".token")
		text, err := longToken(key, signer.ID, serviceAccount, audience)
		good(errors.Join(err, os.WriteFile(file, []byte(text), 0o600)))
		return file
	}
	node, err := agent.New(agent.Config{
		Cluster: cluster, Region: "us-east-1", Endpoint: auth, STSEndpoint: identity, Hosts: []string{"127.0.0.1"},
		RoleARN: "arn:aws:iam::" + account + ":role/lanyard-agent-" + registered.ID, TokenFile: token("eks-pod-identity-agent", "sts.amazonaws.com"),
	})
	good(err)
	background(t, node.Run)
	return caller(func(ctx context.Context, argv ...string) *exec.Cmd {
		return here.command(ctx, here.environment(), argv...)
	}).with(
		"AWS_CONTAINER_CREDENTIALS_FULL_URI="+serve(node.Handler())+"/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+token("short", registry.PodAudience),
		"AWS_ENDPOINT_URL_STS="+identity, "AWS_ENDPOINT_URL_S3="+serve(s3), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
	)
}

// longToken is a pod's token that was good already when the slow clock's time was.
func longToken(key *rsa.PrivateKey, id, serviceAccount, audience string) (string, error) {
	namespace, now := "default", time.Now()
	if audience != registry.PodAudience {
		namespace = "kube-system"
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://short", "aud": []string{audience}, "sub": "system:serviceaccount:" + namespace + ":" + serviceAccount,
		"iat": now.Add(-broker.PodSession).Unix(), "nbf": now.Add(-broker.PodSession).Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
		"kubernetes.io": object{
			"namespace": namespace, "node": object{"name": "worker-1", "uid": "uid-of-worker-1"},
			"serviceaccount": object{"name": serviceAccount, "uid": "uid-of-" + serviceAccount},
			"pod":            object{"name": serviceAccount + "-0", "uid": "uid-of-" + serviceAccount + "-0"},
		},
	})
	token.Header["kid"] = id
	delete(token.Header, "typ")
	return token.SignedString(key)
}

// background runs a task until the test is over.
func background(t *testing.T, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		finish(t, <-ended)
	})
}

func finish(t *testing.T, err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Error(fmt.Errorf("the world of short sessions: %w", err))
	}
}
