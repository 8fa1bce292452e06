package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Addresses of the chart's Services, of the range in test/kube/settings.
const (
	serverIP  = "10.96.77.6"
	gatewayIP = "10.96.77.7"
)

// TestHelm has the chart run all of Lanyard in the cluster, by the commands of docs/CLUSTERS.md: a server with its state in a
// volume, a gateway before an object store, and the connector of this very cluster. A release that is removed and installed
// again goes on with the state that its volume has.
func TestHelm(t *testing.T) {
	if shared != nil {
		shared.t = t
		shared.end()
	}
	clear(t)
	h := &release{namespace: namespace{t, "lanyard-system"}, folder: t.TempDir()}
	t.Cleanup(h.remove)
	h.volume()
	giveImages(t)
	image(t, "lanyard")

	values := "image.repository=lanyard.local,image.tag=test,image.pullPolicy=Never,server.service.clusterIP=" + serverIP
	h.helm("install", "--create-namespace", "--set", values)
	l := h.administrator()
	before := l.aws("sts get-caller-identity --query Arn --output text")
	if got := l.aws("eks list-clusters --query clusters --output text"); got != "" {
		t.Errorf("a new server has the clusters %q, want none", got)
	}

	// The object store and the gateway have a certificate of the user's own.
	cert, key := certify(t, h.folder, serverIPv4, net.ParseIP(gatewayIP))
	upstream, objects := filepath.Join(h.folder, "upstream.env"), filepath.Join(h.folder, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		t.Fatal(err)
	}
	store := serving(t, []string{filepath.Join(cluster.root, ".tools", "kube", "objects"), objects, cert, key, upstream, serverIPv4.String() + ":0"})
	t.Cleanup(func() { store.stop(t) })
	h.kubectl("create", "secret", "tls", "gateway-tls", "--cert", cert, "--key", key)
	h.kubectl("create", "secret", "generic", "store-key", "--from-file=key.env="+upstream)
	h.kubectl("create", "secret", "generic", "store-ca", "--from-file=ca.pem="+cert)
	h.kubectl("create", "secret", "generic", "gateway-key", "--from-file=key.env="+filepath.Join(l.dir, "administrator.env"))
	h.helm("upgrade", "--reuse-values", "--set-string", "gateway.account="+l.account, "--set", strings.Join([]string{
		"gateway.enabled=true", "gateway.server=" + l.endpoint /* there is no DNS */, "gateway.keySecret=gateway-key", "gateway.tlsSecret=gateway-tls",
		"gateway.upstream.url=https://" + store.address, "gateway.upstream.keySecret=store-key", "gateway.upstream.caSecret=store-ca",
		"gateway.service.clusterIP=" + gatewayIP,
	}, ","))

	// The cluster joins by hand.
	registered := l.aws("eks register-cluster --output json --name "+clusterName+" --connector-config", "provider=OTHER,roleArn=arn:aws:iam::"+l.account+":role/any")
	var pair struct {
		Cluster struct {
			ID              string
			ConnectorConfig struct{ ActivationID, ActivationCode string }
		}
	}
	if err := json.Unmarshal([]byte(registered), &pair); err != nil {
		t.Fatalf("%v: %s", err, registered)
	}
	h.kubectl("create", "secret", "generic", "lanyard-activation",
		"--from-literal=id="+pair.Cluster.ConnectorConfig.ActivationID, "--from-literal=code="+pair.Cluster.ConnectorConfig.ActivationCode)
	h.helm("upgrade", "--reuse-values", "--set", strings.Join([]string{
		"connector.enabled=true", "connector.cluster=" + clusterName, "connector.server=" + l.endpoint, "connector.activationSecret=lanyard-activation",
		"connector.roleArn=arn:aws:iam::" + l.account + ":role/lanyard-connector-" + pair.Cluster.ID,
	}, ","), "--set-file", "connector.ca="+l.ca)
	eventually(t, "the cluster is ACTIVE", func() (bool, string) {
		status := l.aws("eks describe-cluster --query cluster.status --output text --name", clusterName)
		return status == "ACTIVE", status
	})
	bundle := filepath.Join(h.folder, "bundle.pem")
	both, err := os.ReadFile(cert)
	if err == nil {
		err = os.WriteFile(bundle, append(both, l.caText()...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.as("lanyard", "cluster", "endpoints", clusterName, "--s3-endpoint", "https://"+gatewayIP, "--endpoint-ca", bundle)

	// A pod has its credentials, and lists the buckets by them.
	w := &world{lanyard: l, s3: "https://" + gatewayIP}
	l.aws("eks create-addon --addon-name "+agentName+" --cluster-name", clusterName)
	w.active()
	ns := newNamespace(t)
	w.associate(ns, "shop", w.role(ns.name, "s3:*", "*"))
	ns.apply(once("shop", "node2", "shop", image(t, "demo"), "sh", "-euc",
		fmt.Sprintf("%q", "aws s3 mb s3://"+ns.name+"; aws s3 ls; aws sts get-caller-identity --query Arn --output text")))
	got := ns.finished("shop")
	if want := "arn:aws:sts::" + l.account + ":assumed-role/" + ns.name + "/"; !strings.Contains(got, " "+ns.name+"\n") || !strings.Contains(got, want) {
		t.Errorf("the pod prints %q, want its bucket and %s…", got, want)
	}

	// The volume outlives the release.
	h.helm("uninstall")
	h.helm("install", "--set", values)
	again := h.administrator()
	if after := again.aws("sts get-caller-identity --query Arn --output text"); after != before {
		t.Errorf("installed again the administrator is %s, want %s", after, before)
	}
	if got := again.aws("eks list-pod-identity-associations --query associations[].serviceAccount --output text --cluster-name", clusterName); got != "shop" {
		t.Errorf("installed again it has the associations of %q, want shop", got)
	}
}

// release is the chart's, with what a user has beside it.
type release struct {
	namespace
	folder string
}

// helm runs a verb upon the release, and waits until what it installs is ready.
func (h *release) helm(verb string, more ...string) {
	h.t.Helper()
	argv := []string{"helm", verb, "lanyard", "--namespace", h.name, "--wait", "--timeout", "2m"}
	if verb != "uninstall" {
		argv = append(argv[:3:3], append([]string{filepath.Join(cluster.root, "deploy", "helm", "lanyard")}, argv[3:]...)...)
	}
	got := run(h.t, environment(), "", append(argv, more...)...)
	if got.status != 0 {
		h.tell()
		h.t.Fatalf("helm %s %q: status %d\n%s%s", verb, more, got.status, got.out, got.errors)
	}
}

// volume is one of the first node's, for a cluster that makes none by itself.
func (h *release) volume() {
	h.t.Helper()
	state := filepath.Join(h.folder, "volume")
	if err := os.Mkdir(state, 0o777); err != nil {
		h.t.Fatal(err)
	}
	h.apply(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: lanyard-server}
spec:
  capacity: {storage: 8Gi}
  accessModes: [ReadWriteOnce]
  claimRef: {namespace: %s, name: lanyard-server}
  local: {path: %s}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]
`, h.name, state))
}

// administrator reads what the chart's Job has written, as its notes say.
func (h *release) administrator() *lanyard {
	h.t.Helper()
	h.wait("create", "secret/lanyard-administrator")
	var secret struct{ Data map[string][]byte }
	h.get("secret/lanyard-administrator", &secret)
	l := &lanyard{t: h.t, dir: h.folder, ca: filepath.Join(h.folder, "ca.pem")}
	env := fmt.Sprintf("export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_REGION=us-east-1\nexport AWS_DEFAULT_REGION=us-east-1\n", secret.Data["AWS_ACCESS_KEY_ID"], secret.Data["AWS_SECRET_ACCESS_KEY"])
	for file, text := range map[string][]byte{l.ca: secret.Data["ca.pem"], filepath.Join(l.dir, "administrator.env"): []byte(env)} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	l.endpoint = "https://" + serverIP + ":8443"
	l.account, _, _ = strings.Cut(strings.TrimPrefix(l.aws("sts get-caller-identity --query Arn --output text"), "arn:aws:iam::"), ":")
	return l
}

// remove leaves the cluster as it was.
func (h *release) remove() {
	run(h.t, environment(), "", "helm", "uninstall", "lanyard", "--namespace", h.name, "--ignore-not-found", "--wait", "--timeout", "2m")
	clear(h.t)
	output(h.t, "kubectl", "delete", "--ignore-not-found", "persistentvolume/lanyard-server")
}

// certify makes a certificate that is its own CA, for addresses.
func certify(t *testing.T, folder string, addresses ...net.IP) (certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "store"}, IPAddresses: addresses, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(folder, "own.pem"), filepath.Join(folder, "own.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
