package lanyard

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

type serviceAccountsRequest struct {
	Namespace string `json:"namespace"` // "" is every namespace
}

type serviceAccountsResponse struct {
	Namespaces      []string      `json:"namespaces"` // with service accounts; every cluster's namespaces have one
	ServiceAccounts []accountName `json:"serviceAccounts"`
	Truncated       bool          `json:"truncated"` // there are more: ask for a namespace
}

type accountName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// listServiceAccounts asks the cluster itself by the stream of its connector.
func (d *door) listServiceAccounts(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[serviceAccountsRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "namespace": in.Namespace}
	if err := onCluster(c, "lanyard:ListServiceAccounts", name); err != nil {
		return nil, err
	}
	if len(in.Namespace) > maxNamespace {
		return nil, fault.New(fault.Invalid, "namespace: at most %d characters are accepted, got %d", maxNamespace, len(in.Namespace))
	}
	cluster, err := d.registry.Cluster(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	list, err := d.registry.AskForServiceAccounts(ctx, cluster, in.Namespace)
	if err != nil {
		return nil, err
	}
	out := serviceAccountsResponse{Namespaces: list.Namespaces, ServiceAccounts: make([]accountName, len(list.ServiceAccounts)), Truncated: list.Truncated}
	for i, a := range list.ServiceAccounts {
		out.ServiceAccounts[i] = accountName(a)
	}
	return out, nil
}

type reportServiceAccountsRequest struct {
	ID              string        `json:"id"` // of the question
	Namespaces      []string      `json:"namespaces"`
	ServiceAccounts []accountName `json:"serviceAccounts"`
	Truncated       bool          `json:"truncated"`
}

// What a connector may answer: less than a body has room for.
const (
	maxListed      = 1000 // namespaces, and service accounts
	maxNamespace   = 63
	maxAccountName = 253
)

// reportServiceAccounts takes a connector's answer to who waits for it here.
func (d *door) reportServiceAccounts(_ context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[reportServiceAccountsRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "id": in.ID[:min(len(in.ID), 64)]}
	if err := onCluster(c, "lanyard:ReportServiceAccounts", name); err != nil {
		return nil, err
	}
	list, err := in.list()
	if err != nil {
		return nil, err
	}
	cluster, err := d.registry.Cluster(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return nothing{}, d.registry.AnswerServiceAccounts(cluster, in.ID, list)
}

// list holds an answer to what a cluster can have: a person is going to read it.
func (in *reportServiceAccountsRequest) list() (*registry.ServiceAccountList, error) {
	if len(in.Namespaces) > maxListed || len(in.ServiceAccounts) > maxListed {
		return nil, fault.New(fault.Invalid, "at most %d namespaces and as many service accounts are accepted", maxListed)
	}
	list := &registry.ServiceAccountList{Namespaces: []string{}, Truncated: in.Truncated}
	for _, n := range in.Namespaces {
		if err := registry.CheckNames(n, "default"); err != nil {
			return nil, err
		}
		list.Namespaces = append(list.Namespaces, n)
	}
	for _, a := range in.ServiceAccounts {
		if err := registry.CheckNames(a.Namespace, a.Name); err != nil {
			return nil, err
		}
		list.ServiceAccounts = append(list.ServiceAccounts, registry.ServiceAccount(a))
	}
	return list, nil
}
