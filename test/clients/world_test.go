package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is a running `lanyard dev` and the folders around it.
type world struct {
	folder string // holds state and an empty home; where the server was started
	state  string
	next   []string // the commands that the first start says to try
	log    *lines   // what the server wrote on stderr

	administrator []string // the environment that `lanyard env` prints
	endpoint      string
	other         otherAccount

	server *exec.Cmd
	ended  chan error
}

// otherAccount is an account beside the one of the suite, with its administrator's key.
type otherAccount struct{ account, id, secret string }

// lines collects what a process writes.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// here is the world that all tests share; they keep apart by the names that they use.
var here *world

func TestMain(m *testing.M) {
	if section := os.Getenv(sectionVariable); section != "" {
		runGoSDK(section) // this process is a client of its own suite
		return
	}
	runtime.LockOSThread() // the server is killed when the thread that started it ends
	os.Exit(run(m))
}

func run(m *testing.M) int {
	complain := func(err error) int {
		fmt.Fprintf(os.Stderr, "test/clients: %v\n", err)
		return 1
	}
	if err := ready(); err != nil {
		return complain(err)
	}
	before, err := strays()
	if err != nil {
		return complain(err)
	}
	folder, err := os.MkdirTemp("", "lanyard-clients-*")
	if err != nil {
		return complain(err)
	}
	if here, err = start(folder); err != nil {
		return complain(errors.Join(err, os.RemoveAll(folder)))
	}
	code := m.Run()
	if err := errors.Join(here.stop(), os.RemoveAll(folder), stayed(before)); err != nil {
		return complain(err)
	}
	return code
}

// ready refuses to begin where a client is missing or where one could reach another machine.
func ready() error {
	for _, name := range []string{"aws", "python3", "node", "lanyard"} {
		path, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("no %s in PATH: run test/setup, or `make clients`, which does", name)
		}
		ours := strings.Contains(path, "/.tools/venv/") || strings.HasSuffix(path, "/test/debian13/aws")
		if (name == "aws" || name == "python3") && !ours {
			return fmt.Errorf("%s is not the pinned one of .tools: run test/setup, or `make clients`, which does", path)
		}
	}
	if err := exec.Command("python3", "-c", "import boto3").Run(); err != nil {
		return fmt.Errorf("python3 has no boto3: run test/setup, or `make clients`, which does")
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Flags&net.FlagUp != 0 && l.Flags&net.FlagLoopback == 0 {
			return fmt.Errorf("%s is up here, so a wrong variable could send a token away: run through test/netns, as `make clients` does", l.Name)
		}
	}
	return nil
}

// start runs `lanyard dev` on a folder that is named relative to where it is started, and waits for the walk-through.
func start(folder string) (*world, error) {
	w := &world{folder: folder, state: filepath.Join(folder, "state"), log: &lines{}, ended: make(chan error, 1)}
	if err := os.Mkdir(filepath.Join(folder, "home"), 0o700); err != nil {
		return nil, err
	}
	w.server = exec.Command("lanyard", "dev", "--dir", "state", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--verbose")
	w.server.Dir, w.server.Env, w.server.Stderr = folder, w.environment(), w.log
	w.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := w.server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.server.Start(); err != nil {
		return nil, err
	}
	told := bufio.NewScanner(out)
	for len(w.next) < 3 && told.Scan() {
		if line, ok := strings.CutPrefix(told.Text(), "  "); ok && (len(w.next) > 0 || strings.HasPrefix(line, "eval ")) {
			w.next = append(w.next, line)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, out) // nothing more is expected
		w.ended <- w.server.Wait()
	}()
	if len(w.next) < 3 {
		return nil, fmt.Errorf("lanyard dev did not get through its first start: %v\n%s", w.stop(), w.log)
	}
	return w, w.learn()
}

// learn takes the administrator's environment as a shell does.
func (w *world) learn() error {
	cmd := exec.Command("bash", "-c", `eval "$(lanyard env --dir "$1")" && env -0`, "bash", w.state)
	cmd.Env = w.environment()
	out, err := cmd.Output()
	if err != nil {
		return errors.Join(fmt.Errorf("lanyard env: %w", err), w.stop())
	}
	for _, v := range strings.Split(strings.Trim(string(out), "\x00"), "\x00") {
		if strings.HasPrefix(v, "AWS_") {
			w.administrator = append(w.administrator, v)
		}
	}
	w.endpoint = w.told("AWS_ENDPOINT_URL")
	return w.prepare(context.Background())
}

// told is a variable of the administrator's environment.
func (w *world) told(name string) string {
	for _, v := range w.administrator {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// stop ends the server as ctrl-C does, and tells when it had an error of its own or did not end well.
func (w *world) stop() error {
	if err := w.server.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := <-w.ended; err != nil {
		return fmt.Errorf("lanyard dev: %w\n%s", err, w.log)
	}
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, `"code":"InternalFailure"`) || strings.Contains(line, `"code":"InternalError"`) || strings.Contains(line, "panic") {
			return fmt.Errorf("lanyard dev had an error of its own: %s", line)
		}
	}
	return nil
}

// environment is what every process of the suite starts from: nothing of the one that runs it but PATH.
func (w *world) environment(more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(w.folder, "home"), "TMPDIR=" + w.folder, "LC_ALL=C.UTF-8",
		"PYTHONDONTWRITEBYTECODE=1",
	}, more...)
}

