package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// AddonStatus is where an add-on stands, as EKS spells it.
type AddonStatus string

// The statuses of EKS. Deleted is a connector's word alone: the record goes with it.
const (
	AddonCreating AddonStatus = "CREATING"
	AddonActive   AddonStatus = "ACTIVE"
	AddonUpdating AddonStatus = "UPDATING"
	Degraded      AddonStatus = "DEGRADED"
	CreateFailed  AddonStatus = "CREATE_FAILED"
	UpdateFailed  AddonStatus = "UPDATE_FAILED"
	Deleting      AddonStatus = "DELETING"
	DeleteFailed  AddonStatus = "DELETE_FAILED"
	Deleted       AddonStatus = "DELETED"
)

// UpdateStatus is where an update stands, as EKS spells it.
type UpdateStatus string

// The statuses of updates.
const (
	UpdateInProgress   UpdateStatus = "InProgress"
	UpdateSuccessful   UpdateStatus = "Successful"
	UpdateFailedStatus UpdateStatus = "Failed"
	UpdateCancelled    UpdateStatus = "Cancelled"
)

// What the connector is to do about an add-on.
const (
	ActionApply    = "apply"
	ActionDelete   = "delete"
	ActionPreserve = "preserve" // forget it and leave what runs
)

// Desired is what the connector is told of an add-on: names, versions and values, never manifests. With each change the
// generation grows.
type Desired struct {
	Version    string
	Values     string // configurationValues; "" is none
	Conflicts  string // NONE, OVERWRITE, PRESERVE
	Action     string
	Generation int64
	Restart    string // another one has the add-on's pods started anew: its associations have changed
}

// Addon is an add-on of a cluster. A stored Addon is never changed in place.
type Addon struct {
	ClusterID, Account, Region, Cluster, Name string

	UID          string // the last piece of the ARN
	Desired      Desired
	Status       AddonStatus
	Issues       []AddonIssue
	Build        string // which build of ours runs, as the connector tells
	Running      string // the version that the connector speaks of
	Tags         []directory.Tag
	Created      time.Time
	Modified     time.Time
	RequestToken string
	Updates      []AddonUpdate // the oldest first
}

// AddonIssue is why an add-on is not well, in EKS's codes.
type AddonIssue struct {
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Resources []string `json:"resourceIds,omitempty"`
}

// AddonUpdate is one call of UpdateAddon.
type AddonUpdate struct {
	ID           string        `json:"id"`
	Status       UpdateStatus  `json:"status"`
	Params       []UpdateParam `json:"params,omitempty"`
	Errors       []AddonIssue  `json:"errors,omitempty"`
	Created      time.Time     `json:"created"`
	Generation   int64         `json:"generation"` // of the desired state that it made
	RequestToken string        `json:"requestToken,omitempty"`
}

// UpdateParam is one thing that an update was asked to change.
type UpdateParam struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// maxUpdates is how many updates of an add-on are remembered.
const maxUpdates = 20

// ARN returns the add-on's name.
func (a *Addon) ARN() arn.ARN { return arn.Addon(a.Region, a.Account, a.Cluster, a.Name, a.UID) }

// differs reports whether a report says something new of the desired state as it is now.
func (a *Addon) differs(r AddonReport) bool {
	if r.Generation != a.Desired.Generation {
		return false
	}
	inProgress := slices.ContainsFunc(a.Updates, func(u AddonUpdate) bool { return u.Status == UpdateInProgress })
	status := r.Status
	if a.Desired.Action != ActionApply && status != Deleted && status != DeleteFailed {
		status = Deleting
	}
	return a.Status != status || a.Build != r.Build || a.Running != r.Version || inProgress && r.Status == AddonActive ||
		!slices.EqualFunc(a.Issues, r.Issues, func(x, y AddonIssue) bool {
			return x.Code == y.Code && x.Message == y.Message && slices.Equal(x.Resources, y.Resources)
		})
}

