package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/agent"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/registry"
)

// line is the network between an agent and the server, which can be cut.
type line struct {
	net.Listener
	to string

	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{Listener: listener, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		l.cut(true)
		_ = l.Close()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	return l
}

// add remembers a connection, unless the line is down.
func (l *line) add(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		_ = conn.Close()
		return false
	}
	l.open[conn] = true
	return true
}

func (l *line) carry(near net.Conn) {
	if !l.add(near) {
		return
	}
	far, err := net.Dial("tcp", l.to)
	if err != nil || !l.add(far) {
		_ = near.Close()
		return
	}
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		}()
	}
}

// cut ends every connection and takes no other, or takes them again.
func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for conn := range l.open {
		_ = conn.Close()
	}
	clear(l.open)
}

// TestAnAgentIsCutOff cuts a node off from the server while the role of an association changes. What the agent holds is
// served and stays good; a token that it has not seen gets nothing; back on the line the pod has its new role, without a
// restart and without asking for it.
func TestAnAgentIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must(s.makeRole("reader", readsReports))
	s.must(s.makeRole("writer", readsReports))
	association, err := s.makeAssociation("dev", "shop/web", "reader")
	s.must(err)
	wire := newLine(t, s.address)
	node := s.startAgent(wire.Addr().String())
	token, err := s.cluster.Token(dev.Pod{Namespace: "shop", ServiceAccount: "web", Name: "web-0"}, registry.PodAudience, time.Hour)
	s.must(err)

	// An agent gives a call a second, handshake included, and has the pod ask again.
	s.wait(func() bool { return node.who(s, token) == "reader" }, "the pod has no role at first")
	wire.cut(true)
	_, err = s.send("administrator", rest("eks", http.MethodPost, associations+"/"+association, `{"roleArn":"arn:aws:iam::`+dev.Account+`:role/writer"}`))
	s.must(err)
	// The agent cannot know: what it holds is served, and the server honours it, for a role that is changed breaks nothing
	// that is under way.
	node.must(s, "cut off", token, "reader")
	other, err := s.cluster.Token(dev.Pod{Namespace: "shop", ServiceAccount: "web", Name: "web-1"}, registry.PodAudience, time.Hour)
	s.must(err)
	if who := node.who(s, other); !strings.HasPrefix(who, "503 ") {
		t.Errorf("cut off, a token that was never seen gets %q", who)
	}
	node.must(s, "cut off, after a refusal", token, "reader")

	wire.cut(false)
	s.wait(func() bool { return node.who(s, token) == "writer" }, "the agent is back and the pod has not its new role")
	s.wait(func() bool { return node.who(s, other) == "writer" }, "the agent is back and the other pod has no role")
	s.must(s.deleteAssociation(association))
	s.wait(func() bool { return strings.HasPrefix(node.who(s, token), "404 ") }, "the association is deleted and the pod has a role")
}

func (s *site) deleteAssociation(id string) error {
	_, err := s.send("administrator", rest("eks", http.MethodDelete, associations+"/"+id, ""))
	return err
}

// node is an agent that serves pods.
type node struct{ *httptest.Server }

func (s *site) startAgent(server string) node {
	s.Helper()
	token, err := s.cluster.Token(agentPod, registry.AgentAudience, time.Hour)
	s.must(err)
	s.must(os.WriteFile(s.file("agent-token"), []byte(token), 0o600))
	pem, err := os.ReadFile(s.file("server/ca.pem"))
	s.must(err)
	cas := x509.NewCertPool()
	cas.AppendCertsFromPEM(pem)
	a, err := agent.New(agent.Config{
		Cluster: "dev", Region: dev.Region, Endpoint: "https://" + server, RoleARN: s.cluster.AgentRole, TokenFile: s.file("agent-token"),
		CAs: cas, Hosts: []string{"127.0.0.1"},
	})
	s.must(err)
	ctx, stop := context.WithCancel(context.WithoutCancel(s.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	served := httptest.NewServer(a.Handler())
	s.Cleanup(func() {
		served.Close()
		stop()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
	return node{served}
}

// who is the role that the server sees in what the agent gives for the token, or a refusal: the agent's status and message,
// or the server's words, which the agent may not have heard yet.
func (n node) who(s *site, token string) string {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, n.URL+agent.Path, nil)
	s.must(err)
	r.Header.Set("Authorization", token)
	response, err := n.Client().Do(r)
	s.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	s.must(err)
	if response.StatusCode != http.StatusOK {
		return response.Status + ": " + string(body)
	}
	var got struct{ AccessKeyID, SecretAccessKey, Token string }
	s.must(json.Unmarshal(body, &got))
	s.callers["pod"] = caller{got.AccessKeyID, got.SecretAccessKey, got.Token}
	answer, err := s.send("pod", form("sts", "GetCallerIdentity", map[string][]string{}))
	if err != nil {
		return err.Error()
	}
	_, role, _ := strings.Cut(answer, "assumed-role/")
	role, _, _ = strings.Cut(role, "/")
	return role
}

func (n node) must(s *site, when, token, want string) {
	s.Helper()
	if got := n.who(s, token); got != want {
		s.Errorf("%s: the pod is %q, want %q", when, got, want)
	}
}
