package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/connector"
	"github.com/openlanyard/lanyard/inject"
)

const webhookRounds, reviews = 9, 3000

// webhook measures the connector's answer to the API server for one pod, beside a server that decodes what decides with
// encoding/json and says yes. Both are the connector's own HTTPS server, on connections that are kept, as an API server's are.
func (b *bench) webhook(ctx context.Context) (err error) {
	progress("the webhook: %d rounds of %d pods", webhookRounds, reviews)
	hook, err := b.start(ctx, "webhook")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hook.stop()) }()
	decode, err := b.start(ctx, "decode")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, decode.stop()) }()
	body := reviewOf()
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", connector.MutatePath, len(body), body)
	same := func(int) ([][]byte, error) {
		all := make([][]byte, reviews)
		for i := range all {
			all[i] = request
		}
		return all, nil
	}
	ours := &side{pid: hook.cmd.Process.Pid, address: hook.Address, requests: same}
	if ours.secure, err = hook.secure(); err != nil {
		return err
	}
	floor := &side{pid: decode.cmd.Process.Pid, address: decode.Address, requests: same}
	if floor.secure, err = decode.secure(); err != nil {
		return err
	}
	if err := b.turns(ctx, webhookRounds, ours, floor); err != nil {
		return err
	}
	b.rows = append(b.rows, atMost(90, row{
		what: fmt.Sprintf("webhook: a pod of %.1f KB patched, over TLS, CPU", float64(len(body))/1e3), ours: ours.cost(), floor: floor.cost(),
		than: "a server that decodes names of labels, volumes, variables and mounts, and says yes", unit: "µs", how: times(webhookRounds, reviews),
	}))
	return nil
}

// withTLS is the connector's server with a certificate of the kind that the connector makes.
func withTLS(handler http.Handler) (*http.Server, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		return nil, "", err
	}
	pair := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	server := connector.NewServer(handler, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil }, nil)
	return server, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// webhookServer has one association, that of the pod in reviewOf, and injects all that there is.
func webhookServer() (http.Handler, error) {
	associations := connector.NewAssociations(func(context.Context) (connector.Position, error) {
		return connector.Position{}, errors.New("the bench has no server to ask")
	}, nil)
	err := associations.Apply(&connector.Line{
		Epoch: "bench", Reset: true,
		Settings: &connector.Settings{
			Region: region, S3Endpoint: "https://10.96.0.7", STSEndpoint: "https://10.96.0.8",
			CABundle: "-----BEGIN CERTIFICATE-----\n" + strings.Repeat(strings.Repeat("x", 64)+"\n", 12) + "-----END CERTIFICATE-----\n",
		},
		Associations: []connector.Association{{ID: "a-1", Identity: connector.Identity{Namespace: "pay", ServiceAccount: "api"}}},
	})
	if err != nil {
		return nil, err
	}
	w, err := connector.NewWebhook(connector.WebhookConfig{Associations: associations})
	if err != nil {
		return nil, err
	}
	patched, err := inject.New(inject.Settings{}).Patch(podOf(), nil)
	if err != nil || patched == nil {
		return nil, fmt.Errorf("a pod that should be patched is not: %w", err)
	}
	return w.Handler(), nil
}

// decoder is the floor.
func decoder() http.Handler {
	type named []struct{ Name string }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID, Namespace string
				Object         struct {
					Metadata struct{ Labels, Annotations map[string]string }
					Spec     struct {
						ServiceAccountName string
						Volumes            named
						Containers         []struct {
							Name              string
							Env, VolumeMounts named
						}
					}
				}
			}
		}
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(text, &review)
		}
		if err != nil || review.Request.Object.Spec.ServiceAccountName != "api" {
			panic(http.ErrAbortHandler)
		}
		reply(w, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"`+review.Request.UID+`","allowed":true}}`))
	})
}

func reviewOf() string {
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1b671a64-40d5-491e-99b0-da01ff1f3341","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"pay","operation":"CREATE",` +
		`"userInfo":{"username":"system:serviceaccount:kube-system:replicaset-controller","groups":["system:serviceaccounts","system:authenticated"]},` +
		`"object":` + podOf() + `,"oldObject":null,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}`
}

// podOf is as a ReplicaSet makes them: two containers of twelve variables, probes, and managed fields.
func podOf() string {
	list := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	container := func(name string) string {
		return `{"name":"` + name + `","image":"images.example.com/team/` + name + `:v1.2.3","args":["--listen=:8080","--log=json"],` +
			`"env":[` + list(12, `{"name":"SETTING","value":"some value"}`) + `],` +
			`"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},` +
			`"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10},` +
			`"volumeMounts":[{"name":"data","mountPath":"/data"},{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}`
	}
	return `{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"api-5d9c7b6f4-","namespace":"pay","creationTimestamp":null,"labels":{"app":"api"},` +
		`"managedFields":[{"manager":"kube-controller-manager","operation":"Update","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:containers":[` +
		list(40, `{"k:{\"name\":\"SETTING\"}":{".":{},"f:name":{},"f:value":{}}}`) + `]}}}]},` +
		`"spec":{"volumes":[{"name":"data","emptyDir":{}},{"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}]}}],` +
		`"containers":[` + container("app") + `,` + container("proxy") + `],"restartPolicy":"Always","serviceAccountName":"api"},"status":{}}`
}
