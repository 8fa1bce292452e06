package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lanyard is a `lanyard server` of a test's own, on an address of the nodes' network, with TLS by a CA of its own.
type lanyard struct {
	t        testing.TB
	dir      string // what `lanyard init` made
	endpoint string // https://10.99.0.100:PORT
	ca       string // file
	account  string
	who      keys     // of another account's administrator; none: of the server's own
	env      []string // what its process finds beside
	server   *process // nil: stopped
}

// newLanyard starts a server on any port of its address, and ends it with the test.
func newLanyard(t testing.TB) *lanyard {
	t.Helper()
	l := openLanyard(t, t.TempDir())
	t.Cleanup(func() {
		if t.Failed() && l.server != nil {
			t.Logf("lanyard server\n%s", l.server.log)
		}
		l.stop()
	})
	return l
}

// openLanyard starts a server in a folder, with more in its environment, which whoever asks for it stops.
func openLanyard(t testing.TB, folder string, env ...string) *lanyard {
	t.Helper()
	l := &lanyard{t: t, dir: filepath.Join(folder, "server"), env: env}
	l.ca = filepath.Join(l.dir, "ca.pem")
	output(t, "lanyard", "init", "--dir", l.dir, "--address", serverIPv4.String(), "--address", serverIPv6.String())
	l.start(serverIPv4.String() + ":0")
	l.endpoint = "https://" + l.server.address
	l.account, _, _ = strings.Cut(strings.TrimPrefix(l.aws("sts get-caller-identity --query Arn --output text"), "arn:aws:iam::"), ":")
	return l
}

// start starts the server on an address.
func (l *lanyard) start(listen string) {
	l.t.Helper()
	l.server = servingIn(l.t, environment(l.env...), []string{"lanyard", "server", "--dir", l.dir, "--listen", listen})
}

// restart starts a server that was stopped, where it was.
func (l *lanyard) restart() {
	l.t.Helper()
	l.start(strings.TrimPrefix(l.endpoint, "https://"))
}

// stop ends the server as Kubernetes does, and wants it to end well.
func (l *lanyard) stop() {
	l.t.Helper()
	if l.server != nil {
		l.server.stop(l.t)
	}
	l.server = nil
}

// create makes an account, by `lanyard account create`, and is the key of its administrator.
func (l *lanyard) create(name string, more ...string) (k keys) {
	l.t.Helper()
	text := l.as(append([]string{"lanyard", "account", "create", name}, more...)...)
	for word := range strings.FieldsSeq(text) {
		switch variable, value, _ := strings.Cut(word, "="); variable {
		case "AWS_ACCESS_KEY_ID":
			k.id = value
		case "AWS_SECRET_ACCESS_KEY":
			k.secret = value
		}
	}
	if k.id == "" || k.secret == "" {
		l.t.Fatal("account create prints no access key")
	}
	return k
}

// of is the same server to the administrator of another of its accounts.
func (l *lanyard) of(account string, k keys) *lanyard {
	other := *l
	other.account, other.who = account, k
	return &other
}

// administrator is the environment of the account's administrator, who reaches the server by TLS.
func (l *lanyard) administrator(more ...string) []string {
	l.t.Helper()
	text := output(l.t, "bash", "-euc", `. "$0" && env`, filepath.Join(l.dir, "administrator.env"))
	env := environment("AWS_ENDPOINT_URL="+l.endpoint, "AWS_CA_BUNDLE="+l.ca, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "AWS_") && !strings.HasPrefix(line, "AWS_ENDPOINT") {
			env = append(env, strings.TrimSpace(line))
		}
	}
	if l.who.id != "" {
		env = append(env, "AWS_ACCESS_KEY_ID="+l.who.id, "AWS_SECRET_ACCESS_KEY="+l.who.secret)
	}
	return append(env, more...)
}

// keys are the administrator's.
func (l *lanyard) keys() (k keys) {
	l.t.Helper()
	for _, variable := range l.administrator() {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "AWS_ACCESS_KEY_ID":
			k.id = value
		case "AWS_SECRET_ACCESS_KEY":
			k.secret = value
		}
	}
	return k
}

// as runs a program as the administrator, and is what it prints; it ends well.
func (l *lanyard) as(argv ...string) string {
	l.t.Helper()
	return strings.TrimSpace(ok(l.t, run(l.t, l.administrator(), "", argv...), argv))
}

// aws is what Debian's aws CLI prints as the administrator, when it ends well. Words are split at spaces; what holds a space
// comes as one of the arguments that follow.
func (l *lanyard) aws(words string, more ...string) string {
	l.t.Helper()
	return l.as(append(append([]string{"aws"}, strings.Fields(words)...), more...)...)
}

// awsRefused wants the CLI to fail with the code and the words.
func (l *lanyard) awsRefused(code, message, words string, more ...string) {
	l.t.Helper()
	argv := append(append([]string{"aws"}, strings.Fields(words)...), more...)
	got := run(l.t, l.administrator(), "", argv...)
	if got.status == 0 || !strings.Contains(got.errors, "("+code+")") || !strings.Contains(got.errors, message) {
		l.t.Errorf("%q: status %d\n%s%s\nwant %s with %q", argv, got.status, got.out, got.errors, code, message)
	}
}

// caText is the certificate of the CA, for a pod that must trust it.
func (l *lanyard) caText() string {
	l.t.Helper()
	text, err := os.ReadFile(l.ca)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}
