package connector

import rbacv1 "k8s.io/api/rbac/v1"

// Rights are what the connector needs of the API server, and all that it is to have: the manifests say the same. Where a
// rule has names, server-side apply makes even "create" ask with one.
type Rights struct {
	Cluster   []rbacv1.PolicyRule // everywhere
	Namespace []rbacv1.PolicyRule // in the connector's own
	System    []rbacv1.PolicyRule // in kube-system
}

// RightsNeeded returns the connector's.
func RightsNeeded() Rights {
	rule := func(group, resource string, names []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names, Verbs: verbs}
	}
	agent := []string{agentName}
	return Rights{
		Cluster: []rbacv1.PolicyRule{
			rule("", "pods", nil, "list", "watch"),            // which are deleted, and why the agent's are not ready
			rule("", "serviceaccounts", nil, "list", "watch"), // their annotations for the webhook
			rule("events.k8s.io", "events", nil, "create"),    // about pods that the webhook could not decide on, or that are refused
			rule("admissionregistration.k8s.io", "mutatingwebhookconfigurations", []string{RegistrationName}, "create", "patch", "watch"),
			{NonResourceURLs: []string{discoveryPath, keysPath}, Verbs: []string{"get"}},
		},
		Namespace: []rbacv1.PolicyRule{
			rule("", "secrets", []string{SecretName}, "get", "update"),
			rule("", "secrets", []string{SpareName}, "get", "create", "patch"),
			rule("", "secrets", nil, "create"), // the webhook's, by POST: of two replicas one shall be first
			rule("", "serviceaccounts/token", []string{ServiceAccountName}, "create"),
			rule("coordination.k8s.io", "leases", []string{LeaseName}, "get", "update"),
			rule("coordination.k8s.io", "leases", nil, "create"), // the election makes it by POST
			rule("", "configmaps", []string{PodsName}, "get", "create", "patch"),
		},
		System: []rbacv1.PolicyRule{
			rule("apps", "daemonsets", agent, "get", "create", "patch", "delete"),
			rule("", "serviceaccounts", agent, "create", "patch", "delete"),
			rule("", "configmaps", agent, "create", "patch", "delete"),
		},
	}
}