func addonKey(cluster, name string) string { return cluster + "/" + name }

// AddonRole is an association that is to be made with an add-on; its namespace is the add-on's.
type AddonRole struct{ ServiceAccount, Role string }

// NewAddon is what CreateAddon takes.
type NewAddon struct {
	Account, Cluster, Name string
	Version                string // "" is the default
	Values                 string
	Conflicts              string // "" is NONE
	Tags                   []directory.Tag
	Roles                  []AddonRole
	RequestToken           string
}

// CreateAddon stores the wish for an add-on, which the cluster's connector fulfils.
func (r *Registry) CreateAddon(ctx context.Context, in NewAddon) (*Addon, error) {
	kind, version, err := addonVersion(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	in.Version = version
	if in.Conflicts == "" {
		in.Conflicts = "NONE"
	}
	if err := checkWish(kind, in.Values, in.Conflicts, in.Roles); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkToken(in.RequestToken); err != nil {
		return nil, err
	}
	var made *Addon
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := r.readCluster(tx, in.Account, in.Cluster)
		if err != nil {
			return err
		}
		key := addonKey(cluster.ID, in.Name)
		former, taken, err := r.addons.Read(tx, key)
		if err != nil {
			return err
		}
		if taken {
			owned, err := r.associationByOwner.Read(tx, former.ARN().String())
			if err != nil {
				return err
			}
			made = former
			return former.repeats(in, owned)
		}
		now := r.now()
		made = &Addon{
			ClusterID: cluster.ID, Account: in.Account, Region: r.region, Cluster: cluster.Name, Name: in.Name,
			UID: uuid.NewString(), Status: AddonCreating, Tags: in.Tags, Created: now, Modified: now, RequestToken: in.RequestToken,
			Desired: Desired{Version: in.Version, Values: in.Values, Conflicts: in.Conflicts, Action: ActionApply, Generation: 1},
		}
		if _, err := r.ownAssociations(tx, made, kind.Namespace, in.Roles); err != nil {
			return err
		}
		return r.addons.Put(tx, key, made)
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// repeats refuses a call for an add-on that is there, unless it is the one that made it, made again.
func (a *Addon) repeats(in NewAddon, owned []*Association) error {
	if in.RequestToken == "" || a.RequestToken != in.RequestToken {
		return fault.New(fault.Exists, "Addon already exists.")
	}
	otherwise := func(o *Association) bool {
		return !slices.Contains(in.Roles, AddonRole{o.ServiceAccount, o.Role.String()})
	}
	d := a.Desired
	if d.Version != in.Version || d.Values != in.Values || d.Conflicts != in.Conflicts || !slices.Equal(a.Tags, in.Tags) ||
		len(owned) != len(in.Roles) || slices.ContainsFunc(owned, otherwise) {
		return otherParameters(in.RequestToken, "addon "+a.Name)
	}
	return nil
}

// AddonChange is what UpdateAddon takes. What is nil stays as it is.
type AddonChange struct {
	Version      string // "" stays
	Values       *string
	Conflicts    string // "" is NONE
	Roles        []AddonRole
	HasRoles     bool // Roles replaces all that the add-on owns; none deletes them
	Params       []UpdateParam
	RequestToken string
}

// UpdateAddon changes the wish for an add-on.
func (r *Registry) UpdateAddon(ctx context.Context, account, cluster, name string, change AddonChange) (*Addon, *AddonUpdate, error) {
	if err := checkToken(change.RequestToken); err != nil {
		return nil, nil, err
	}
	var changed *Addon
	var update *AddonUpdate
	err := r.updateAddon(ctx, account, cluster, name, func(tx *store.Tx, a *Addon) (write bool, err error) {
		changed = a
		if update, err = a.repeated(change); update != nil || err != nil {
			return false, err
		}
		if a.Desired.Action != ActionApply {
			return false, fault.New(fault.InUse, "Addon %s cannot be updated as it is currently in %s state.", name, a.Status)
		}
		d := a.Desired
		if change.Version != "" {
			d.Version = change.Version
		}
		set(&d.Values, change.Values)
		if d.Conflicts = change.Conflicts; d.Conflicts == "" {
			d.Conflicts = "NONE"
		}
		kind, _, err := addonVersion(name, d.Version)
		if err != nil {
			return false, err
		}
		if err := checkWish(kind, d.Values, d.Conflicts, change.Roles); err != nil {
			return false, err
		}
		now := r.now()
		d.Generation++
		if change.HasRoles {
			changedRoles, err := r.ownAssociations(tx, a, kind.Namespace, change.Roles)
			if err != nil {
				return false, err
			}
			if changedRoles {
				d.Restart = now.UTC().Format(time.RFC3339Nano)
			}
		}
		a.Desired, a.Status, a.Issues, a.Modified = d, AddonUpdating, nil, now
		for i := range a.Updates {
			if a.Updates[i].Status == UpdateInProgress {
				a.Updates[i].Status = UpdateCancelled // a newer one takes its place
			}
		}
		update = &AddonUpdate{
			ID: uuid.NewString(), Status: UpdateInProgress, Params: change.Params, Created: now, Generation: d.Generation,
			RequestToken: change.RequestToken,
		}
		if a.Updates = append(a.Updates, *update); len(a.Updates) > maxUpdates {
			a.Updates = a.Updates[len(a.Updates)-maxUpdates:]
		}
		return true, nil
	})
	return changed, update, err
}

// repeated returns the update that an earlier call with the same request token made; nil: there was none.
func (a *Addon) repeated(change AddonChange) (*AddonUpdate, error) {
	i := slices.IndexFunc(a.Updates, func(u AddonUpdate) bool { return change.RequestToken != "" && u.RequestToken == change.RequestToken })
	if i < 0 {
		return nil, nil
	}
	if !slices.Equal(a.Updates[i].Params, change.Params) {
		return nil, otherParameters(change.RequestToken, "update "+a.Updates[i].ID)
	}
	return &a.Updates[i], nil
}

// DeleteAddon has the connector remove an add-on, or with preserve forget it and leave what runs. The associations that it
// owns are deleted with it; preserved ones have no owner any more. What no connector ever applied is gone at once.
func (r *Registry) DeleteAddon(ctx context.Context, account, cluster, name string, preserve bool) (*Addon, error) {
	var gone *Addon
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		c, former, err := r.readAddon(tx, account, cluster, name)
		if err != nil {
			return err
		}
		a := *former
		a.Status, a.Modified, a.Issues = Deleting, r.now(), nil
		a.Desired.Generation++
		if a.Desired.Action = ActionDelete; preserve {
			a.Desired.Action = ActionPreserve
		}
		if err := r.disown(tx, &a, preserve); err != nil {
			return err
		}
		gone = &a
		if c.Status != Active {
			return r.addons.Delete(tx, addonKey(c.ID, name))
		}
		return r.addons.Put(tx, addonKey(c.ID, name), &a)
	})
	return gone, err
}

