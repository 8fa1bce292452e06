package lanyard

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// revokeRequest names one target: a role, a session, or something of a cluster.
type revokeRequest struct {
	Kind    registry.TargetKind `json:"kind"`    // session, role, cluster, association, node, serviceaccount, pod
	Cluster string              `json:"cluster"` // its name; not for session and role
	Value   string              `json:"value"`   // the form depends on the kind; not for cluster
}

type revokeResponse struct {
	Kind   registry.TargetKind `json:"kind"`
	Before api.Epoch           `json:"before"`
	AWS    *revokedAtAWS       `json:"aws,omitempty"` // with AWS behind the account, where Lanyard cannot end a session
}

// revokedAtAWS names the roles whose sessions go on at AWS until a policy of theirs ends them.
type revokedAtAWS struct {
	Roles []string `json:"roleArns"` // 50 at most
	More  bool     `json:"more"`     // there are others
}

const maxRevokedRoles = 50

var (
	keyID  = regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`)
	object = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	nsName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
)

func (d *door) revoke(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[revokeRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"kind": string(in.Kind), "cluster": in.Cluster, "value": in.Value}
	target, err := d.target(c, in)
	if err != nil {
		return nil, err
	}
	done, err := d.registry.Revoke(ctx, c.Caller.Account, c.Caller.ARN, target)
	if err != nil {
		return nil, err
	}
	out := revokeResponse{Kind: in.Kind, Before: api.Epoch(done.Before)}
	out.AWS, err = d.revokedAtAWS(c.Caller.Account, in)
	return out, err
}

// revokedAtAWS finds the roles that pods of the target may hold sessions of: the last of an association's.
func (d *door) revokedAtAWS(account string, in revokeRequest) (*revokedAtAWS, error) {
	backing, err := d.directory.Backing(account)
	if err != nil || backing == nil {
		return nil, err
	}
	out := &revokedAtAWS{Roles: []string{}}
	if in.Kind == registry.BySession {
		return out, nil // whose it is only its key tells, to AWS
	}
	concerns := func(a *registry.Association) bool {
		switch in.Kind {
		case registry.ByRole:
			name := "role/" + in.Value
			return a.Role.String() == in.Value || a.Target.String() == in.Value || a.Role.Resource == name || a.Target.Resource == name
		case registry.ByAssociation:
			return a.ID == in.Value
		case registry.ByServiceAccount:
			return a.Namespace+"/"+a.ServiceAccount == in.Value
		case registry.ByPod: // which service account it has, its name does not tell
			return strings.HasPrefix(in.Value, a.Namespace+"/")
		}
		return true
	}
	for after := ""; ; {
		found, next, err := d.registry.AccountAssociations(account, in.Cluster, registry.AssociationQuery{After: after, Limit: 500})
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			role := a.Role
			if a.Target != (arn.ARN{}) {
				role = a.Target
			}
			if !concerns(a) || slices.Contains(out.Roles, role.String()) {
				continue
			}
			if len(out.Roles) == maxRevokedRoles {
				out.More = true
				return out, nil
			}
			out.Roles = append(out.Roles, role.String())
		}
		if after = next; next == "" {
			return out, nil
		}
	}
}

// target asks for lanyard:Revoke on what the request aims at and finds its stable id. Everything is looked for in the
// caller's account only.
func (d *door) target(c *api.Call, in revokeRequest) (registry.Target, error) {
	account := c.Caller.Account
	switch in.Kind {
	case registry.BySession:
		own := arn.ARN{Service: "lanyard", Region: c.Region(), Account: account, Resource: "session/" + in.Value}
		if err := c.Authorize("lanyard:Revoke", own.String()); err != nil {
			return registry.Target{}, err
		}
		return checked(in, keyID, account+"/"+in.Value, "the access key id of a session, ASIA and 16 characters")
	case registry.ByRole:
		return d.roleTarget(c, in)
	case registry.ByCluster, registry.ByAssociation, registry.ByNode, registry.ByServiceAccount, registry.ByPod:
		return d.clusterTarget(c, in)
	}
	return registry.Target{}, fault.New(fault.Invalid,
		"kind %.100q: one of session, role, cluster, association, node, serviceaccount, pod is accepted", in.Kind)
}

// roleTarget takes a role's name or ARN. A role that does not exist is asked for without a path, as at IAM's door.
func (d *door) roleTarget(c *api.Call, in revokeRequest) (registry.Target, error) {
	if in.Value == "" {
		return registry.Target{}, fault.New(fault.Invalid, "The parameter value is required: the name or ARN of a role is accepted for kind role.")
	}
	short, resource := in.Value, arn.Role(c.Caller.Account, "/", in.Value)
	if strings.HasPrefix(in.Value, "arn:") {
		full, err := arn.Parse(in.Value)
		if err != nil {
			return registry.Target{}, fault.New(fault.Invalid, "value: %w", err)
		}
		_, name, ok := full.RoleName()
		if !ok || full.Account != c.Caller.Account {
			return registry.Target{}, fault.New(fault.Invalid, "value %q: the name or ARN of a role of account %s is accepted for kind role", in.Value, c.Caller.Account)
		}
		short, resource = name, arn.Role(c.Caller.Account, "/", name)
	}
	role, err := d.directory.Role(c.Caller.Account, short)
	if err == nil {
		resource = role.ARN()
	}
	backing, failed := d.directory.Backing(c.Caller.Account)
	if failed != nil {
		return registry.Target{}, failed
	}
	ofAWS := backing != nil && fault.Is(err, fault.NotFound)
	if ofAWS && short != in.Value {
		resource, _ = arn.Parse(in.Value) // with its path, and it was parsed before
	}
	if denied := c.Authorize("lanyard:Revoke", resource.String()); denied != nil {
		return registry.Target{}, denied
	}
	if ofAWS {
		if _, _, ok := resource.RoleName(); !ok {
			return registry.Target{}, fault.New(fault.Invalid, "value %.100q: the name or ARN of a role is accepted for kind role", in.Value)
		}
		return registry.Target{Kind: in.Kind, Value: resource.String()}, nil
	}
	if err != nil {
		return registry.Target{}, err
	}
	return registry.Target{Kind: in.Kind, Value: role.ID}, nil
}

func (d *door) clusterTarget(c *api.Call, in revokeRequest) (registry.Target, error) {
	account := c.Caller.Account
	if err := onCluster(c, "lanyard:Revoke", in.Cluster); err != nil {
		return registry.Target{}, err
	}
	cluster, err := d.registry.Cluster(account, in.Cluster)
	if err != nil {
		return registry.Target{}, err
	}
	switch in.Kind {
	case registry.ByCluster:
		return registry.Target{Kind: in.Kind, Value: cluster.ID}, nil
	case registry.ByAssociation:
		// A deleted association's sessions can still be revoked, so that re-creating it does not heal them.
		return checked(in, object, cluster.ID+"/"+in.Value, "an association's id")
	case registry.ByNode:
		return checked(in, object, cluster.ID+"/"+in.Value, "a node's name")
	default: // a service account, a pod
		return checked(in, nsName, cluster.ID+"/"+in.Value, "NAMESPACE/NAME")
	}
}

func checked(in revokeRequest, form *regexp.Regexp, value, accepted string) (registry.Target, error) {
	if len(in.Value) > 512 || !form.MatchString(in.Value) {
		return registry.Target{}, fault.New(fault.Invalid, "value %.100q: %s is accepted for kind %s", in.Value, accepted, in.Kind)
	}
	return registry.Target{Kind: in.Kind, Value: value}, nil
}
