package registry

import (
	"context"
	"strings"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// scope names the association as EKS does in external ids.
func (a *Association) scope() string {
	return strings.Join([]string{a.Region, a.Account, a.Cluster, a.Namespace, a.ServiceAccount}, "/")
}

// AWSExternalID is what Lanyard shows as external id where it assumes the association's role at AWS: that of the account, and
// which association it is for. So a role's trust policy can tell one account, cluster or service account from another even
// where sessions have no tags.
func (a *Association) AWSExternalID(account string) string { return account + "/" + a.scope() }

// checkChain refuses a chain of two roles of which one is Lanyard's and one AWS's: no STS would let the one become the other.
func (r *Registry) checkChain(account string, target arn.ARN) error {
	if target == (arn.ARN{}) {
		return nil
	}
	first, err := r.directory.Backing(account)
	if err != nil {
		return err
	}
	second, err := r.directory.Account(target.Account)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil // of AWS, or of nobody
	case err != nil:
		return err
	case (first == nil) != (second.AWS == nil):
		return fault.New(fault.Invalid, "targetRoleArn %q: a role of Lanyard's cannot become one of AWS, nor the other way round: "+
			"both accounts have AWS behind them, or none", target.String())
	}
	return nil
}

// tryRoles asks AWS whether the roles of an association that is to be may be assumed. It stands outside of transactions, for
// it takes its time.
func (r *Registry) tryRoles(ctx context.Context, a *Association) error {
	backing, err := r.directory.Backing(a.Account)
	if err != nil || backing == nil || backing.Unverified || r.try == nil {
		return err
	}
	return r.try(ctx, a)
}

// tryNew is tryRoles for an association that is not there yet. What is refused anyway costs no question.
func (r *Registry) tryNew(ctx context.Context, in NewAssociation, target arn.ARN) error {
	if backing, err := r.directory.Backing(in.Account); err != nil || backing == nil {
		return err
	}
	if err := r.store.Barrier(ctx); err != nil {
		return err
	}
	cluster, err := r.Cluster(in.Account, in.Cluster)
	if err != nil {
		return err
	}
	if _, err := r.Association(cluster.ID, in.Namespace, in.ServiceAccount); !fault.Is(err, fault.NotFound) {
		return err
	}
	role, err := r.roleToAssociate(in.Account, in.Role, in.DisableTags)
	if err != nil {
		return err
	}
	return r.tryRoles(ctx, &Association{
		ClusterID: cluster.ID, Account: in.Account, Region: r.region, Cluster: cluster.Name, Namespace: in.Namespace, ServiceAccount: in.ServiceAccount,
		Role: role, Target: target, Policy: in.Policy, DisableTags: in.DisableTags,
	})
}

// tryChange is tryRoles for an association as it will be.
func (r *Registry) tryChange(ctx context.Context, account, cluster, id string, change AssociationChange) error {
	if backing, err := r.directory.Backing(account); err != nil || backing == nil {
		return err
	}
	if err := r.store.Barrier(ctx); err != nil {
		return err
	}
	former, err := r.AssociationByID(account, cluster, id)
	if err != nil {
		return err
	}
	a := *former
	if err := r.change(&a, change); err != nil {
		return err
	}
	return r.tryRoles(ctx, &a)
}

// roleID is what a role is known by where an association's sessions are told apart. A role of AWS has an id that only AWS
// knows, so it goes by its name.
func (r *Registry) roleID(ofAWS bool, name arn.ARN) (string, error) {
	if ofAWS {
		return name.String(), nil
	}
	role, err := r.directory.RoleByARN(name)
	if err != nil {
		return "", err
	}
	return role.ID, nil
}

// revokedRole is the event of a role's revocation, which names roles of Lanyard's by their id and those of AWS by their ARN.
func revokedRole(value string) roleEvent {
	if name, err := arn.Parse(value); err == nil {
		return roleEvent{name: name}
	}
	return roleEvent{id: value, twice: true}
}
