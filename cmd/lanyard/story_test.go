package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openlanyard/lanyard/dev"
)

var update = flag.Bool("update", false, "rewrite what stories compare with")

// patience is how long a story waits for what has to happen before it calls it missing.
const patience = 30 * time.Second

// TestMain lets the stories run the real program, and two programs of the kind that a pod runs.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lanyard":         main,
		"list-buckets":    listBuckets,
		"wait-for-signal": waitForSignal,
	})
}

// TestStories plays testdata/*.txtar. Besides testscript's own verbs a story has:
//
//	dev start [ARG...] | stop | kill     a `lanyard dev` of the story's own, on ports that are free
//	server start ARG... | stop           the same with `lanyard server`
//	pod CALLER NS/SA [OPTION=VALUE...]   asks the agent for credentials as a pod, and keeps them as CALLER's
//	token VARIABLE NS/SA [OPTION=VALUE]  puts a pod token in a variable
//	account NAME ID                      makes an account, and keeps its administrator as CALLER NAME
//	as CALLER SERVICE ...                makes one signed call (see wire_test.go)
//	role NAME [POLICY-FILE]              makes a role that pods may have; its policy is called "it"
//	associate NS/SA ROLE [CLUSTER]       creates an association, and puts its id in $ASSOCIATION
//	await FILE                           waits until the file is there
//	listens NAME ADDRESS...              the process listens on these TCP addresses and on nothing else
//	scan DIR [FILE...]                   no secret that was handed out is in DIR but in the files, and nobody else may read it
//	certificate ADDRESS CA-FILE          prints the serial number of the certificate that a server shows
//
// They all talk to the processes over their sockets, as anybody would.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Setup: begin, UpdateScripts: *update, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev":         (*testscriptOf)(nil).dev,
			"server":      (*testscriptOf)(nil).server,
			"pod":         (*testscriptOf)(nil).pod,
			"token":       (*testscriptOf)(nil).token,
			"account":     (*testscriptOf)(nil).account,
			"as":          (*testscriptOf)(nil).as,
			"role":        (*testscriptOf)(nil).role,
			"associate":   (*testscriptOf)(nil).associate,
		},
	})
}
