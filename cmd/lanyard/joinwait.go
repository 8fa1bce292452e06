package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/openlanyard/lanyard/connector/install"
	"github.com/openlanyard/lanyard/registry"
)

// wait returns once a replica of the connector has reported that the webhook is ready, and the cluster is ACTIVE. What it
// waits for is said once for each step.
func (v *joinVerb) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	told := ""
	for {
		missing, err := v.missing(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && missing == "" {
			return v.say("cluster %s is joined; next: aws eks create-addon --cluster-name %s --addon-name %s", v.name, v.name, install.Agent)
		}
		if missing != told && missing != "" {
			if err := v.say("waiting: %s", missing); err != nil {
				return err
			}
			told = missing
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not there after %v: %s (`lanyard status` says more; `lanyard join` goes on from here)", v.timeout, told)
			}
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// missing says what is not there yet, from the server's side first and then by what the cluster says of the pods.
func (v *joinVerb) missing(ctx context.Context) (string, error) {
	found, err := v.client.cluster(ctx, v.name)
	if err != nil {
		return "", err
	}
	if found.Status != string(registry.Active) {
		return "the cluster is " + found.Status, nil
	}
	told, err := v.client.connector(ctx, v.name)
	if err != nil {
		return "", err
	}
	if told.isReady() {
		return "", nil
	}
	pods, err := v.kube.pods(ctx)
	if err != nil {
		return "", err
	}
	if pods != "" {
		return pods, nil
	}
	if len(told.Replicas) == 0 {
		return "the connector runs and has not reported to the server yet", nil
	}
	return "the webhook is not ready yet: " + told.message(), nil
}

// pods says why the connector's pods are not ready, or "" if one is.
func (k *kube) pods(ctx context.Context) (string, error) {
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Phase             string
				Conditions        []struct{ Type, Status, Reason, Message string }
				ContainerStatuses []struct {
					Ready        bool
					RestartCount int
					State        struct {
						Waiting *struct{ Reason, Message string }
					}
				}
			}
		}
	}
	path := "/api/v1/namespaces/" + install.Namespace + "/pods?" + url.Values{"labelSelector": {"app.kubernetes.io/name=" + install.Name}}.Encode()
	if err := k.get(ctx, path, &list); err != nil {
		return "", err
	}
	why := "the connector has no pods yet"
	for _, pod := range list.Items {
		name, conditions := pod.Metadata.Name, pod.Status.Conditions
		why = fmt.Sprintf("pod %s is %s", name, firstOf(pod.Status.Phase, "unknown"))
		for _, c := range conditions {
			switch {
			case c.Type == "Ready" && c.Status == "True":
				return "", nil
			case c.Type == "PodScheduled" && c.Status == "False":
				why = fmt.Sprintf("pod %s is on no node: %s", name, c.Message)
			}
		}
		for _, c := range pod.Status.ContainerStatuses {
			switch {
			case c.State.Waiting != nil:
				why = fmt.Sprintf("pod %s waits: %s", name, firstOf(c.State.Waiting.Message, c.State.Waiting.Reason))
			case !c.Ready:
				why = fmt.Sprintf("pod %s runs and is not ready (%d restarts)", name, c.RestartCount)
			}
		}
	}
	return why, nil
}
