package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/console"
	"github.com/openlanyard/lanyard/fault"
)

func newConsole() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Print a link that signs in to the console for an hour",
		Long: "Print a link to the server's console that signs in, for an hour, who calls this. The credentials stand behind the link's #: " +
			"a browser sends that part to nobody, and the console takes it out of the address bar at once. " +
			"Paste the link into the address bar. On a command line, every process of the machine could read it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			if err := mayLink(c.endpoint); err != nil {
				return err
			}
			if err := c.hasConsole(cmd.Context()); err != nil {
				return err
			}
			with, err := c.temporary(cmd.Context())
			if err != nil {
				return err
			}
			link, err := with.link(c.endpoint)
			if err != nil {
				return err
			}
			if err := printf(cmd, "%s\n", link); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), "whoever has this link is you"+with.until())
			return err
		},
	}
	dirFlag(cmd)
	return cmd
}

// temporaryCredentials are what the console is signed in with, in the shape that it reads (console/app/src/link.ts).
type temporaryCredentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      string `json:"expiration,omitempty"`
	Region          string `json:"region"`
}

// link shows the credentials in text without signs that an address would escape.
func (t *temporaryCredentials) link(endpoint string) (string, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return endpoint + console.Prefix + "#credentials=" + base64.RawURLEncoding.EncodeToString(text), nil
}

func (t *temporaryCredentials) until() string {
	if t.Expiration == "" {
		return ", until the credentials in the environment expire"
	}
	return " until " + t.Expiration
}

// temporary takes temporary credentials as they are, and gets a session of an hour for a long-term key, which goes nowhere.
func (c *client) temporary(ctx context.Context) (*temporaryCredentials, error) {
	if c.token != "" {
		return &temporaryCredentials{c.keyID, c.secret, c.token, os.Getenv("AWS_CREDENTIAL_EXPIRATION"), c.region}, nil
	}
	var got struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      time.Time
		} `xml:"GetSessionTokenResult>Credentials"`
	}
	form := url.Values{"Action": {"GetSessionToken"}, "Version": {"2011-06-15"}, "DurationSeconds": {"3600"}}
	if err := c.query(ctx, "sts", form, &got); err != nil {
		return nil, fmt.Errorf("getting a session: %w", err)
	}
	t := got.Credentials
	return &temporaryCredentials{t.AccessKeyID, t.SecretAccessKey, t.SessionToken, t.Expiration.UTC().Format(time.RFC3339), c.region}, nil
}

// mayLink refuses an address at which anybody on the way could answer with a page of their own, that reads what is behind the #.
func mayLink(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u)) {
		return fault.New(fault.Invalid, "a link with credentials is printed for https://HOST, and for http on a loopback address alone; the server is at %q", endpoint)
	}
	return nil
}

// hasConsole asks the server before a link is made that would lead nowhere.
func (c *client) hasConsole(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.endpoint+console.Prefix, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close() // of a HEAD
	if response.StatusCode != http.StatusOK {
		return fault.New(fault.NotFound, "the server at %s has no console: it was built without (Node.js and `make build` make one with it)", c.endpoint)
	}
	return nil
}
