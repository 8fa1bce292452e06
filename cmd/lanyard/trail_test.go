package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/dev"
)

// cli runs a command that ends, with the administrator's credentials.
func (s *site) cli(args ...string) (string, error) {
	cmd := exec.CommandContext(s.Context(), "lanyard", args...)
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+s.endpoint, "AWS_CA_BUNDLE="+s.file("server/ca.pem"),
		"AWS_ACCESS_KEY_ID="+s.callers["administrator"].keyID, "AWS_SECRET_ACCESS_KEY="+s.callers["administrator"].secret)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return string(text), fmt.Errorf("lanyard %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return string(text), nil
}

// says waits until a command succeeds and says something.
func (s *site) says(what string, args ...string) {
	s.Helper()
	say, last := regexp.MustCompile(what), ""
	err := eventually(func() bool {
		text, err := s.cli(args...)
		last = fmt.Sprint(text, err)
		return err == nil && say.MatchString(text)
	}, "lanyard %s does not say %q", strings.Join(args, " "), what)
	if err != nil {
		s.Fatalf("%v; it says %s", err, last)
	}
}

// age makes the last segment of a log one of an hour that is over.
func (s *site) age(dir string) {
	s.Helper()
	names, err := filepath.Glob(s.file(dir) + "/audit-*.jsonl")
	s.must(err)
	then := time.Now().Add(-2 * time.Hour)
	s.must(os.Chtimes(names[len(names)-1], then, then))
}

// TestTrailOfServerAndGateway follows what a pod read from the gateway's log to the auditor, through a kill -9 of the gateway.
func TestTrailOfServerAndGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.server.kill()
	brought := []string{"--trail", "file://" + s.file("trail"), "--trail-interval", "100ms"}
	s.startServer(s.address, brought...)
	s.must(s.makeRole("reader", readsReports))
	_, err := s.makeAssociation("dev", "shop/web", "reader")
	s.must(err)
	s.pod("pod", "shop/web")
	asAdministrator := append([]string{"--key-file", s.file("server/administrator.env")}, brought...)
	g := s.startGateway(asAdministrator...)
	s.wait(s.ready, "the gateway is not ready")
	_, err = s.gate.send("pod", rest("s3", http.MethodPut, "/store/shop/a", "hello"))
	s.must(err)
	s.is("pod", "/store/shop/a", "hello", "allowed")
	g.kill()
	s.age("audit")
	g = s.startGateway(asAdministrator...)
	s.wait(s.ready, "the gateway does not come back")
	s.is("pod", "/store/other/a", "AccessDenied", "another namespace's")

	read := `^\S+Z  GetObject +allowed +arn:aws:sts::` + dev.Account + `:assumed-role/reader/\S+  pod shop/web-0 \(web\)  .*arn:aws:s3:::store/shop/a`
	for _, from := range [][]string{{"--trail", "file://" + s.file("trail")}, {"--dir", "server"}, {"--logs", "audit"}} {
		s.says(read, append([]string{"audit", "query", "--resource", "arn:aws:s3:::store/shop/a", "--action", "GetObject", "--node", s.cluster.Node.Name}, from...)...)
		s.says(`^\S+Z  GetObject +AccessDenied .*store/other/a\n$`, append([]string{"audit", "query", "--pod", "web-0", "--outcome", "refused", "--limit", "1"}, from...)...)
	}
	s.says(`^\S+Z  AssumeRoleForPodIdentity +allowed `, "audit", "query", "--trail", "file://"+s.file("trail"), "--pod", "web-0", "--cluster", "dev", "--action", "AssumeRoleForPodIdentity")

	// The gateway's digest is signed by the server, and holds against the key that the server tells.
	s.says(`(?s)none was changed.*records up to \d+ are in segments with signed digests`, "audit", "verify", "--logs", "audit", "--writer", "gateway/"+dev.Account+"/gw-1")
	if text, err := s.cli("audit", "verify", "--logs", "audit"); err == nil {
		t.Errorf("the gateway's log is taken for the server's: %s", text)
	}
	for what, p := range map[string]*process{"gateway": g, "server": s.server} {
		if err := p.stop(); err != nil {
			t.Errorf("stopping the %s: %v\n%s", what, err, p.err.String())
		}
	}
	s.must(s.notIn(g, s.callers["pod"].secret))
}
