package connector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	// watchSeconds bounds one watch: then all is applied again, whatever the watch has missed.
	watchSeconds int64 = 300
	// applyEvery bounds a quarrel with another program that keeps the same fields.
	applyEvery = time.Second
)

// A Registrar keeps the webhook registered. Replicas that hold different bundles would undo each other's work, so only
// the leader runs one.
type Registrar struct {
	Client       kubernetes.Interface
	Certificates *Certificates
	Fail         bool         // see Registration
	Logger       *slog.Logger // nil: silent
}

// Run applies the registration and mends it when somebody changes or deletes it, until the context ends.
func (r *Registrar) Run(ctx context.Context) error {
	for {
		if err := r.keep(ctx); err != nil && ctx.Err() == nil && r.Logger != nil {
			r.Logger.Error("the webhook could not be kept registered", "error", err)
		}
		if !pause(ctx, applyEvery) {
			return nil
		}
	}
}

// keep applies, watches from there on, so that no change falls between, and returns when anything is to be done.
func (r *Registrar) keep(ctx context.Context) error {
	bundle, changed := r.Certificates.Bundle()
	if len(bundle) == 0 {
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return nil
	}
	applied, err := r.apply(ctx, bundle)
	if err != nil {
		return err
	}
	seconds := watchSeconds
	w, err := r.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, RegistrationName).String(),
		ResourceVersion: applied, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return fmt.Errorf("watching the webhook's registration: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case event, ok := <-w.ResultChan():
			// Applying what is there already changes nothing and makes no event: one is somebody else's doing.
			if !ok || event.Type != watch.Bookmark {
				return nil
			}
		case <-changed:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// apply returns the resource version from which later changes can be watched.
func (r *Registrar) apply(ctx context.Context, bundle []byte) (string, error) {
	want := Registration{Namespace: r.Certificates.Namespace, Service: r.Certificates.Service, CABundle: bundle, Fail: r.Fail}
	got, err := r.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Apply(
		ctx, want.configuration(), metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return "", fmt.Errorf("applying the webhook's registration: %w", err)
	}
	return got.ResourceVersion, nil
}
