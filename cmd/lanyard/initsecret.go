package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
)

// initSecret is the Kubernetes Secret that `init` writes the administrator's key and the CA to, in the place of a file: in
// a cluster nobody looks into the server's volume.
type initSecret struct {
	namespace, name string
	kube            *kube
}

var secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// openSecret reaches the API server as the pod's service account, or by a kubeconfig that is named.
func openSecret(cmd *cobra.Command, text string) (*initSecret, error) {
	if !secretName.MatchString(text) {
		return nil, fault.New(fault.Invalid, "--secret %q: NAMESPACE/NAME is accepted", text)
	}
	s := &initSecret{}
	s.namespace, s.name, _ = strings.Cut(text, "/")
	var err error
	if cmd.Flag("kubeconfig").Changed || cmd.Flag("context").Changed {
		s.kube, err = openKube(cmd)
	} else {
		s.kube, err = inCluster()
	}
	return s, err
}

func (s *initSecret) String() string { return "Secret " + s.namespace + "/" + s.name }

func (s *initSecret) path() string { return "/api/v1/namespaces/" + s.namespace + "/secrets/" + s.name }

func (s *initSecret) exists(ctx context.Context) (bool, error) {
	err := s.kube.get(ctx, s.path(), nil)
	if isKube(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

// put applies the Secret whole.
func (s *initSecret) put(ctx context.Context, d serverDir, key *directory.AccessKey, region string) error {
	data := map[string]any{
		"AWS_ACCESS_KEY_ID": []byte(key.ID), "AWS_SECRET_ACCESS_KEY": []byte(key.Secret), "AWS_REGION": []byte(region), "account": []byte(key.Account),
	}
	ca, err := os.ReadFile(d.file(caFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // with a certificate of one's own there is none
		return err
	}
	if err == nil {
		data["ca.pem"] = ca
	}
	return s.kube.applyAt(ctx, s.path(), map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
		"metadata": map[string]any{
			"name": s.name, "namespace": s.namespace, "labels": map[string]string{"app.kubernetes.io/part-of": "lanyard"},
		},
	}, "lanyard-init", true)
}

// errMade is what `init --once` takes for success.
var errMade = errors.New("made already")

// begin refuses to make what is there. A folder that is gone while its Secret is there is a volume that is not mounted: a
// server must not begin anew in its place.
func (v *initVerb) begin(ctx context.Context, d serverDir) error {
	_, err := os.Stat(d.file(configFile))
	made := err == nil
	if v.to != nil {
		exists, err := v.to.exists(ctx)
		if err != nil {
			return err
		}
		_, err = os.Stat(d.file(stateFolder))
		switch {
		case made && !exists:
			return fault.New(fault.BadState, "%s is made already, and %s is not there: `lanyard recover` writes a new administrator key", d, v.to)
		case !made && exists && errors.Is(err, fs.ErrNotExist):
			return fault.New(fault.BadState, "%s is there already, and the state in %s is missing: is its volume mounted? To begin anew, delete the Secret", v.to, d)
		}
	}
	switch {
	case made && v.once:
		return errMade
	case made:
		return fault.New(fault.Exists, "%s is made already: `lanyard recover` writes a new administrator key", d)
	}
	return nil
}
