package registry

import (
	"slices"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
)

// roleEvent is something that may end credentials of pods whose association leads to a role, in clusters of any account.
type roleEvent struct {
	name arn.ARN // zero: known by its id alone
	id   string
	// Only of associations that lead through two roles: of the others the role's id tells enough.
	twice bool
}

// subscribeRoles subscribes to roles that end and to trust policies that change.
func (f *feed) subscribeRoles(d *directory.Directory) {
	d.OnRoleEnd(func(r *directory.Role) {
		f.addAccount(r.Account, Invalidation{ByRole, r.ID})
		f.addRole(roleEvent{r.ARN(), r.ID, true})
	})
	d.OnTrustChange(func(r *directory.Role) { f.addRole(roleEvent{r.ARN(), r.ID, false}) })
}

// addRole keeps an event for every cluster that is watched: which associations it concerns is looked up outside the
// store's lock, see Resolve.
func (f *feed) addRole(e roleEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.roles) <= maxInvalidations {
		f.roles = append(f.roles, e)
	}
}

// Resolve looks up which service accounts of the cluster the changed roles concern, once for all watchers of the batch,
// and reports whether it is to be handed on: of roles alone that concern nobody there is nothing to say. It is called before the batch's other parts are read.
func (b *Batch) Resolve() bool {
	b.once.Do(func() {
		if b.Recheck || len(b.roles) == 0 {
			return
		}
		list, err := b.registry.concerned(b.cluster, b.roles)
		if err != nil || len(b.Invalidations)+len(list) > maxInvalidations {
			b.Recheck, b.Invalidations = true, nil // not known, or too many
			return
		}
		b.Invalidations = slices.Concat(b.Invalidations, list)
	})
	return len(b.roles) == 0 || b.Recheck || len(b.Invalidations) > 0
}

// concerned returns the service accounts of a cluster whose associations lead to one of the roles.
func (r *Registry) concerned(cluster string, events []roleEvent) ([]Invalidation, error) {
	events = r.named(events)
	if len(events) == 0 {
		return nil, nil
	}
	entries, err := r.associations.List(cluster+"/", "", 0)
	if err != nil {
		return nil, err
	}
	var list []Invalidation
	for _, e := range entries {
		if e.Value.concerned(events) {
			list = append(list, Invalidation{ByServiceAccount, e.Value.Namespace + "/" + e.Value.ServiceAccount})
		}
	}
	return list, nil
}

// named fills in the names of roles that are known by id. One that is gone was told as such.
func (r *Registry) named(events []roleEvent) []roleEvent {
	var all []roleEvent
	for _, e := range events {
		if e.name == (arn.ARN{}) {
			role, err := r.directory.RoleByID(e.id)
			if err != nil {
				continue
			}
			e.name = role.ARN()
		}
		all = append(all, e)
	}
	return all
}

func (a *Association) concerned(events []roleEvent) bool {
	return slices.ContainsFunc(events, func(e roleEvent) bool {
		return (a.Role == e.name || a.Target == e.name) && (!e.twice || a.Target != (arn.ARN{}))
	})
}

// sinceRoles says of the associations that a watcher holds something of which ones lead to a role that is gone, was
// revoked or was changed in some way after the revision: that does not tell in which. all is false if there are too many.
func (r *Registry) sinceRoles(in Watch, revoked []roleEvent) (list []Invalidation, all bool, err error) {
	changed, all, err := r.directory.RolesSince(in.After.Revision, maxInvalidations)
	if err != nil || !all {
		return nil, false, err
	}
	events := r.named(revoked)
	for _, role := range changed {
		events = append(events, roleEvent{role.ARN(), role.ID, false})
	}
	for _, id := range in.Associations {
		found := r.associationByID.Get(id)
		if len(found) == 0 || found[0].ClusterID != in.Cluster.ID {
			continue // told as such
		}
		a := found[0]
		if a.concerned(events) || a.Target != (arn.ARN{}) && !r.haveRoles(a) {
			list = append(list, Invalidation{ByServiceAccount, a.Namespace + "/" + a.ServiceAccount})
		}
	}
	return list, true, nil
}

func (r *Registry) haveRoles(a *Association) bool {
	_, err := r.Digest(a)
	return err == nil
}
