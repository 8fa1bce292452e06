package dev

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
)

// Practice is a cluster that exists as a signing key only: it issues service-account tokens of the Kubernetes form, which
// differ from a real cluster's in nothing but who holds the key. Its one node is where its agent and its pods are.
type Practice struct {
	Name      string // the cluster's name
	Account   string
	Issuer    string
	Node      podtoken.Ref
	AgentRole string // the ARN of the role that the cluster's agent has; empty until the cluster is registered

	key *rsa.PrivateKey
	id  string // the key id
}

// Issuer is the issuer of every practice cluster, as it is of most real ones: nothing may depend on issuers differing.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// NewPractice makes a practice cluster with a random key and node. It is not kept before PutPractice.
func NewPractice(name, account string) (*Practice, error) {
	if !arn.IsClusterName(name) {
		return nil, fault.New(fault.Invalid, "cluster name %q: 1 to 100 characters that match ^[0-9A-Za-z][A-Za-z0-9\\-_]* are accepted", name)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return newPractice(Practice{
		Name: name, Account: account, Issuer: Issuer,
		Node: podtoken.Ref{Name: "practice-" + strings.ToLower(rand.Text()[:5]), UID: uuid.NewString()},
	}, key)
}

// newPractice derives the key id as Kubernetes does: from the public key.
func newPractice(p Practice, key *rsa.PrivateKey) (*Practice, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	p.key, p.id = key, base64.RawURLEncoding.EncodeToString(sum[:])
	return &p, nil
}

// JWKS returns the cluster's public keys as its API server would list them.
func (p *Practice) JWKS() (json.RawMessage, error) {
	return podtoken.MarshalKeys([]podtoken.Key{{ID: p.id, Algorithm: "RS256", Public: &p.key.PublicKey}})
}

// Pod is who a token is for.
type Pod struct {
	Namespace, ServiceAccount string
	Name                      string
	UID                       string // empty: one that is made from the name, so that the same pod keeps it
}

// Token issues a token for a pod on the cluster's node, of the form that the kubelet projects into it.
func (p *Practice) Token(pod Pod, audience string, lifetime time.Duration) (string, error) {
	if pod.UID == "" {
		pod.UID = uuid.NewSHA1(uuid.NameSpaceURL, []byte(p.Node.UID+"/"+pod.Namespace+"/"+pod.Name)).String()
	}
	now := time.Now()
	serviceAccount := uuid.NewSHA1(uuid.NameSpaceURL, []byte(p.Node.UID+"/"+pod.Namespace+"/"+pod.ServiceAccount)).String()
	claims := jwt.MapClaims{
		"iss": p.Issuer, "aud": []string{audience}, "sub": "system:serviceaccount:" + pod.Namespace + ":" + pod.ServiceAccount,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": uuid.NewString(),
		"kubernetes.io": map[string]any{
			"namespace":      pod.Namespace,
			"serviceaccount": map[string]string{"name": pod.ServiceAccount, "uid": serviceAccount},
			"pod":            map[string]string{"name": pod.Name, "uid": pod.UID},
			"node":           map[string]string{"name": p.Node.Name, "uid": p.Node.UID},
		},
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = p.id
	delete(token.Header, "typ") // as Kubernetes' tokens have none
	return token.SignedString(p.key)
}

// practiceFile is how a practice cluster is kept.
type practiceFile struct {
	Name      string `json:"name"`
	Account   string `json:"account"`
	Issuer    string `json:"issuer"`
	NodeName  string `json:"nodeName"`
	NodeUID   string `json:"nodeUid"`
	AgentRole string `json:"agentRoleArn,omitempty"`
	Key       string `json:"key"` // PEM, PKCS #8
}

func (d Dir) practicePath(name string) string { return d.path(clustersFolder, name+".json") }

// PutPractice keeps a practice cluster. The running process serves it from then on.
func (d Dir) PutPractice(p *Practice) error {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	return d.write(filepath.Join(clustersFolder, p.Name+".json"), practiceFile{
		p.Name, p.Account, p.Issuer, p.Node.Name, p.Node.UID, p.AgentRole,
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
}

// Practice returns the practice cluster with the name.
func (d Dir) Practice(name string) (*Practice, error) {
	if !arn.IsClusterName(name) {
		return nil, fault.New(fault.NotFound, "%q is not the name of a practice cluster", name)
	}
	text, err := os.ReadFile(d.practicePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no practice cluster %q in %s: `lanyard cluster create --practice %s` makes one", name, d, name)
	}
	if err != nil {
		return nil, err
	}
	var f practiceFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.practicePath(name), err)
	}
	block, _ := pem.Decode([]byte(f.Key))
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM form", d.practicePath(name))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the key in %s: %w", d.practicePath(name), err)
	}
	signing, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key in %s is a %T, not an RSA key", d.practicePath(name), key)
	}
	return newPractice(Practice{
		Name: f.Name, Account: f.Account, Issuer: f.Issuer, Node: podtoken.Ref{Name: f.NodeName, UID: f.NodeUID}, AgentRole: f.AgentRole,
	}, signing)
}