// A caller makes the command that runs a client as somebody.
type caller func(ctx context.Context, argv ...string) *exec.Cmd

func (w *world) command(ctx context.Context, env []string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = w.folder, env
	return cmd
}

// asNobody runs a client without any identity.
func (w *world) asNobody(ctx context.Context, argv ...string) *exec.Cmd {
	return w.command(ctx, w.environment(), argv...)
}

// asAdministrator runs a client with what `lanyard env` prints.
func (w *world) asAdministrator(ctx context.Context, argv ...string) *exec.Cmd {
	return w.command(ctx, w.environment(w.administrator...), argv...)
}

// asPod runs a client through `lanyard exec`, from an environment that is full of other sources of credentials and of
// addresses that nobody has: a client that takes one of them fails.
func (w *world) asPod(serviceAccount string) caller {
	return func(ctx context.Context, argv ...string) *exec.Cmd {
		env := w.environment(
			"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=wrong", "AWS_PROFILE=missing",
			"AWS_ROLE_ARN=arn:aws:iam::111122223333:role/wrong", "AWS_WEB_IDENTITY_TOKEN_FILE=/missing",
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/wrong", "AWS_CONTAINER_AUTHORIZATION_TOKEN=wrong",
			"AWS_ENDPOINT_URL=http://192.0.2.1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "AWS_REGION=eu-west-1",
			"http_proxy=http://192.0.2.1:3128", "HTTP_PROXY=http://192.0.2.1:3128",
		)
		return w.command(ctx, env, append([]string{
			"lanyard", "exec", "--dir", w.state, "--namespace", "default", "--service-account", serviceAccount, "--",
		}, argv...)...)
	}
}

// asAgent runs a client with the identity of the practice node's agent, by web identity and nothing else.
func (w *world) asAgent(ctx context.Context, argv ...string) *exec.Cmd {
	var cluster struct {
		AgentRoleARN string `json:"agentRoleArn"`
	}
	text, err := os.ReadFile(filepath.Join(w.state, "clusters", "dev.json"))
	if err == nil {
		err = json.Unmarshal(text, &cluster)
	}
	cmd := w.command(ctx, w.environment(
		"AWS_ROLE_ARN="+cluster.AgentRoleARN, "AWS_WEB_IDENTITY_TOKEN_FILE="+filepath.Join(w.state, "clusters", "dev.agent.token"),
		"AWS_ENDPOINT_URL="+w.endpoint, "AWS_ENDPOINT_URL_STS="+w.endpoint, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true",
	), argv...)
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}

// podToken is the token that a pod of a service account has in its file.
func (w *world) podToken(t *testing.T, serviceAccount string) string {
	t.Helper()
	got := output(t, w.asPod(serviceAccount), "sh", "-c", `cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"`)
	return strings.TrimSpace(got)
}

// ran is how a process ended.
type ran struct {
	status      int
	out, errors string
}

// run runs a client to its end. Three minutes are far more than any of them takes; they are there for one that hangs.
func (as caller) run(t *testing.T, argv ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := as(ctx, argv...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", argv, err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// output is what a client printed, when it succeeded.
func output(t *testing.T, as caller, argv ...string) string {
	t.Helper()
	got := as.run(t, argv...)
	if got.status != 0 {
		t.Fatalf("%q: status %d, want 0\n%s%s", argv, got.status, got.out, got.errors)
	}
	return got.out
}
