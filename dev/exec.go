package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openlanyard/lanyard/registry"
)

// Exec is a command that runs as a pod would: with the environment that the webhook gives a pod and no other source of
// credentials in view. It arranges an environment; it confines nothing.
type Exec struct {
	Dir     Dir
	Cluster string
	Pod     Pod // an empty name: one is made from the service account's
	Command []string
}

// Run runs the command with this process's input and output, forwards signals to it, and returns its exit status. When
// the command fails and the agent refuses the pod, the agent's reason is printed on stderr: some SDKs lose it.
func (e *Exec) Run(ctx context.Context) (status int, err error) {
	at, err := e.Dir.Addresses()
	if err != nil {
		return 0, err
	}
	cluster, err := e.Dir.Practice(e.Cluster)
	if err != nil {
		return 0, err
	}
	if e.Pod.Name == "" {
		e.Pod.Name = e.Pod.ServiceAccount + "-exec"
	}
	folder, err := os.MkdirTemp("", "lanyard-exec-*") // 0700
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "eks-pod-identity-token")
	if err := writeToken(cluster, e.Pod, registry.PodAudience, file); err != nil {
		return 0, err
	}
	// A signal is for the command, which may go on after it, as a shell does after ctrl-C, and needs its token then.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var late error // of the last renewal
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		keepToken(ctx, cluster, e.Pod, registry.PodAudience, file, func(err error) { late = err })
	}()

	uri := credentialsURI(at.Agent, e.Cluster)
	status, err = e.run(Environment(os.Environ(), at.Endpoint, uri, file, folder))
	if err == nil && status != 0 {
		e.explain(ctx, uri, file)
	}
	cancel()
	<-kept
	return status, errors.Join(err, late)
}

// credentialsURI is where the cluster's agent answers on the shared listener.
func credentialsURI(agentAddress, cluster string) string {
	if cluster == First {
		return agentAddress + "/v1/credentials"
	}
	return agentAddress + "/" + cluster + "/v1/credentials"
}

// run starts the command and passes signals on until it ends.
func (e *Exec) run(environment []string) (int, error) {
	path, err := exec.LookPath(e.Command[0])
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(path, e.Command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environment, os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !fromTerminal(s) {
				_ = cmd.Process.Signal(s) // it may just have ended
			}
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
					return 128 + int(ws.Signal()), nil // as a shell reports it
				}
				return exit.ExitCode(), nil
			}
			return 0, err
		}
	}
}

// fromTerminal reports whether a signal came by a key: then the terminal has sent it to the command as well, and to pass
// it on would make a second one of it, which some programs take for "at once".
func fromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT && s != syscall.SIGWINCH {
		return false
	}
	foreground, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

// explain asks the agent as the pod did and prints its reason, if it refuses.
func (e *Exec) explain(ctx context.Context, uri, file string) {
	token, err := os.ReadFile(file)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return
	}
	request.Header.Set("Authorization", string(token))
	response, err := (&http.Client{Transport: &http.Transport{}}).Do(request) // no proxy
	if err != nil {
		fmt.Fprintf(os.Stderr, "lanyard: the agent does not answer: %v\n", err)
		return
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	_ = response.Body.Close() // read; nothing to lose
	var refusal struct{ Code, Message string }
	if response.StatusCode != http.StatusOK && json.Unmarshal(body, &refusal) == nil {
		fmt.Fprintf(os.Stderr, "lanyard: the agent refused %s/%s in cluster %s: %s: %s\n",
			e.Pod.Namespace, e.Pod.ServiceAccount, e.Cluster, refusal.Code, refusal.Message)
	}
}

// Environment returns the environment of a pod: base without any source of credentials or endpoint for AWS, and what the
// webhook injects. folder holds nothing: the configuration files are pointed into it.
func Environment(base []string, endpoint, uri, tokenFile, folder string) []string {
	var env, noProxy []string
	for _, entry := range base {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasPrefix(name, "AWS_"):
		case name == "NO_PROXY" || name == "no_proxy":
			if value != "" && !slices.Contains(noProxy, value) { // programs read one or the other
				noProxy = append(noProxy, value)
			}
		default:
			env = append(env, entry)
		}
	}
	direct := strings.Join(append(noProxy, "127.0.0.1", "::1", "169.254.170.23", "fd00:ec2::23"), ",")
	return append(env,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI="+uri,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+tokenFile,
		"AWS_STS_REGIONAL_ENDPOINTS=regional",
		"AWS_DEFAULT_REGION="+Region,
		"AWS_REGION="+Region,
		"AWS_ENDPOINT_URL_S3="+endpoint,
		"AWS_ENDPOINT_URL_STS="+endpoint,
		"AWS_CONFIG_FILE="+filepath.Join(folder, "no-config"),
		"AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(folder, "no-credentials"),
		"AWS_EC2_METADATA_DISABLED=true",
		"NO_PROXY="+direct,
		"no_proxy="+direct,
	)
}
