package registry

import (
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/store"
)

// share says what a gateway of an account is told: associations with a role of the account, whoever's cluster they are
// of; that these clusters exist; and the revocations that can match a session of the account, which are those of every role
// too, by its id alone: a session may have come through any.
func (r *Registry) share() {
	store.Share(r.associations, store.Rule[*Association]{
		See: func(viewer, _ string, a *Association) (*Association, bool) {
			if !slices.Contains(a.viewers(), viewer) {
				return nil, false
			}
			without := *a
			without.Tags, without.RequestToken = nil, ""
			return &without, true
		},
		Touches: r.tiedBy,
	})
	store.Share(r.clusters, store.Rule[*Cluster]{See: func(viewer, _ string, c *Cluster) (*Cluster, bool) {
		if c.Account != viewer && !r.tied(viewer, c.ID) {
			return nil, false
		}
		without := &Cluster{ID: c.ID, Account: c.Account, Name: c.Name, Region: c.Region, Status: c.Status}
		return without.finished(), true
	}})
	store.Share(r.revocations, store.Rule[*Revocation]{See: func(viewer, _ string, rev *Revocation) (*Revocation, bool) {
		onTheWay := rev.Target.Kind == ByRole || rev.Target.Kind == BySession // to anybody's: see session.Session.Through
		if rev.Account != viewer && !onTheWay && !r.tied(viewer, rev.Target.cluster()) {
			return nil, false
		}
		without := *rev
		without.By = ""
		if rev.Account != viewer && onTheWay {
			without.Account = ""
		}
		return &without, true
	}})
	store.Share(r.deleted, store.Rule[*DeletedPods]{See: func(viewer, _ string, d *DeletedPods) (*DeletedPods, bool) {
		if d.Account != viewer && !r.tied(viewer, d.ClusterID) {
			return nil, false
		}
		without := *d
		without.By = ""
		return &without, true
	}})
	r.tiedTo = store.NewIndex(r.associations, func(_ string, a *Association) []string {
		var ties []string
		for _, viewer := range a.viewers() {
			if viewer != a.Account {
				ties = append(ties, viewer+"/"+a.ClusterID, viewer+"/"+a.Role.String())
			}
		}
		return ties
	})
	r.directory.ShareTied(func(viewer string, role arn.ARN) bool { return r.tied(viewer, role.String()) })
}

// viewers are the accounts whose gateways have to know the association: those of its roles.
func (a *Association) viewers() []string {
	if a.Target == (arn.ARN{}) || a.Target.Account == a.Role.Account {
		return []string{a.Role.Account}
	}
	return []string{a.Role.Account, a.Target.Account}
}

// tied reports whether an association of another account's cluster leads to a role of the viewer, by the cluster's id or
// the ARN of the association's first role.
func (r *Registry) tied(viewer, to string) bool { return len(r.tiedTo.Get(viewer+"/"+to)) > 0 }

// tiedBy names what the viewer may know because of an association of another account: the cluster, its revocations, the
// first role.
func (r *Registry) tiedBy(viewer, _ string, a *Association) []store.Ref {
	if a.Account == viewer {
		return nil
	}
	refs := []store.Ref{{Table: clusterTable, Key: clusterKey(a.Account, a.Cluster)}}
	if _, name, ok := a.Role.RoleName(); ok && a.Role.Account != viewer {
		refs = append(refs, directory.RoleRef(a.Role.Account, name))
	}
	if entries, err := r.deleted.List(a.ClusterID+"/", "", 0); err == nil {
		for _, e := range entries {
			refs = append(refs, store.Ref{Table: deletedTable, Key: e.Key})
		}
	}
	for _, kind := range targetKinds {
		if kind == BySession || kind == ByRole {
			continue
		}
		entries, err := r.revocations.List(string(kind)+"/"+a.ClusterID, "", 0)
		if err != nil {
			continue // a record that cannot be read ends the feed
		}
		for _, e := range entries {
			refs = append(refs, store.Ref{Table: revocationTable, Key: e.Key})
		}
	}
	return refs
}

// cluster returns the id of the cluster that the target is in, or "".
func (t Target) cluster() string {
	if t.Kind == BySession || t.Kind == ByRole {
		return ""
	}
	id, _, _ := strings.Cut(t.Value, "/")
	return id
}