// TagAddon adds tags and removes those with the keys.
func (r *Registry) TagAddon(ctx context.Context, account, cluster, name string, add []directory.Tag, remove []string) (*Addon, error) {
	var changed *Addon
	err := r.updateAddon(ctx, account, cluster, name, func(_ *store.Tx, a *Addon) (write bool, err error) {
		a.Tags, err = changeTags(a.Tags, add, remove)
		changed = a
		return true, err
	})
	return changed, err
}

func (r *Registry) updateAddon(ctx context.Context, account, cluster, name string, change func(*store.Tx, *Addon) (write bool, err error)) error {
	return r.store.Update(ctx, func(tx *store.Tx) error {
		c, former, err := r.readAddon(tx, account, cluster, name)
		if err != nil {
			return err
		}
		a := *former
		a.Updates = slices.Clone(former.Updates)
		if write, err := change(tx, &a); err != nil || !write {
			return err
		}
		return r.addons.Put(tx, addonKey(c.ID, name), &a)
	})
}

func (r *Registry) readAddon(tx *store.Tx, account, cluster, name string) (*Cluster, *Addon, error) {
	c, err := r.readCluster(tx, account, cluster)
	if err != nil {
		return nil, nil, err
	}
	a, ok, err := r.addons.Read(tx, addonKey(c.ID, name))
	if err == nil && !ok {
		err = noAddon(name, cluster)
	}
	return c, a, err
}

