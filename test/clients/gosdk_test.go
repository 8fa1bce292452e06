package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
)

// goSections are what the AWS SDK for Go tries, in the order of the table.
func goSections() map[string][]goCase {
	return map[string][]goCase{
		"pod":      goPod,
		"stranger": {{"the agent's reason", goStranger}},
		"eks":      goEKS,
		"iam":      goIAM,
		"signing":  goSigning,
		"agent":    goAgent,
		"uploads":  goUploads,
		"refresh":  {{"refresh across an expiry", goExpiry}},
		"plain":    {{"the reason as AWS's agent tells it", goPlain}},
		"tls":      {{"own CA by the injected variables", goTLS}},
		"trail":    goTrail,
		"version":  {goVersion},
	}
}

type goCase struct {
	name string
	try  func(*goClient)
}

// goClient is one case under way. It collects what is wrong; a case that cannot go on returns.
type goClient struct {
	context.Context
	aws    aws.Config // by the default chain of the environment
	wrongs []error
	note   string // for the table, where there is more to say than yes
}

// runGoSDK is the whole of a client process: a line for each case of the section.
func runGoSDK(section string) {
	tell := json.NewEncoder(os.Stdout)
	for _, step := range goSections()[section] {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // one case waits for the end of a session of 20 s
		c := &goClient{Context: ctx}
		var err error
		// One attempt: what is answered first is what is judged.
		if c.aws, err = config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1)); err != nil {
			c.wrong("configuration: %v", err)
		} else {
			step.try(c)
		}
		cancel()
		line := map[string]any{"case": step.name, "error": nil, "note": c.note}
		if err := errors.Join(c.wrongs...); err != nil {
			line["error"] = err.Error()
		}
		if err := tell.Encode(line); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func (c *goClient) wrong(format string, args ...any) {
	c.wrongs = append(c.wrongs, fmt.Errorf(format, args...))
}

// good reports whether a call succeeded.
func (c *goClient) good(what string, err error) bool {
	if err != nil {
		c.wrong("%s: %v", what, err)
	}
	return err == nil
}

func (c *goClient) equal(what string, got, want any) {
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		c.wrong("%s: got %.300s, want %.300s", what, g, w)
	}
}

func (c *goClient) contains(what, got, want string) {
	if !strings.Contains(got, want) {
		c.wrong("%s: got %.500q, want it to contain %q", what, got, want)
	}
}

// refused wants a call to have failed with a code and a message that the service answered.
func (c *goClient) refused(what string, err error, code, message string) {
	var answer smithy.APIError
	switch {
	case err == nil:
		c.wrong("%s: succeeded, want to be refused with %s", what, code)
	case !errors.As(err, &answer):
		c.wrong("%s: %v, want to be refused by the service with %s", what, err, code)
	default:
		c.equal(what+": code of "+err.Error(), answer.ErrorCode(), code)
		c.contains(what, answer.ErrorMessage(), message)
	}
}

// typed wants an error to be of the type that the service's model has for it.
func typed[T error](c *goClient, what string, err error) {
	if _, ok := errors.AsType[T](err); !ok {
		var want T
		c.wrong("%s: %v is a %T, want a %T", what, err, err, want)
	}
}

// read reads a body and closes it.
func (c *goClient) read(body io.ReadCloser) string {
	text, err := io.ReadAll(body)
	c.good("reading a body", errors.Join(err, body.Close()))
	return string(text)
}

// list reads a list of names that the suite hands its clients.
func list(variable string) (names []string) {
	if err := json.Unmarshal([]byte(os.Getenv(variable)), &names); err != nil {
		return nil // a case that finds nothing to try says so
	}
	return names
}
