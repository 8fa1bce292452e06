package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
)

const (
	account     = "111122223333"
	region      = "us-east-1"
	clusterName = "bench"
	namespace   = "pay"
	roleARN     = "arn:aws:iam::" + account + ":role/pay-api"
	podTrust    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`

	agents    = 8 // sessions of the node's agent, as a server bounds what one principal may ask
	tokenLife = time.Hour
)

// signed makes a request of the pair's holder, as it goes over the wire.
func (l *lanyard) signed(k keyPair, service, method, path, kind string, body []byte) ([]byte, error) {
	r, err := http.NewRequest(method, "http://"+l.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", kind)
	if k.id != "" {
		sum := sha256.Sum256(body)
		sigv4.Sign(r, k.id, k.secret, k.token, region, service, hex.EncodeToString(sum[:]), time.Now())
	}
	return wire(r)
}

// call returns a caller of the public wire, as package dev wants it.
func (l *lanyard) call(k keyPair) dev.Call {
	return func(ctx context.Context, service, method, path string, in, out any) error {
		kind, body := "application/json", []byte(nil)
		if form, ok := in.(url.Values); ok {
			kind, body = "application/x-www-form-urlencoded", []byte(form.Encode())
		} else if in != nil {
			var err error
			if body, err = json.Marshal(in); err != nil {
				return err
			}
		}
		request, err := l.signed(k, service, method, path, kind, body)
		if err != nil {
			return err
		}
		text, err := ask(ctx, l.address, request)
		if err != nil || out == nil {
			return err
		}
		return json.Unmarshal(text, out)
	}
}

// cluster is a practice cluster of a running server: its tokens are what a kubelet projects.
type cluster struct {
	*lanyard
	practice *dev.Practice
	nodes    []keyPair // sessions of its agent
}

// join makes the cluster, the role of its pods, and the agent's sessions.
func (l *lanyard) join(ctx context.Context) (*cluster, error) {
	c := &cluster{lanyard: l}
	var err error
	if c.practice, err = dev.NewPractice(clusterName, account); err != nil {
		return nil, err
	}
	administrator := l.call(l.key)
	as := func(id, secret string) dev.Call { return l.call(keyPair{id: id, secret: secret}) }
	if err := dev.JoinPractice(ctx, administrator, as, c.practice); err != nil {
		return nil, err
	}
	form := url.Values{
		"Version": {"2010-05-08"}, "Action": {"CreateRole"}, "RoleName": {"pay-api"}, "AssumeRolePolicyDocument": {podTrust},
	}
	if err := administrator(ctx, "iam", http.MethodPost, "/", form, nil); err != nil {
		return nil, fmt.Errorf("making the role: %w", err)
	}
	for i := range agents {
		session, err := c.agentSession(ctx, fmt.Sprintf("node-%d", i))
		if err != nil {
			return nil, fmt.Errorf("the agent's identity: %w", err)
		}
		c.nodes = append(c.nodes, session)
	}
	return c, c.associate(ctx, "api")
}

func (c *cluster) associate(ctx context.Context, serviceAccount string) error {
	return c.call(c.key)(ctx, "eks", http.MethodPost, "/clusters/"+clusterName+"/pod-identity-associations", map[string]string{
		"namespace": namespace, "serviceAccount": serviceAccount, "roleArn": roleARN,
	}, nil)
}

// agentToken is what the agent of the cluster's node shows for itself.
func (c *cluster) agentToken() (string, error) {
	return c.practice.Token(dev.Pod{Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent", Name: "agent"}, registry.AgentAudience, tokenLife)
}

func (c *cluster) agentSession(ctx context.Context, name string) (k keyPair, err error) {
	token, err := c.agentToken()
	if err != nil {
		return k, err
	}
	form := url.Values{
		"Version": {"2011-06-15"}, "Action": {"AssumeRoleWithWebIdentity"},
		"RoleArn": {c.practice.AgentRole}, "RoleSessionName": {name}, "WebIdentityToken": {token},
	}
	request, err := c.signed(keyPair{}, "sts", http.MethodPost, "/", "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return k, err
	}
	text, err := ask(ctx, c.address, request)
	if err != nil {
		return k, err
	}
	var answer struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string } `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	// Go spells the member as the rest of the code, STS as ever.
	text = []byte(strings.ReplaceAll(string(text), "AccessKeyId>", "AccessKeyID>"))
	if err := xml.Unmarshal(text, &answer); err != nil {
		return k, err
	}
	return keyPair{answer.Credentials.AccessKeyID, answer.Credentials.SecretAccessKey, answer.Credentials.SessionToken}, nil
}

// podTokens signs a token each for n pods of a service account, with all processors: an RSA signature takes 0.7 ms.
func (c *cluster) podTokens(serviceAccount string, n int) ([]string, error) {
	tokens, failed := make([]string, n), make([]error, n)
	var signers sync.WaitGroup
	workers := runtime.NumCPU()
	for w := range workers {
		signers.Go(func() {
			for i := w; i < n; i += workers {
				pod := dev.Pod{Namespace: namespace, ServiceAccount: serviceAccount, Name: fmt.Sprintf("%s-5d9c7b6f4-%06d", serviceAccount, i)}
				tokens[i], failed[i] = c.practice.Token(pod, registry.PodAudience, tokenLife)
			}
		})
	}
	signers.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// exchange makes the requests that show these tokens, signed by the node's agent.
func (c *cluster) exchange(tokens []string) ([][]byte, error) {
	requests := make([][]byte, len(tokens))
	for i, token := range tokens {
		body, err := json.Marshal(map[string]string{"token": token})
		if err != nil {
			return nil, err
		}
		path := "/clusters/" + clusterName + "/assume-role-for-pod-identity"
		if requests[i], err = c.signed(c.nodes[i%agents], "eks-auth", http.MethodPost, path, "application/json", body); err != nil {
			return nil, err
		}
	}
	return requests, nil
}