func noAddon(name, cluster string) error {
	return fault.New(fault.NotFound, "No addon: %s found in cluster: %s", name, cluster)
}

// Addon returns an add-on of the account's cluster, with an issue when nobody there has reported for long.
func (r *Registry) Addon(account, cluster, name string) (*Addon, error) {
	c, err := r.Cluster(account, cluster)
	if err != nil {
		return nil, err
	}
	a, ok, err := r.addons.Get(addonKey(c.ID, name))
	if err == nil && !ok {
		err = noAddon(name, cluster)
	}
	if err != nil || !r.connectors.silent(c.ID, r.now()) {
		return a, err
	}
	with := *a
	with.Issues = append(slices.Clone(a.Issues), AddonIssue{
		Code: "ClusterUnreachable", Message: "The cluster's connector has not reported for " + unreachable.String() + " or longer.",
	})
	return &with, nil
}

// Addons returns the names of the cluster's add-ons after the name `after`, at most limit of them.
func (r *Registry) Addons(account, cluster, after string, limit int) ([]string, error) {
	c, err := r.Cluster(account, cluster)
	if err != nil {
		return nil, err
	}
	if after != "" {
		after = addonKey(c.ID, after)
	}
	entries, err := r.addons.List(c.ID+"/", after, limit)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Value.Name
	}
	return names, err
}

// AddonsOf returns the add-ons of the cluster with the id.
func (r *Registry) AddonsOf(clusterID string) ([]*Addon, error) {
	entries, err := r.addons.List(clusterID+"/", "", 0)
	all := make([]*Addon, len(entries))
	for i, e := range entries {
		all[i] = e.Value
	}
	return all, err
}

// addonVersion finds the add-on and the version that is meant.
func addonVersion(name, version string) (*addon.Addon, string, error) {
	kind, ok := addon.Find(name)
	if !ok {
		return nil, "", fault.New(fault.Invalid, "Addon specified is not supported: %.100q; one of %s is accepted", name, strings.Join(addon.Names(), ", "))
	}
	if version == "" {
		version = kind.Default()
	}
	if !kind.Accepts(version) {
		return nil, "", fault.New(fault.Invalid, "Addon version specified is not supported: %.100q; %s and newer are accepted", version, kind.Oldest())
	}
	return kind, version, nil
}

func checkWish(kind *addon.Addon, values, conflicts string, roles []AddonRole) error {
	if !slices.Contains([]string{"NONE", "OVERWRITE", "PRESERVE"}, conflicts) {
		return fault.New(fault.Invalid, "resolveConflicts %.100q: NONE, OVERWRITE or PRESERVE is accepted", conflicts)
	}
	if err := kind.Check(values); err != nil {
		return fault.New(fault.Invalid, "ConfigurationValue provided in request is not supported: %w", err)
	}
	for i, role := range roles {
		if !slices.Contains(kind.ServiceAccounts, role.ServiceAccount) {
			return fault.New(fault.Invalid, "podIdentityAssociations: the add-on %s has no service account %.100q that may have a role", kind.Name, role.ServiceAccount)
		}
		for _, other := range roles[:i] {
			if other.ServiceAccount == role.ServiceAccount {
				return fault.New(fault.Invalid, "podIdentityAssociations: the service account %s is named twice", role.ServiceAccount)
			}
		}
	}
	return nil
}
