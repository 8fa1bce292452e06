package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func (s *story) token(args []string) error {
	s.need(args, 2, "token VARIABLE NS/SA [OPTION=VALUE...]")
	token, err := s.podToken(args[1], s.options(args[2:]))
	if err == nil {
		s.Setenv(args[0], token)
	}
	return err
}

func (s *story) pod(args []string) error {
	s.need(args, 2, "pod CALLER NS/SA [OPTION=VALUE...]")
	err := s.become(args[0], args[1], s.options(args[2:]))
	if err == nil {
		s.Setenv(args[0], s.callers[args[0]].keyID)
	}
	return err
}

var inAnswer = regexp.MustCompile(`<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)</`)

// assume makes a caller of what AssumeRole answers to another one.
func (s *story) assume(args []string) error {
	s.need(args, 3, "assume CALLER AS [NAME=VALUE...]")
	values := url.Values{"RoleSessionName": {args[0]}}
	for name, value := range s.options(args[2:]) {
		values.Set(name, s.text(value))
	}
	body, err := s.send(args[1], form("sts", "AssumeRole", values))
	if err != nil {
		return err
	}
	found := map[string]string{}
	for _, part := range inAnswer.FindAllStringSubmatch(body, -1) {
		found[part[1]] = part[2]
	}
	s.callers[args[0]] = caller{keyID: found["AccessKeyId"], secret: found["SecretAccessKey"], token: found["SessionToken"]}
	s.secrets = append(s.secrets, found["SecretAccessKey"])
	return nil
}

// as makes one call:
//
//	as CALLER iam|sts ACTION [NAME=VALUE...]
//	as CALLER eks|eks-auth|lanyard|s3 METHOD PATH [-H 'NAME: VALUE']... [BODY]
//
// A value and a body may be @FILE. A success prints the answer's body; a refusal prints the code and the message.
func (s *story) as(args []string) error {
	s.need(args, 3, "as CALLER SERVICE ACTION-OR-METHOD ...")
	who, service, rest := args[0], args[1], args[2:]
	var r request
	if service == "iam" || service == "sts" {
		values := url.Values{}
		for name, value := range s.options(rest[1:]) {
			values.Set(name, s.text(value))
		}
		r = form(service, rest[0], values)
	} else {
		s.need(rest, 2, "as CALLER SERVICE METHOD PATH [-H 'NAME: VALUE']... [BODY]")
		r = request{service: service, method: rest[0], path: rest[1], header: http.Header{}}
		for rest = rest[2:]; len(rest) > 1 && rest[0] == "-H"; rest = rest[2:] {
			name, value, _ := strings.Cut(rest[1], ": ")
			r.header.Set(name, value)
		}
		if len(rest) > 0 {
			r.body = s.text(rest[0])
		}
	}
	body, err := s.send(who, r)
	s.print(body)
	s.keepActivation(body)
	return err
}

var activationCode = regexp.MustCompile(`"activationCode":"([^"]+)"`)

// keepActivation remembers an activation code that an answer showed, so that a scan looks for it.
func (s *story) keepActivation(body string) {
	if found := activationCode.FindStringSubmatch(body); found != nil {
		s.secrets = append(s.secrets, found[1])
	}
}

func (s *story) renewed(args []string) error {
	s.need(args, 2, "renewed CALLER ANOTHER")
	one, another := s.callers[args[0]].keyID, s.callers[args[1]].keyID
	if one == "" || another == "" {
		s.Fatalf("%s and %s are to be callers with sessions", args[0], args[1])
	}
	if one == another {
		return fmt.Errorf("both have session %s", one)
	}
	return nil
}

func (s *story) account(args []string) error {
	s.need(args, 2, "account NAME ID")
	body, err := json.Marshal(map[string]string{"name": args[0], "accountId": args[1]})
	if err != nil {
		return err
	}
	text, err := s.send("administrator", request{service: "lanyard", method: http.MethodPost, path: "/lanyard/v1/accounts", body: string(body)})
	if err != nil {
		return err
	}
	var made struct{ AccessKeyID, SecretAccessKey string }
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		return err
	}
	s.callers[args[0]] = caller{keyID: made.AccessKeyID, secret: made.SecretAccessKey}
	s.secrets = append(s.secrets, made.SecretAccessKey)
	return nil
}

