package registry

import (
	"slices"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// ownAssociations makes the add-on's associations what the roles say, and reports whether something changed. One that is
// there and has another owner, or none, is not taken over.
func (r *Registry) ownAssociations(tx *store.Tx, a *Addon, namespace string, roles []AddonRole) (bool, error) {
	changed := false
	owner := a.ARN().String()
	owned, err := r.associationByOwner.Read(tx, owner)
	if err != nil {
		return false, err
	}
	for _, former := range owned {
		if !slices.ContainsFunc(roles, func(w AddonRole) bool { return w.ServiceAccount == former.ServiceAccount }) {
			changed = true
			if err := r.associations.Delete(tx, associationKey(former.ClusterID, former.Namespace, former.ServiceAccount)); err != nil {
				return false, err
			}
		}
	}
	for _, wish := range roles {
		role, err := r.roleToAssociate(a.Account, wish.Role, false)
		if err != nil {
			return false, err
		}
		key, now := associationKey(a.ClusterID, namespace, wish.ServiceAccount), r.now()
		former, taken, err := r.associations.Read(tx, key)
		if err != nil {
			return false, err
		}
		made := &Association{
			ID: "a-" + randomText(17, lowerAlnum), ClusterID: a.ClusterID, Account: a.Account, Region: r.region, Cluster: a.Cluster,
			Namespace: namespace, ServiceAccount: wish.ServiceAccount, Role: role, Created: now, Modified: now, Owner: owner,
		}
		switch {
		case taken && former.Owner != owner:
			return false, fault.New(fault.Exists, "Association already exists: %s", former.ID)
		case taken && former.Role == made.Role:
			continue
		case taken:
			kept := *former
			kept.Role, kept.Modified = made.Role, now
			made = &kept
		case r.associations.ReadCount(tx, a.ClusterID+"/") >= r.maxAssociations:
			return false, fault.New(fault.Limit, "The cluster %s has the maximum of %d pod identity associations.", a.Cluster, r.maxAssociations)
		}
		changed = true
		if err := r.associations.Put(tx, key, made); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// disown deletes the associations that the add-on owns, or leaves them without an owner.
func (r *Registry) disown(tx *store.Tx, a *Addon, keep bool) error {
	owned, err := r.associationByOwner.Read(tx, a.ARN().String())
	if err != nil {
		return err
	}
	for _, former := range owned {
		key := associationKey(former.ClusterID, former.Namespace, former.ServiceAccount)
		if keep {
			kept := *former
			kept.Owner = ""
			err = r.associations.Put(tx, key, &kept)
		} else {
			err = r.associations.Delete(tx, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// OwnedBy returns the associations that the add-on owns.
func (r *Registry) OwnedBy(a *Addon) []*Association {
	owned := slices.Clone(r.associationByOwner.Get(a.ARN().String()))
	slices.SortFunc(owned, func(x, y *Association) int { return x.Created.Compare(y.Created) })
	return owned
}
