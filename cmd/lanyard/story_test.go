package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openlanyard/lanyard/dev"
)

var update = flag.Bool("update", false, "rewrite the files that stories compare with")

// patience is how long is waited for what has to happen before it is called missing. Some things take their time on any machine: the
// name of a gateway that was killed is free after 20 s.
const patience = 2 * time.Minute

// TestMain lets the stories run the real program, two programs of the kind that people run in pods, and an object store.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lanyard":         main,
		"list-buckets":    listBuckets,
		"wait-for-signal": waitForSignal,
		"object-store":    objectStore,
	})
}

// TestStories plays testdata/*.txtar. Besides testscript's own verbs a story has:
//
//	dev start [ARG...] | stop | kill      `lanyard dev` on the story's folder $LANYARD_DIR; kill is kill -9
//	server start [ARG...] | stop          `lanyard server`
//	pod CALLER NS/SA [OPTION=VALUE...]    asks an agent for credentials as a pod, and keeps them as CALLER's
//	token VARIABLE NS/SA [OPTION=VALUE]   puts a pod's token into a variable
//	account NAME ID                       makes an account, whose administrator is then the CALLER NAME
//	as CALLER SERVICE ...                 makes one signed call (see story.as)
//	role NAME [POLICY-FILE]               makes a role for pods; its policy is called `it`
//	associate NS/SA ROLE [CLUSTER]        creates an association, and puts its id into $ASSOCIATION
//	await FILE                            waits until the file is there
//	await certificate ADDRESS CA-FILE     waits until a server shows a certificate of that CA
//	await assumed ROLE NS/SA OPTION=VALUE...  waits until the agent answers the pod with credentials of the role, and
//	                                      `await assumed nobody` until it refuses it
//	renewed CALLER ANOTHER                they hold different sessions; with `!` the same
//	assume CALLER AS [NAME=VALUE...]      CALLER is what AssumeRole makes of AS
//	listens dev|server ADDRESS...         the process listens on these TCP addresses and on no others
//	scan DIR FILE...                      secrets are in DIR in these files alone, and nobody else may read it
//	certificate ADDRESS CA-FILE           prints the serial number of the certificate that a server shows
//	administrator ENV-FILE CA-FILE        the CALLER administrator is that of a server from now on
//	apiserver start | ...                 a stand-in for a Kubernetes API server (see story.apiserver)
//	loopback-address IP/BITS              gives the namespace one more address
//
// They know nothing that a user could not know: they run programs, read the folder and send requests.
func TestStories(t *testing.T) {
	verbs := map[string]func(*story, []string) error{
		"dev": (*story).dev, "server": (*story).server, "pod": (*story).pod, "token": (*story).token, "account": (*story).account,
		"as": (*story).as, "assume": (*story).assume, "renewed": (*story).renewed, "role": (*story).role, "associate": (*story).associate, "await": (*story).await,
		"listens": (*story).listens, "scan": (*story).scan, "certificate": (*story).certificate,
		"administrator": (*story).administrator, "apiserver": (*story).apiserver, "loopback-address": (*story).loopbackAddress,
	}
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	for name, verb := range verbs {
		cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			s := ts.Value(storyKey{}).(*story)
			s.TestScript = ts
			err := verb(s, args)
			if err != nil {
				_, told := fmt.Fprintln(ts.Stderr(), err)
				ts.Check(told)
			}
			if (err != nil) != neg {
				ts.Fatalf("%s %s: got error %v", name, strings.Join(args, " "), err)
			}
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Cmds: cmds, Setup: beginStory, UpdateScripts: *update, RequireUniqueNames: true,
	})
}

type storyKey struct{}

// story is one script with what its verbs remember.
type story struct {
	*testscript.TestScript // of the verb that runs
	world

	vars       []string
	processes  map[string]*process
	kubernetes *apiServer
}

func beginStory(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	s := &story{world: newWorld(filepath.Join(env.WorkDir, "lanyard-dev")), processes: map[string]*process{}}
	env.Values[storyKey{}] = s
	env.Setenv("HOME", home)
	env.Setenv("LANYARD_DIR", string(s.dir))
	s.vars = env.Vars
	env.Defer(func() {
		for _, p := range s.processes {
			p.kill()
		}
		if s.kubernetes != nil {
			s.kubernetes.Close()
		}
	})
	return os.MkdirAll(home, 0o700)
}

// options reads NAME=VALUE words.
func (s *story) options(words []string) map[string]string {
	options := map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			s.Fatalf("%q is not OPTION=VALUE", w)
		}
		options[name] = value
	}
	return options
}

// text is an argument, or the content of the file that @FILE names.
func (s *story) text(argument string) string {
	if file, ok := strings.CutPrefix(argument, "@"); ok {
		return s.ReadFile(file)
	}
	return argument
}

func (s *story) need(args []string, least int, usage string) {
	if len(args) < least {
		s.Fatalf("usage: %s", usage)
	}
}

// print is for the verb stdout.
func (s *story) print(text string) {
	_, err := io.WriteString(s.Stdout(), text)
	s.Check(err)
}

func (s *story) await(args []string) error {
	s.need(args, 1, "await FILE | certificate ADDRESS CA-FILE")
	if args[0] == "certificate" {
		return eventually(func() bool { return s.certificate(args[1:]) == nil }, "the certificate is not of the CA in %s", args[2])
	}
	if args[0] == "assumed" {
		s.need(args, 4, "await assumed ROLE|nobody NS/SA token=TOKEN [OPTION=VALUE...]")
		return s.awaitAssumed(args[1], args[2], s.options(args[3:]))
	}
	return eventually(func() bool {
		_, err := os.Stat(s.MkAbs(args[0]))
		return err == nil
	}, "%s is not there", args[0])
}

// awaitAssumed asks with one token until the agent, which holds an answer for it, has another.
func (s *story) awaitAssumed(role, serviceAccount string, options map[string]string) error {
	return eventually(func() bool {
		if err := s.become("assumed", serviceAccount, options); err != nil {
			var refused *dev.Answer
			return role == "nobody" && errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusBadRequest)
		}
		who, err := s.send("assumed", form("sts", "GetCallerIdentity", url.Values{}))
		return err == nil && strings.Contains(who, "assumed-role/"+role+"/")
	}, "the agent does not answer %s with credentials of %s", serviceAccount, role)
}

// eventually asks again and again until it is so.
func eventually(so func() bool, otherwise string, args ...any) error {
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf(otherwise+" after %v", append(args, patience)...)
		}
	}
	return nil
}

// listBuckets is a program that knows nothing of Lanyard: AWS's SDK with its defaults.
func listBuckets() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := func() error {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return err
		}
		out, err := s3.NewFromConfig(cfg).ListBuckets(ctx, nil)
		if err != nil {
			return err
		}
		for _, b := range out.Buckets {
			fmt.Println(aws.ToString(b.Name))
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// waitForSignal tells that it is ready by making the file that it is given, and ends with 7 once a signal comes.
func waitForSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1)
	if err := os.WriteFile(os.Args[1], nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {
	case got := <-signals:
		fmt.Println("got", got)
		os.Exit(7)
	case <-time.After(patience):
		os.Exit(1)
	}
}
