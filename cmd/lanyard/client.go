package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// client makes signed calls to a server's public wire, as any other tool would.
type client struct {
	endpoint                     string
	keyID, secret, token, region string
	http                         *http.Client
}

// newClient calls as the administrator of the folder when one is named; else by the environment that the aws CLI reads;
// else as the administrator of the default folder.
func newClient(cmd *cobra.Command) (*client, error) {
	dir, endpoint := cmd.Flag("dir"), os.Getenv("AWS_ENDPOINT_URL")
	if !dir.Changed && endpoint != "" && os.Getenv("AWS_ACCESS_KEY_ID") != "" {
		c := &client{
			endpoint: strings.TrimSuffix(endpoint, "/"), keyID: os.Getenv("AWS_ACCESS_KEY_ID"), secret: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			token: os.Getenv("AWS_SESSION_TOKEN"), region: firstOf(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), dev.Region),
		}
		return c, c.trust(os.Getenv("AWS_CA_BUNDLE"))
	}
	return devClient(dir.Value.String())
}

// devClient calls the running `lanyard dev` of a folder as its administrator.
func devClient(path string) (*client, error) {
	d, err := dev.FindDir(path)
	if err != nil {
		return nil, err
	}
	at, err := d.Addresses()
	if err != nil {
		return nil, err
	}
	who, err := d.Administrator()
	if err != nil {
		return nil, err
	}
	c := &client{endpoint: at.Endpoint, keyID: who.AccessKeyID, secret: who.SecretAccessKey, region: who.Region}
	return c, c.trust("")
}

// trust makes the HTTP client, with the CAs of a PEM file or the system's. It follows no redirect: that would carry a token, or the
// audit, to where nobody configured it to go.
func (c *client) trust(file string) error {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return fault.New(fault.Invalid, "AWS_CA_BUNDLE %s holds no certificate in PEM form", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	c.http = &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

// unhurried is the HTTP client without a time that an answer may take.
func (c *client) unhurried() *http.Client {
	other := *c.http
	other.Timeout = 0
	return &other
}

// isLoopback reports whether a URL is of this machine's loopback address.
func isLoopback(u *url.URL) bool {
	return u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
}

// as returns a client that signs with another pair.
func (c *client) as(keyID, secret string) dev.Call {
	other := *c
	other.keyID, other.secret, other.token = keyID, secret, ""
	return other.call
}

// call is a dev.Call.
func (c *client) call(ctx context.Context, service, method, path string, in, out any) error {
	var body []byte
	kind := "application/json"
	switch v := in.(type) {
	case nil:
	case url.Values:
		body, kind = []byte(v.Encode()), "application/x-www-form-urlencoded; charset=utf-8"
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if in != nil {
		request.Header.Set("Content-Type", kind)
	}
	sum := sha256.Sum256(body)
	sigv4.Sign(request, c.keyID, c.secret, c.token, c.region, service, hex.EncodeToString(sum[:]), time.Now())
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	_ = response.Body.Close() // read; nothing to lose
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return answer(response.StatusCode, text)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *queryAnswer:
		return xml.Unmarshal(text, out.xml)
	}
	return json.Unmarshal(text, out)
}

// queryAnswer has call read the query protocol's XML.
type queryAnswer struct{ xml any }

// query makes a call of the query protocol.
func (c *client) query(ctx context.Context, service string, form url.Values, out any) error {
	return c.call(ctx, service, http.MethodPost, "/", form, &queryAnswer{out})
}

// answer reads an error in any of the shapes that the doors speak: JSON, the query protocol's XML, S3's XML.
func answer(status int, body []byte) error {
	a := &dev.Answer{Status: status, Code: http.StatusText(status), Message: strings.TrimSpace(string(body))}
	var asJSON struct {
		Code, Message string
		Type          string `json:"__type"` // alone where the protocol is JSON's RPC
	}
	if json.Unmarshal(body, &asJSON) == nil && asJSON.Code+asJSON.Type != "" {
		a.Code, a.Message = firstOf(asJSON.Code, asJSON.Type), asJSON.Message
		return a
	}
	var asXML struct {
		Code, Message string
		Error         struct{ Code, Message string }
	}
	if xml.Unmarshal(body, &asXML) == nil && asXML.Code+asXML.Error.Code != "" {
		a.Code, a.Message = asXML.Code+asXML.Error.Code, asXML.Message+asXML.Error.Message
	}
	return a
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// dirFlag adds --dir with its default, which `dev`, `env`, `exec` and all that calls a running dev share.
func dirFlag(cmd *cobra.Command) {
	dir := os.Getenv("LANYARD_DIR")
	if home, err := os.UserHomeDir(); dir == "" && err == nil {
		dir = home + "/.lanyard/dev"
	}
	cmd.Flags().String("dir", dir, "state folder of lanyard dev (LANYARD_DIR)")
}

// shellSafe are the texts that a POSIX shell takes as they are.
var shellSafe = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellQuote makes a word of a POSIX shell of any text.
func shellQuote(s string) string {
	if shellSafe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func printf(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format, args...)
	return err
}

// printLine prints one line, whatever the texts in it are: others have chosen them.
func printLine(cmd *cobra.Command, format string, args ...any) error {
	return printf(cmd, "%s\n", visible(fmt.Sprintf(format, args...)))
}

// visible escapes what a terminal would obey or not show.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
