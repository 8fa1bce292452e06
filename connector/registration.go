package connector

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admission "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	meta "k8s.io/client-go/applyconfigurations/meta/v1"
)

// Names that the API server, the manifests and the connector's rights must agree on.
const (
	// FieldManager is how the connector signs what it applies.
	FieldManager = "lanyard-connector"
	// RegistrationName is the MutatingWebhookConfiguration: the only one that the connector may change.
	RegistrationName = "lanyard-pod-identity"
	// MutatePath is where the API server asks.
	MutatePath = "/mutate"
	// SkipLabel on a pod, with any value, opts it out.
	SkipLabel = "eks.amazonaws.com/skip-pod-identity-webhook"
	// ComponentLabel on a pod with one of Components keeps the webhook away from the pods that it depends on.
	ComponentLabel = "lanyard.dev/component"

	systemNamespace = "kube-system"
	namespaceLabel  = "kubernetes.io/metadata.name" // set by the API server itself: nobody can leave it out

	everywhereEntry = "pods.connector.lanyard.dev"
	systemEntry     = "kube-system.connector.lanyard.dev"

	// webhookSeconds bounds what a hanging connector costs a pod: the barrier's budget, and room for a slow machine.
	webhookSeconds = 5
)

// Components are Lanyard's own pods. Were the webhook to serve them, a cluster that starts from nothing could wait for
// itself.
var Components = []string{"agent", "connector"}

// A Registration is what the API server shall know of the webhook.
type Registration struct {
	Namespace string // the connector's own
	Service   string // in that namespace, port 443
	CABundle  []byte // PEM of every authority whose certificate may be served just now
	Fail      bool   // refuse pods while no connector answers, instead of creating them without credentials
}

// configuration is the whole object as server-side apply takes it: what we leave out, others may own.
func (r *Registration) configuration() *admission.MutatingWebhookConfigurationApplyConfiguration {
	policy := admissionv1.Ignore
	if r.Fail {
		policy = admissionv1.Fail
	}
	others := []string{systemNamespace}
	if r.Namespace != systemNamespace {
		others = append(others, r.Namespace)
	}
	return admission.MutatingWebhookConfiguration(RegistrationName).
		WithLabels(map[string]string{"app.kubernetes.io/name": FieldManager, "app.kubernetes.io/part-of": "lanyard"}).
		WithWebhooks(
			r.entry(everywhereEntry, policy, metav1.LabelSelectorOpNotIn, others),
			// A cluster whose own components cannot be created cannot be mended: never Fail here.
			r.entry(systemEntry, admissionv1.Ignore, metav1.LabelSelectorOpIn, []string{systemNamespace}),
		)
}

func (r *Registration) entry(
	name string, policy admissionv1.FailurePolicyType, in metav1.LabelSelectorOperator, namespaces []string,
) *admission.MutatingWebhookApplyConfiguration {
	return admission.MutatingWebhook().
		WithName(name).
		WithClientConfig(admission.WebhookClientConfig().
			WithService(admission.ServiceReference().
				WithNamespace(r.Namespace).WithName(r.Service).WithPath(MutatePath).WithPort(443)).
			WithCABundle(r.CABundle...)).
		WithRules(admission.RuleWithOperations().
			WithOperations(admissionv1.Create).
			WithAPIGroups("").WithAPIVersions("v1").WithResources(string(corev1.ResourcePods)).
			WithScope(admissionv1.NamespacedScope)).
		WithNamespaceSelector(meta.LabelSelector().WithMatchExpressions(
			meta.LabelSelectorRequirement().WithKey(namespaceLabel).WithOperator(in).WithValues(namespaces...))).
		WithObjectSelector(meta.LabelSelector().WithMatchExpressions(
			meta.LabelSelectorRequirement().WithKey(SkipLabel).WithOperator(metav1.LabelSelectorOpDoesNotExist),
			meta.LabelSelectorRequirement().WithKey(ComponentLabel).WithOperator(metav1.LabelSelectorOpNotIn).WithValues(Components...))).
		WithFailurePolicy(policy).
		WithMatchPolicy(admissionv1.Equivalent).
		WithReinvocationPolicy(admissionv1.IfNeededReinvocationPolicy). // containers that a later webhook adds are served too
		WithSideEffects(admissionv1.SideEffectClassNone).
		WithTimeoutSeconds(webhookSeconds).
		WithAdmissionReviewVersions("v1")
}
