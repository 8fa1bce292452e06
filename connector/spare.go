package connector

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	core "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// ConnectorAudience is of the connector's own tokens. It never stands in for another.
	ConnectorAudience = "lanyard.dev/connector"
	// ServiceAccountName is the connector's own.
	ServiceAccountName = "lanyard-connector"
	// SpareName is the Secret, in the connector's namespace, with the connector's spare token.
	SpareName = "lanyard-connector-spare"

	spareKey   = "token"
	spareLife  = 24 * time.Hour // as long as the server keeps a key that left the list
	spareFresh = time.Hour      // how old it may become before there is another
)

// spare keeps one more token of the connector's own, for one case: the cluster's signing key is replaced while no connector
// runs. The next connector's token is signed by a key that the server has not been told of, and only a connector can tell
// it; the spare one is signed by the key before, by which the server still knows it.
type spare struct {
	kube      kubernetes.Interface
	namespace string
	made      time.Time
}

func newSpare(kube kubernetes.Interface, namespace string) *spare {
	return &spare{kube: kube, namespace: namespace}
}

// token returns what a former connector has left.
func (s *spare) token(ctx context.Context) (string, error) {
	secret, err := s.kube.CoreV1().Secrets(s.namespace).Get(ctx, SpareName, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the spare token: %w", err)
	}
	if len(secret.Data[spareKey]) == 0 {
		return "", fault.New(fault.NotFound, "secret %s has no %s", SpareName, spareKey)
	}
	return string(secret.Data[spareKey]), nil
}

// keep leaves a new one when the last is an hour old. It is called when the server has just been told the keys, so that it
// knows the one that signs. One replica does so.
func (s *spare) keep(ctx context.Context) error {
	if time.Since(s.made) < spareFresh {
		return nil
	}
	seconds := int64(spareLife / time.Second)
	request, err := s.kube.CoreV1().ServiceAccounts(s.namespace).CreateToken(ctx, ServiceAccountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{ConnectorAudience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for a spare token: %w", err)
	}
	secret := core.Secret(SpareName, s.namespace).
		WithLabels(map[string]string{"app.kubernetes.io/part-of": "lanyard"}).
		WithData(map[string][]byte{spareKey: []byte(request.Status.Token)})
	if _, err := s.kube.CoreV1().Secrets(s.namespace).Apply(ctx, secret, metav1.ApplyOptions{FieldManager: FieldManager, Force: true}); err != nil {
		return fmt.Errorf("keeping the spare token: %w", err)
	}
	s.made = time.Now()
	return nil
}