func (s *story) role(args []string) error {
	s.need(args, 1, "role NAME [POLICY-FILE]")
	policy := ""
	if len(args) > 1 {
		policy = s.ReadFile(args[1])
	}
	return s.makeRole(args[0], policy)
}

func (s *story) associate(args []string) error {
	s.need(args, 2, "associate NS/SA ROLE [CLUSTER]")
	id, err := s.makeAssociation(append(args, "dev")[2], args[0], args[1])
	if err == nil {
		s.Setenv("ASSOCIATION", id)
	}
	return err
}

// The places where a secret may be, as a folder's files write them.
var kept = regexp.MustCompile(`"secretAccessKey": "([^"]+)"|AWS_SECRET_ACCESS_KEY=(\S+)|-----BEGIN PRIVATE KEY-----(?:\\n|\n)([A-Za-z0-9+/]{40,})|^[0-9a-f]{16} ([A-Za-z0-9+/=]{40,})`)

func (s *story) scan(args []string) error {
	s.need(args, 2, "scan DIR FILE...")
	dir, allowed := s.MkAbs(args[0]), args[1:]
	secrets := slices.Clone(s.secrets)
	for _, name := range allowed {
		found := kept.FindStringSubmatch(s.ReadFile(filepath.Join(dir, name)))
		if found == nil {
			continue
		}
		secrets = append(secrets, strings.Join(found[1:], ""))
	}
	if len(secrets) < len(s.secrets)+2 {
		s.Fatalf("scan: found %d secrets in %v", len(secrets)-len(s.secrets), allowed)
	}
	files := 0
	var wrong []error
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			wrong = append(wrong, fmt.Errorf("%s has mode %v", path, info.Mode()))
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || slices.Contains(allowed, name) {
			return err
		}
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString([]byte(secret)))) {
				wrong = append(wrong, fmt.Errorf("%s holds a secret: %.6s…", path, secret))
			}
		}
		return nil
	})
	s.print(fmt.Sprintf("looked for %d secrets in %d files\n", len(secrets), files))
	return errors.Join(append(wrong, err)...)
}

// administrator takes the key and the CA that `lanyard init` wrote.
func (s *story) administrator(args []string) error {
	s.need(args, 2, "administrator ENV-FILE CA-FILE")
	found := regexp.MustCompile(`AWS_ACCESS_KEY_ID=(\S+)\nexport AWS_SECRET_ACCESS_KEY=(\S+)`).FindStringSubmatch(s.ReadFile(args[0]))
	if found == nil {
		s.Fatalf("%s holds no key", args[0])
	}
	s.endpoint = "https://" + s.Getenv("API")
	s.callers["administrator"] = caller{keyID: found[1], secret: found[2]}
	s.wire = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: s.trusting(args[1])}}
	return nil
}

func (s *story) trusting(file string) *tls.Config {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.ReadFile(file))) {
		s.Fatalf("%s holds no certificate", file)
	}
	return &tls.Config{RootCAs: pool}
}

func (s *story) certificate(args []string) error {
	s.need(args, 2, "certificate ADDRESS CA-FILE")
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", args[0], s.trusting(args[1]))
	if err != nil {
		return err
	}
	s.print(fmt.Sprintf("serial %v\n", conn.ConnectionState().PeerCertificates[0].SerialNumber))
	return conn.Close()
}

// loopbackAddress changes nothing but a namespace of its own, where loopback is the only interface.
func (s *story) loopbackAddress(args []string) error {
	s.need(args, 1, "loopback-address IP/BITS")
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	if len(interfaces) != 1 {
		s.Fatalf("this story needs a network namespace with loopback alone: go test -exec test/netns ./cmd/lanyard")
	}
	if out, err := exec.Command("ip", "address", "replace", args[0], "dev", interfaces[0].Name).CombinedOutput(); err != nil {
		s.Fatalf("this story needs another address on loopback: %v: %s", err, out)
	}
	return nil
}
