package clients

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The issuers are not on 127.0.0.0/8, and on port 443, which is the only one that an issuer's URL may mean. The server may ask
// the first of them, as --oidc-allow-private says, and not the second.
const (
	allowedIssuer = "10.99.0.5"
	privateIssuer = "10.99.0.6"
)

// TestOutsideIssuer is IRSA with an issuer that is no cluster of Lanyard's: the server fetches its keys over TLS, and the CLI
// and boto3 come with its tokens by their default chains (docs/adr/0015-keys-of-oidc-issuers.md).
func TestOutsideIssuer(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread() // the server ends with the thread
	for _, address := range []string{serverAddress, allowedIssuer, privateIssuer} {
		if out, err := exec.Command("ip", "address", "replace", address+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("loopback does not take the address %s: %v: %s", address, err, bytes.TrimSpace(out))
		}
	}
	certificate, authority := issuersCertificate(t)
	outside, private := outsideIssuer(t, allowedIssuer, certificate), outsideIssuer(t, privateIssuer, certificate)

	dir := filepath.Join(t.TempDir(), "server")
	output(t, here.asNobody, "lanyard", "init", "--dir", dir, "--address", serverAddress)
	administrator := cli{t: t}
	server, at := launch(t, "serving", "env", "SSL_CERT_FILE="+administrator.file("authority.pem", authority),
		"lanyard", "server", "--dir", dir, "--listen", serverAddress+":0", "--oidc-allow-private", allowedIssuer+"/32")
	reach := []string{
		"AWS_ENDPOINT_URL=https://" + at, "AWS_ENDPOINT_URL_STS=https://" + at, "AWS_CA_BUNDLE=" + filepath.Join(dir, "ca.pem"),
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
	}
	administrator.as = caller(here.asNobody).with(reach...).with(administratorOf(t, dir)...)
	account, _, _ := strings.Cut(strings.TrimPrefix(administrator.ok(who), "arn:aws:iam::"), ":")
	for _, issuer := range []issuer{outside, private} {
		administrator.ok("iam create-open-id-connect-provider --client-id-list sts.amazonaws.com --url " + issuer.name)
		bare := strings.TrimPrefix(issuer.name, "https://")
		_, folder, _ := strings.Cut(bare, "/")
		administrator.ok("iam create-role --role-name "+folder+"-"+strings.ReplaceAll(bare[:strings.Index(bare, "/")], ".", "-")+" --assume-role-policy-document",
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+account+`:oidc-provider/`+bare+`"},`+
				`"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+bare+`:aud":"sts.amazonaws.com","`+bare+`:sub":"repo:acme/shop"}}}}`)
	}

	// job is a client that has the two variables of IRSA and no other identity. Each has a home of its own, in which the CLI
	// keeps sessions by role and name, whatever the token.
	job := func(role, token string) cli {
		return cli{t, caller(here.asNobody).with(reach...).with("AWS_ROLE_ARN=arn:aws:iam::"+account+":role/"+role,
			"HOME="+t.TempDir(), "AWS_ROLE_SESSION_NAME=job-7", "AWS_WEB_IDENTITY_TOKEN_FILE="+administrator.file("token", token))}
	}
	const role, audience, subject = "ci-10-99-0-5", "sts.amazonaws.com", "repo:acme/shop"
	want := "arn:aws:sts::" + account + ":assumed-role/" + role + "/job-7"
	good := job(role, outside.claims(t, audience, subject, time.Hour))
	good.equal("the CLI", good.ok(who), want)
	got := output(t, good.as, "python3", "-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])")
	good.equal("boto3", strings.TrimSpace(got), want)

	forger := outsideKey(t, outside.name)
	forger.id = outside.id
	for _, tt := range []struct{ name, role, token, code string }{
		{"another audience", role, outside.claims(t, "somebody.else", subject, time.Hour), "InvalidIdentityToken"},
		{"another subject", role, outside.claims(t, audience, "repo:acme/blog", time.Hour), "AccessDenied"},
		{"a token that is over", role, outside.claims(t, audience, subject, -time.Hour), "ExpiredTokenException"},
		{"another's signature", role, forger.claims(t, audience, subject, time.Hour), "InvalidIdentityToken"},
		{"another issuer's token", role, private.claims(t, audience, subject, time.Hour), "AccessDenied"},
		{"an issuer that the server may not ask", "ci-10-99-0-6", private.claims(t, audience, subject, time.Hour), "IDPCommunicationError"},
		{"an issuer that nobody has named", role, outsideKey(t, "https://10.99.0.7/ci").claims(t, audience, subject, time.Hour), "AccessDenied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			denied := job(tt.role, tt.token)
			denied.t = t
			denied.refused(tt.code, "", who)
		})
	}
	server.terminate(t)
}

// administratorOf reads the key that `lanyard init` wrote.
func administratorOf(t *testing.T, dir string) (variables []string) {
	t.Helper()
	text := output(t, here.asNobody, "bash", "-euc", `. "$0"; env`, filepath.Join(dir, "administrator.env"))
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(line, "AWS_SECRET_ACCESS_KEY=") {
			variables = append(variables, strings.TrimSpace(line))
		}
	}
	return variables
}

// outsideKey is an issuer that answers nobody.
func outsideKey(t *testing.T, name string) issuer {
	t.Helper()
	i := newIssuer(t)
	i.name = name
	return i
}

// outsideIssuer is an issuer as a CI service is one: it tells its keys to whoever asks.
func outsideIssuer(t *testing.T, address string, certificate tls.Certificate) issuer {
	t.Helper()
	i := outsideKey(t, "https://"+address+"/ci")
	answers := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v) // who does not read it, fails
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/ci/.well-known/openid-configuration", answers(object{
		"issuer": i.name, "jwks_uri": i.name + "/keys", "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}))
	mux.Handle("/ci/keys", answers(i.jwks()))
	listener, err := net.Listen("tcp", address+":443")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the issuer ended: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = server.Close() // the listener's error; serving has ended all the same
		<-ended
	})
	return i
}

// claims are those of a CI job's token.
func (i issuer) claims(t *testing.T, audience, subject string, life time.Duration) string {
	t.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": i.name, "aud": audience, "sub": subject, "iat": now.Add(min(life, 0) - time.Minute).Unix(), "exp": now.Add(life).Unix(),
	})
	token.Header["kid"] = i.id
	signed, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// issuersCertificate is good for both issuers, and is its own authority.
func issuersCertificate(t *testing.T) (certificate tls.Certificate, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuers"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(allowedIssuer), net.ParseIP(privateIssuer)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
