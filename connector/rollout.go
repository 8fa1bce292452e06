package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
)

// rolloutPatience is how long pods may take to become ready before an add-on counts as degraded.
const rolloutPatience = 3 * time.Minute

// daemonSet returns the add-on's DaemonSet, or nil where there is none.
func daemonSet(ctx context.Context, client kubernetes.Interface, namespace, name string) (*appsv1.DaemonSet, error) {
	set, err := client.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
	if kubeerrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, kubeProblem(err, "DaemonSet/"+name)
	}
	return set, nil
}

// isRolledOut reports whether every node that shall have a pod has one of the present template that is available.
func isRolledOut(set *appsv1.DaemonSet) bool {
	s := set.Status
	return s.ObservedGeneration >= set.Generation && s.NumberAvailable >= s.DesiredNumberScheduled &&
		(s.UpdatedNumberScheduled >= s.DesiredNumberScheduled || set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType)
}

const (
	maxPodsAsked = 500 // whose state is looked at
	maxPodsTold  = 5
)

// replicas says how many pods are ready and why the others are not, as people see it in kubectl.
func replicas(ctx context.Context, client kubernetes.Interface, set *appsv1.DaemonSet) issue {
	s := set.Status
	out := issue{Code: insufficientReplicas, ResourceIDs: []string{}, Message: fmt.Sprintf(
		"%d of %d pods are available, %d of the present version", s.NumberAvailable, s.DesiredNumberScheduled, s.UpdatedNumberScheduled)}
	list, err := client.CoreV1().Pods(set.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(set.Spec.Selector.MatchLabels).String(), Limit: maxPodsAsked,
	})
	if err != nil {
		out.Message = cut(out.Message+"; why cannot be seen: "+err.Error(), 1024)
		return out
	}
	var reasons []string
	for i := range list.Items {
		pod := &list.Items[i]
		reason := waiting(pod)
		if reason == "" || len(out.ResourceIDs) == maxPodsTold {
			continue
		}
		out.ResourceIDs = append(out.ResourceIDs, pod.Name)
		if reason += " (node " + pod.Spec.NodeName + ")"; !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	if len(reasons) > 0 {
		out.Message = cut(out.Message+": "+strings.Join(reasons, "; "), 1024)
	}
	return out
}

// waiting says why a pod is not ready, or "".
func waiting(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "PodInitializing" && c.State.Waiting.Reason != "ContainerCreating":
			return "container " + c.Name + " waits: " + strings.TrimSuffix(c.State.Waiting.Reason+": "+c.State.Waiting.Message, ": ")
		case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
			return fmt.Sprintf("container %s ended with status %d", c.Name, c.State.Terminated.ExitCode)
		}
	}
	for _, c := range pod.Status.Conditions {
		if (c.Type == corev1.PodScheduled || c.Type == corev1.PodReady) && c.Status == corev1.ConditionFalse {
			return strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return ""
}
