package connector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// issueCode is EKS's AddonIssueCode (https://docs.aws.amazon.com/eks/latest/APIReference/API_AddonIssue.html).
type issueCode string

const (
	accessDenied           issueCode = "AccessDenied"
	internalFailure        issueCode = "InternalFailure"
	clusterUnreachable     issueCode = "ClusterUnreachable"
	insufficientReplicas   issueCode = "InsufficientNumberOfReplicas"
	configurationConflict  issueCode = "ConfigurationConflict"
	admissionRequestDenied issueCode = "AdmissionRequestDenied"
	unsupportedAddon       issueCode = "UnsupportedAddonModification"
	notFound               issueCode = "K8sResourceNotFound"
)

// issue is what is wrong with an add-on, as ReportConnector takes it.
type issue struct {
	Code        issueCode `json:"code"`
	Message     string    `json:"message"`     // at most 1,024 bytes
	ResourceIDs []string  `json:"resourceIds"` // at most 20
}

// problem is an error that people are told as an issue.
type problem struct{ issue }

func (p *problem) Error() string { return string(p.Code) + ": " + p.Message }

// kubeProblem sorts what the API server says about an object.
func kubeProblem(err error, object string) *problem {
	code := internalFailure
	var unreachable net.Error
	switch text := err.Error(); {
	case kubeerrors.IsConflict(err):
		code = configurationConflict
	case strings.Contains(text, "admission webhook") || strings.Contains(text, "ValidatingAdmissionPolicy") || kubeerrors.IsInvalid(err):
		code = admissionRequestDenied
	case kubeerrors.IsForbidden(err) || kubeerrors.IsUnauthorized(err):
		code = accessDenied
	case kubeerrors.IsNotFound(err):
		code = notFound
	case errors.As(err, &unreachable) || kubeerrors.IsServiceUnavailable(err) || kubeerrors.IsTimeout(err) || kubeerrors.IsServerTimeout(err):
		code = clusterUnreachable
	}
	return &problem{issue{code, cut(err.Error(), 1024), []string{object}}}
}

// cut keeps as many bytes of a text as the server takes, on one line.
func cut(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// applier applies an add-on's objects, each as its own field manager.
type applier struct{ client dynamic.Interface }

// apply applies all objects, in order. The error is a *problem.
func (a applier) apply(ctx context.Context, r *rendering, resolve string) error {
	for _, object := range r.objects {
		if err := a.applyOne(ctx, object, resolve); err != nil {
			return kubeProblem(err, object.GetKind()+"/"+object.GetName())
		}
	}
	return nil
}

// preserves is how often an object is tried again without the fields that others hold: each answer names all of them.
const preserves = 3

func (a applier) applyOne(ctx context.Context, object *unstructured.Unstructured, resolve string) error {
	options := metav1.ApplyOptions{FieldManager: FieldManager, Force: resolve == resolveOverwrite}
	at := a.client.Resource(kinds[object.GroupVersionKind()].resource).Namespace(object.GetNamespace())
	for try := 0; ; try++ {
		_, err := at.Apply(ctx, object.GetName(), object, options)
		if err == nil || resolve != resolvePreserve || !kubeerrors.IsConflict(err) || try == preserves {
			return err
		}
		left, ok := without(object, conflicts(err))
		if !ok {
			return err
		}
		object = left
	}
}

// remove deletes the objects, the last first. What is not there is removed.
func (a applier) remove(ctx context.Context, r *rendering) error {
	background := metav1.DeletePropagationBackground
	for i := len(r.objects) - 1; i >= 0; i-- {
		object := r.objects[i]
		err := a.client.Resource(kinds[object.GroupVersionKind()].resource).Namespace(object.GetNamespace()).
			Delete(ctx, object.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !kubeerrors.IsNotFound(err) {
			return kubeProblem(err, object.GetKind()+"/"+object.GetName())
		}
	}
	return nil
}

// conflicts returns the paths of the fields that others hold, such as .spec.template.spec.containers[name="x"].image.
func conflicts(err error) map[string]bool {
	status := new(kubeerrors.StatusError)
	fields := map[string]bool{}
	if errors.As(err, &status) && status.ErrStatus.Details != nil {
		for _, c := range status.ErrStatus.Details.Causes {
			if c.Type == metav1.CauseTypeFieldManagerConflict {
				fields[c.Field] = true
			}
		}
	}
	return fields
}

// without returns a copy of an object that does not say the fields, and whether any was found.
func without(object *unstructured.Unstructured, fields map[string]bool) (*unstructured.Unstructured, bool) {
	left, found := object.DeepCopy(), false
	var walk func(path string, value any) (drop bool)
	walk = func(path string, value any) bool {
		if fields[path] {
			found = true
			return true
		}
		switch value := value.(type) {
		case map[string]any:
			for key, member := range value {
				if walk(path+"."+key, member) {
					delete(value, key)
				}
			}
		case []any:
			for i, member := range value {
				// A member that somebody else holds altogether stays: what we say of it is said field by field.
				walk(path+element(member, i), member)
			}
		}
		return false
	}
	walk("", left.Object)
	return left, found
}

// element is how the API names a member of a list: by what it is merged by.
func element(member any, i int) string {
	if m, ok := member.(map[string]any); ok {
		for _, key := range []string{"name", "mountPath"} {
			if value, ok := m[key].(string); ok {
				return fmt.Sprintf("[%s=%q]", key, value)
			}
		}
	}
	return fmt.Sprintf("[%d]", i)
}
