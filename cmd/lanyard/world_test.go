package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
)

// world is one running `lanyard dev` as its callers see it.
type world struct {
	dir      dev.Dir
	endpoint string
	callers  map[string]caller
	secrets  []string // everything that was handed out and is to be stored nowhere
	wire     *http.Client
}

// newWorld has no proxy, and keeps no connection to a process that a test may end.
func newWorld(dir string) world {
	return world{
		dir: dev.Dir(dir), callers: map[string]caller{}, wire: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// caller is who signs: a long-term key or a session.
type caller struct{ keyID, secret, token string }

// open learns where the process is and who its administrator is.
func (w *world) open(endpoint string) error {
	who, err := w.dir.Administrator()
	if err != nil {
		return err
	}
	w.endpoint = endpoint
	w.callers["administrator"] = caller{keyID: who.AccessKeyID, secret: who.SecretAccessKey}
	return nil
}

// A request is what is sent besides the signature. The caller "unsigned" sends none.
type request struct {
	service, method, path string
	header                http.Header
	body                  string
}

// form is a call of the query protocol.
func form(service, action string, values url.Values) request {
	versions := map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}
	values.Set("Action", action)
	values.Set("Version", versions[service])
	return request{
		service: service, method: http.MethodPost, path: "/", body: values.Encode(),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

// send makes one call and returns the body of a success. Another answer is a *dev.Answer.
func (w *world) send(who string, r request) (string, error) {
	c, known := w.callers[who]
	if !known && who != "unsigned" {
		return "", fmt.Errorf("nobody is called %s here", who)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, w.endpoint+r.path, strings.NewReader(r.body))
	if err != nil {
		return "", err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if known {
		sum := sha256.Sum256([]byte(r.body))
		sigv4.Sign(req, c.keyID, c.secret, c.token, dev.Region, r.service, hex.EncodeToString(sum[:]), time.Now())
	}
	return w.exchange(req)
}

func (w *world) exchange(req *http.Request) (string, error) {
	response, err := w.wire.Do(req)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode/100 != 2 {
		return "", answer(response.StatusCode, body)
	}
	return string(body), nil
}

// podToken makes the token of a pod. Options: key, the practice cluster that signs it; name, of the pod; node, another one's
// uid; audience; life, how long from now; token, taken as it is.
func (w *world) podToken(serviceAccount string, options map[string]string) (string, error) {
	if raw, ok := options["token"]; ok {
		return raw, nil
	}
	namespace, name, _ := strings.Cut(serviceAccount, "/")
	cluster, err := w.dir.Practice(firstOf(options["key"], options["cluster"], dev.First))
	if err != nil {
		return "", err
	}
	if uid := options["node"]; uid != "" {
		cluster.Node = podtoken.Ref{Name: "another", UID: uid}
	}
	life, err := time.ParseDuration(firstOf(options["life"], "10m"))
	if err != nil {
		return "", err
	}
	pod := dev.Pod{Namespace: namespace, ServiceAccount: name, Name: firstOf(options["name"], name+"-0")}
	token, err := cluster.Token(pod, firstOf(options["audience"], registry.PodAudience), life)
	w.secrets = append(w.secrets, token)
	return token, err
}

// become fetches credentials as a pod, from the agent of the cluster that the option names, and keeps them for the caller.
func (w *world) become(who, serviceAccount string, options map[string]string) error {
	token, err := w.podToken(serviceAccount, options)
	if err != nil {
		return err
	}
	at, err := w.dir.Addresses()
	if err != nil {
		return err
	}
	uri := at.Agent + "/v1/credentials"
	if name := options["cluster"]; name != "" && name != dev.First {
		uri = at.Agent + "/" + name + "/v1/credentials"
	}
	var body string
	late := eventually(func() bool {
		body, err = w.fetch(uri, token)
		var refused *dev.Answer
		return !errors.As(err, &refused) || refused.Status < 500 // every SDK asks again then
	}, "the agent refuses for now")
	if err := errors.Join(err, late); err != nil {
		return err
	}
	var got struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.NewDecoder(bytes.NewBufferString(body)).Decode(&got); err != nil {
		return fmt.Errorf("the agent's answer %q: %w", body, err)
	}
	if got.AccessKeyID == "" || got.SecretAccessKey == "" || got.Token == "" || time.Until(got.Expiration) <= 0 {
		return fmt.Errorf("the agent's answer is not complete: it expires %v and has the members of %d bytes", got.Expiration, len(body))
	}
	w.callers[who] = caller{got.AccessKeyID, got.SecretAccessKey, got.Token}
	w.secrets = append(w.secrets, got.SecretAccessKey, got.Token)
	return nil
}

func (w *world) fetch(uri, token string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", token)
	return w.exchange(req)
}

const trustsPods = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`

// makeRole makes a role for pods, with a policy unless it is empty.
func (w *world) makeRole(name, policy string) error {
	_, err := w.send("administrator", form("iam", "CreateRole", url.Values{"RoleName": {name}, "AssumeRolePolicyDocument": {trustsPods}}))
	if err != nil || policy == "" {
		return err
	}
	return w.putPolicy(name, policy)
}

func (w *world) putPolicy(role, policy string) error {
	_, err := w.send("administrator", form("iam", "PutRolePolicy", url.Values{"RoleName": {role}, "PolicyName": {"it"}, "PolicyDocument": {policy}}))
	return err
}

// makeAssociation returns the association's id.
func (w *world) makeAssociation(cluster, serviceAccount, role string) (string, error) {
	namespace, name, _ := strings.Cut(serviceAccount, "/")
	body, err := json.Marshal(map[string]string{
		"namespace": namespace, "serviceAccount": name, "roleArn": "arn:aws:iam::" + dev.Account + ":role/" + role,
	})
	if err != nil {
		return "", err
	}
	text, err := w.send("administrator", request{
		service: "eks", method: http.MethodPost, path: "/clusters/" + cluster + "/pod-identity-associations", body: string(body),
	})
	if err != nil {
		return "", err
	}
	var made struct {
		Association struct{ AssociationID string }
	}
	return made.Association.AssociationID, json.Unmarshal([]byte(text), &made)
}

// kernelAddress reads an address as /proc/net/tcp writes it: words of 32 bits in the machine's order, in hex.
func kernelAddress(text string) (string, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		return "", err
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	address, ok := netip.AddrFromSlice(raw)
	if !ok {
		return "", fmt.Errorf("address %q of the kernel", text)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	return net.JoinHostPort(address.Unmap().String(), strconv.FormatUint(n, 10)), err
}
