package connector

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// SecretName holds the webhook's certificates, in the connector's namespace: the only Secret that it may read.
const SecretName = "lanyard-connector-webhook"

const (
	secretKey   = "generations.json"
	lookAgain   = time.Minute
	retryAfter  = 5 * time.Second
	swapsAtMost = 5
)

// Certificates keeps what the replicas serve. They share one Secret, and whoever comes first makes what is due.
type Certificates struct {
	Client    kubernetes.Interface
	Namespace string           // the connector's own
	Service   string           // whose name API servers ask for
	Logger    *slog.Logger     // nil: silent
	Now       func() time.Time // nil: time.Now

	held atomic.Pointer[generations]

	mu      sync.Mutex
	changed chan struct{} // closed when another bundle is held
}

// Run looks at the Secret each minute until the context ends.
func (c *Certificates) Run(ctx context.Context) error {
	for {
		wait := lookAgain
		if err := c.refresh(ctx); err != nil && ctx.Err() == nil {
			wait = retryAfter
			if c.Logger != nil {
				c.Logger.Error("the webhook's certificates could not be kept", "error", err)
			}
		}
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// Certificate is for tls.Config.GetCertificate.
func (c *Certificates) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	held := c.held.Load()
	if held == nil {
		return nil, errors.New("the webhook's certificates are not known yet")
	}
	pair, err := held.serving(c.now())
	return &pair, err
}

// Bundle is every authority to be trusted just now, as PEM, and a channel that is closed when that changes. Empty:
// nothing is known yet.
func (c *Certificates) Bundle() ([]byte, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	if held := c.held.Load(); held != nil {
		return held.bundle(), c.changed
	}
	return nil, c.changed
}

func (c *Certificates) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// names are what API servers call the Service.
func (c *Certificates) names() []string {
	return []string{c.Service + "." + c.Namespace + ".svc"}
}

// refresh reads the Secret and writes it where something is due. The other replica may do so at the same time: who
// comes second starts over with what the first wrote.
func (c *Certificates) refresh(ctx context.Context) error {
	for range swapsAtMost {
		g, err := c.swap(ctx)
		switch {
		case kubeerrors.IsConflict(err) || kubeerrors.IsAlreadyExists(err):
			continue
		case err != nil:
			return err
		}
		c.hold(g)
		return nil
	}
	return fmt.Errorf("secret %s changed %d times while it was written", SecretName, swapsAtMost)
}

func (c *Certificates) swap(ctx context.Context) (*generations, error) {
	secrets := c.Client.CoreV1().Secrets(c.Namespace)
	secret, err := secrets.Get(ctx, SecretName, metav1.GetOptions{})
	missing := kubeerrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("reading secret %s: %w", SecretName, err)
	}
	var g generations
	if !missing {
		if g, err = decodeGenerations(secret.Data[secretKey]); err != nil {
			return nil, err
		}
	}
	// What somebody deleted is still served and trusted: put back, it interrupts nothing.
	lost := len(g.Generations) == 0 && c.held.Load() != nil
	if lost {
		g = *c.held.Load()
	}
	g, changed, err := g.rotate(c.now(), c.names())
	if err != nil || !changed && !lost {
		return &g, err
	}
	text, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	if missing {
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: SecretName, Labels: map[string]string{"app.kubernetes.io/part-of": "lanyard"}},
			Data:       map[string][]byte{secretKey: text},
		}, metav1.CreateOptions{FieldManager: FieldManager})
		return &g, err
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[secretKey] = text
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: FieldManager}) // its resourceVersion is compared
	return &g, err
}

func (c *Certificates) hold(g *generations) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.held.Swap(g)
	if c.changed != nil && (before == nil || !bytes.Equal(before.bundle(), g.bundle())) {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// pause waits; false: the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
