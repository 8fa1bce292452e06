package dev

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/agent"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// First is the practice cluster that the first start makes; its agent answers without a prefix.
const First = "dev"

// retention is how long a practice agent keeps an answer: a call costs next to nothing here, and a changed association
// should show soon.
const retention = time.Minute

// tokenLife is how long tokens of the practice issuer live; they are made anew at a quarter of it.
const tokenLife = time.Hour

// Agents serves the practice clusters' agents on one listener: First at /v1/credentials, NAME at /NAME/v1/credentials. An
// agent is started when its cluster is first asked for, so a cluster made while dev runs is served at once.
type Agents struct {
	Dir      Dir
	Endpoint string // where EKS Auth and STS are
	Log      *slog.Logger

	mu      sync.Mutex
	agents  map[string]*running
	ctx     context.Context
	working sync.WaitGroup
}

type running struct {
	role    string // the agent's identity; another one means that the cluster was made anew
	handler http.Handler
	stop    context.CancelFunc
}

// Run serves until ctx is done and waits for the agents to end. Requests are refused before and after.
func (a *Agents) Run(ctx context.Context) error {
	a.mu.Lock()
	a.ctx, a.agents = ctx, map[string]*running{}
	a.mu.Unlock()
	<-ctx.Done()
	a.working.Wait()
	return nil
}

// ServeHTTP finds the agent by the path's prefix. Like an agent it answers to the listener's address alone: a page in a
// browser, whose host name was made to lead here, learns nothing. AWS's common runtime names no port.
func (a *Agents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host != agentHost {
		refuse(w, http.StatusForbidden, "AccessDeniedException", "the agents answer to "+agentHost+" alone")
		return
	}
	name, prefix := First, ""
	if head, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/v1/"); ok {
		name, prefix = head, "/"+head
	}
	serving, err := a.agent(name)
	switch {
	case fault.Is(err, fault.NotFound):
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "there is no practice cluster of this name")
		return
	case err != nil:
		a.Log.Error("the agent of a practice cluster does not start", "cluster", name, "error", err)
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "the agent of this cluster does not start; the log says why")
		return
	}
	http.StripPrefix(prefix, serving.handler).ServeHTTP(w, r)
}

// agentHost is the only name that the agents answer to.
const agentHost = "127.0.0.1"

// refuse answers in the shape of an agent's errors, which every SDK reads.
func refuse(w http.ResponseWriter, status int, code, message string) {
	body, _ := json.Marshal(map[string]string{"code": code, "message": message, "Code": code, "Message": message}) // strings: always JSON
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no error of ours
}

// agent returns the cluster's agent, started with the identity that the cluster has now.
func (a *Agents) agent(name string) (*running, error) {
	cluster, err := a.Dir.Practice(name)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.agents == nil || a.ctx.Err() != nil {
		return nil, http.ErrServerClosed
	}
	if present := a.agents[name]; present != nil {
		if present.role == cluster.AgentRole {
			return present, nil
		}
		present.stop()
	}
	started, err := a.start(cluster)
	if err != nil {
		return nil, err
	}
	a.agents[name] = started
	return started, nil
}

// start runs an agent with a token file of its own, which is kept fresh as the kubelet would.
func (a *Agents) start(cluster *Practice) (*running, error) {
	file := a.Dir.path(clustersFolder, cluster.Name+".agent.token")
	identity := Pod{Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent", Name: "eks-pod-identity-agent-" + cluster.Node.Name}
	if err := writeToken(cluster, identity, registry.AgentAudience, file); err != nil {
		return nil, err
	}
	node, err := agent.New(agent.Config{
		Cluster: cluster.Name, Region: Region, Endpoint: a.Endpoint, RoleARN: cluster.AgentRole, TokenFile: file,
		SessionName: cluster.Node.Name, Retention: retention, Hosts: []string{agentHost}, Logger: a.Log.With("cluster", cluster.Name),
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(a.ctx)
	a.working.Go(func() {
		if err := node.Run(ctx); err != nil && ctx.Err() == nil {
			a.Log.Error("the agent of a practice cluster stopped", "cluster", cluster.Name, "error", err)
		}
	})
	a.working.Go(func() {
		keepToken(ctx, cluster, identity, registry.AgentAudience, file, func(err error) {
			if err != nil {
				a.Log.Error("the token of a practice cluster's agent is not renewed", "cluster", cluster.Name, "error", err)
			}
		})
	})
	return &running{role: cluster.AgentRole, handler: node.Handler(), stop: stop}, nil
}

func writeToken(cluster *Practice, pod Pod, audience, file string) error {
	token, err := cluster.Token(pod, audience, tokenLife)
	if err != nil {
		return err
	}
	return Replace(file, []byte(token))
}

// keepToken writes a token file anew, several times in its token's life, until ctx is done, and says how each went.
func keepToken(ctx context.Context, cluster *Practice, pod Pod, audience, file string, wrote func(error)) {
	again := time.NewTicker(tokenLife / 4)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			wrote(writeToken(cluster, pod, audience, file))
		}
	}
}
