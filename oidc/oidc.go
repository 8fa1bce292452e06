// Package oidc asks an OpenID Connect issuer for the keys that it signs tokens with
// (https://openid.net/specs/openid-connect-discovery-1_0.html).
//
// Who may name an issuer is an administrator of an account, whom the owner of the server's network need not trust. So an
// answer is bounded in size and time, nothing is asked but by GET over TLS, nobody is sent on to another place, and no
// address inside the network is reached, whatever a name resolves to at which moment.
package oidc

import (
	"context"
	"crypto/sha1" //nolint:gosec // IAM's thumbprints; a second certificate with a given one cannot be made
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Client asks issuers. Its zero value reaches public addresses only.
type Client struct {
	Allowed []netip.Prefix // addresses that may be reached although they are not public
	Roots   *x509.CertPool // nil: the system's
	Timeout time.Duration  // for all that is asked of one issuer; 0: 5 s

	// Dial connects instead, for a way out that is no plain route. Which addresses may be reached is then its own matter.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultTimeout = 5 * time.Second
	maxDocument    = 64 << 10  // bytes of the discovery document
	maxKeys        = 128 << 10 // bytes of a key set
	maxHeader      = 16 << 10
	wellKnown      = "/.well-known/openid-configuration"
)

// Keys returns the JSON Web Key Set of an issuer, which is given as tokens spell it, as the issuer sends it. Beside the
// usual roots, certificates are trusted that stand below one of the thumbprints: SHA-1 in lower-case hex.
func (c *Client) Keys(ctx context.Context, issuer string, thumbprints []string) ([]byte, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := c.http(thumbprints)
	defer client.CloseIdleConnections()

	text, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+wellKnown, maxDocument)
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("the discovery document of %s: %w", issuer, err)
	}
	if document.Issuer != issuer {
		return nil, fmt.Errorf("the discovery document of %s is of the issuer %.300q", issuer, document.Issuer)
	}
	return get(ctx, client, document.Keys, maxKeys)
}

// get reads what an address answers with status 200, whole or not at all.
func get(ctx context.Context, client *http.Client, address string, most int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(address) > 2048 {
		return nil, fmt.Errorf("the address %.300q: an https URL without user or fragment is accepted", address)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // read, or given up
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("%s answers more than %d bytes", address, most)
	}
	return body, nil
}

var errRedirect = errors.New("it sends us on to another place, which is not followed")

// http is a client for one issuer. It knows no proxy: a proxy resolves names behind our back.
func (c *Client) http(thumbprints []string) *http.Client {
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Control: c.control}).DialContext
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		Transport: &http.Transport{
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // a small answer stays small
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				plain, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				secured := tls.Client(plain, &tls.Config{
					ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
					InsecureSkipVerify: true, // VerifyConnection does it, by two sets of roots
					VerifyConnection:   func(s tls.ConnectionState) error { return c.verify(s.PeerCertificates, host, thumbprints) },
				})
				if err := secured.HandshakeContext(ctx); err != nil {
					return nil, errors.Join(err, plain.Close())
				}
				return secured, nil
			},
		},
	}
}

// verify accepts a certificate for the host that stands below one of the roots or below a certificate of the chain that has one of
// the thumbprints.
func (c *Client) verify(chain []*x509.Certificate, host string, thumbprints []string) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	options := x509.VerifyOptions{DNSName: host, Roots: c.Roots, Intermediates: x509.NewCertPool()}
	pinned, some := x509.NewCertPool(), false
	for i, certificate := range chain {
		if i > 0 {
			options.Intermediates.AddCert(certificate)
		}
		sum := sha1.Sum(certificate.Raw) //nolint:gosec // see the import
		if slices.Contains(thumbprints, hex.EncodeToString(sum[:])) {
			pinned.AddCert(certificate)
			some = true
		}
	}
	_, err := chain[0].Verify(options)
	if err != nil && some {
		options.Roots = pinned
		_, err = chain[0].Verify(options)
	}
	return err
}

// control sees each address right before it is connected to: what a name resolved to a moment ago is of no interest.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	at := target.Addr().Unmap().WithZone("")
	if IsPublic(at) || slices.ContainsFunc(c.Allowed, func(p netip.Prefix) bool { return p.Contains(at) }) {
		return nil
	}
	return fmt.Errorf("the address %s is not public, and not among those that are allowed besides", at)
}

// reserved are the networks of IANA's registries of special purposes that net/netip does not know, with those that lead to
// IPv4 addresses by way of IPv6.
var reserved = func() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

// IsPublic reports whether an address is one that everybody on the Internet reaches.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
