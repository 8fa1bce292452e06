package registry

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// Association maps (cluster, namespace, service account) to a role. A stored Association is never changed in place.
type Association struct {
	ID                        string // a- and 17 lower-case letters and digits
	ClusterID                 string
	Account, Region           string
	Cluster                   string // the cluster's name
	Namespace, ServiceAccount string
	Role                      arn.ARN
	Target                    arn.ARN // the role that Role's session becomes in turn; zero: none
	Policy                    string  // a session policy; "" is none
	DisableTags               bool    // sessions without tags
	Tags                      []directory.Tag
	Created, Modified         time.Time
	RequestToken              string
	Owner                     string // the ARN of the add-on that it was made with; "" is none
}

// ARN returns the association's name.
func (a *Association) ARN() arn.ARN { return arn.Association(a.Region, a.Account, a.Cluster, a.ID) }

// ExternalID is what the target role's trust policy may ask for as sts:ExternalId; "" without a target role.
func (a *Association) ExternalID() string {
	if a.Target == (arn.ARN{}) {
		return ""
	}
	return a.scope()
}

// Service is the principal that a role must trust to be associated.
const Service = "pods.eks.amazonaws.com"

const (
	namespacePattern      = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	serviceAccountPattern = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
)

var (
	namespaceName      = regexp.MustCompile(namespacePattern)
	serviceAccountName = regexp.MustCompile(serviceAccountPattern)
)

// associationKey makes (cluster, namespace, service account) unique.
func associationKey(cluster, namespace, serviceAccount string) string {
	return cluster + "/" + namespace + "/" + serviceAccount
}

// NewAssociation is what CreateAssociation takes.
type NewAssociation struct {
	Account, Cluster          string // the cluster's name
	Namespace, ServiceAccount string
	Role                      string // an ARN
	Target                    string // an ARN; "" is none
	Policy                    string
	DisableTags               bool
	Tags                      []directory.Tag
	RequestToken              string // a call repeated with it answers the same association
}

// CreateAssociation stores an association after the checks that EKS makes, with EKS's messages.
func (r *Registry) CreateAssociation(ctx context.Context, in NewAssociation) (*Association, error) {
	if err := CheckNames(in.Namespace, in.ServiceAccount); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkToken(in.RequestToken); err != nil {
		return nil, err
	}
	target, err := targetRole(in.Target)
	if err != nil {
		return nil, err
	}
	if err := checkPolicy(in.Policy, in.DisableTags); err != nil {
		return nil, err
	}
	if err := r.checkChain(in.Account, target); err != nil {
		return nil, err
	}
	if err := r.tryNew(ctx, in, target); err != nil {
		return nil, err
	}
	var made *Association
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := r.readCluster(tx, in.Account, in.Cluster)
		if err != nil {
			return err
		}
		// Before the look for the request token: of two calls with one token at once, one looks again.
		count := r.associations.ReadCount(tx, cluster.ID+"/")
		if former, err := r.repeated(tx, cluster, in); former != nil || err != nil {
			made = former
			return err
		}
		role, err := r.roleToAssociate(in.Account, in.Role, in.DisableTags)
		if err != nil {
			return err
		}
		key := associationKey(cluster.ID, in.Namespace, in.ServiceAccount)
		former, taken, err := r.associations.Read(tx, key)
		if err != nil {
			return err
		}
		if taken {
			return fault.New(fault.Exists, "Association already exists: %s", former.ID)
		}
		if count >= r.maxAssociations {
			return fault.New(fault.Limit, "The cluster %s has the maximum of %d pod identity associations.", in.Cluster, r.maxAssociations)
		}
		now := r.now()
		made = &Association{
			ID: "a-" + randomText(17, lowerAlnum), ClusterID: cluster.ID, Account: in.Account, Region: r.region, Cluster: cluster.Name,
			Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, Role: role,
			Target: target, Policy: in.Policy, DisableTags: in.DisableTags, Tags: in.Tags, Created: now, Modified: now,
			RequestToken: in.RequestToken,
		}
		return r.associations.Put(tx, key, made)
	})
	return made, err
}

// repeated returns the association that an earlier call with the same request token made.
func (r *Registry) repeated(tx *store.Tx, cluster *Cluster, in NewAssociation) (*Association, error) {
	if in.RequestToken == "" {
		return nil, nil
	}
	found, err := r.associationByToken.Read(tx, cluster.ID+"/"+in.RequestToken)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	a := found[0]
	target, err := targetRole(in.Target)
	if err != nil {
		return nil, err
	}
	if a.Namespace != in.Namespace || a.ServiceAccount != in.ServiceAccount || a.Role.String() != in.Role || a.Target != target ||
		a.Policy != in.Policy || a.DisableTags != in.DisableTags || !slices.Equal(a.Tags, in.Tags) {
		return nil, otherParameters(in.RequestToken, "association "+a.ID)
	}
	return a, nil
}

// AssociationChange is what UpdateAssociation takes. What is nil stays as it is.
type AssociationChange struct {
	Role        *string // an ARN
	Target      *string // an ARN; "" takes the target role away
	Policy      *string // "" takes the policy away
	DisableTags *bool
}

// UpdateAssociation changes what the association grants. Sessions in flight go on.
func (r *Registry) UpdateAssociation(ctx context.Context, account, cluster, id string, change AssociationChange) (*Association, error) {
	if err := r.tryChange(ctx, account, cluster, id, change); err != nil {
		return nil, err
	}
	return r.updateAssociation(ctx, account, cluster, id, func(a *Association) error { return r.change(a, change) })
}

// change makes of an association what it is to be, after the checks that EKS makes.
func (r *Registry) change(a *Association, change AssociationChange) (err error) {
	role := a.Role.String()
	if change.Role != nil {
		role = *change.Role
	}
	if change.Target != nil {
		if a.Target, err = targetRole(*change.Target); err != nil {
			return err
		}
		if err := r.checkChain(a.Account, a.Target); err != nil {
			return err
		}
	}
	if change.Policy != nil {
		a.Policy = *change.Policy
	}
	tagged := !a.DisableTags
	if change.DisableTags != nil {
		a.DisableTags = *change.DisableTags
	}
	if err := checkPolicy(a.Policy, a.DisableTags); err != nil {
		return err
	}
	if change.Role != nil || !a.DisableTags && !tagged {
		if a.Role, err = r.roleToAssociate(a.Account, role, a.DisableTags); err != nil {
			return err
		}
	}
	a.Modified = r.now()
	return nil
}

// TagAssociation adds tags and removes those with the keys.
func (r *Registry) TagAssociation(ctx context.Context, account, cluster, id string, add []directory.Tag, remove []string) (*Association, error) {
	return r.updateAssociation(ctx, account, cluster, id, func(a *Association) (err error) {
		a.Tags, err = changeTags(a.Tags, add, remove)
		return err
	})
}

func (r *Registry) updateAssociation(ctx context.Context, account, cluster, id string, change func(*Association) error) (*Association, error) {
	var changed *Association
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		former, err := r.readAssociation(tx, account, cluster, id)
		if err != nil {
			return err
		}
		a := *former
		if err := change(&a); err != nil {
			return err
		}
		changed = &a
		return r.associations.Put(tx, associationKey(a.ClusterID, a.Namespace, a.ServiceAccount), changed)
	})
	return changed, err
}

// DeleteAssociation deletes an association and returns it as it was. Sessions it led to are no longer honoured, until an
// association of the same content is there again.
func (r *Registry) DeleteAssociation(ctx context.Context, account, cluster, id string) (*Association, error) {
	var gone *Association
	err := r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if gone, err = r.readAssociation(tx, account, cluster, id); err != nil {
			return err
		}
		return r.associations.Delete(tx, associationKey(gone.ClusterID, gone.Namespace, gone.ServiceAccount))
	})
	return gone, err
}

func (r *Registry) readAssociation(tx *store.Tx, account, cluster, id string) (*Association, error) {
	c, err := r.readCluster(tx, account, cluster)
	if err != nil {
		return nil, err
	}
	found, err := r.associationByID.Read(tx, id)
	if err != nil {
		return nil, err
	}
	return ofCluster(found, c, id)
}

// AssociationByID returns an association of the account's cluster.
func (r *Registry) AssociationByID(account, cluster, id string) (*Association, error) {
	c, err := r.Cluster(account, cluster)
	if err != nil {
		return nil, err
	}
	return ofCluster(r.associationByID.Get(id), c, id)
}

func ofCluster(found []*Association, c *Cluster, id string) (*Association, error) {
	if len(found) == 0 || found[0].ClusterID != c.ID {
		return nil, fault.New(fault.NotFound, "No association found for id %s in cluster %s.", id, c.Name)
	}
	return found[0], nil
}

// Association returns the association of a service account in the cluster with the id: the question of every
// credential request.
func (r *Registry) Association(clusterID, namespace, serviceAccount string) (*Association, error) {
	a, ok, err := r.associations.Get(associationKey(clusterID, namespace, serviceAccount))
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "No pod identity association found for service account %s/%s.", namespace, serviceAccount)
	}
	return a, err
}

// AssociationQuery narrows Associations; empty fields do not.
type AssociationQuery struct {
	Namespace, ServiceAccount string
	After                     string // an opaque place, from an earlier answer
	Limit                     int
}

// Associations returns the cluster's associations in the order of namespace and service account, and the place to go on
// from when there are more.
func (r *Registry) Associations(account, cluster string, q AssociationQuery) (found []*Association, next string, err error) {
	c, err := r.Cluster(account, cluster)
	if err != nil {
		return nil, "", err
	}
	prefix := c.ID + "/"
	if q.Namespace != "" {
		prefix += q.Namespace + "/"
	}
	after := ""
	if q.After != "" {
		after = c.ID + "/" + q.After
	}
	for {
		entries, err := r.associations.List(prefix, after, q.Limit+1)
		if err != nil {
			return nil, "", err
		}
		for _, e := range entries {
			if q.ServiceAccount != "" && e.Value.ServiceAccount != q.ServiceAccount {
				continue
			}
			if len(found) == q.Limit {
				return found, strings.TrimPrefix(after, c.ID+"/"), nil
			}
			found, after = append(found, e.Value), e.Key
		}
		if len(entries) <= q.Limit {
			return found, "", nil
		}
		after = entries[len(entries)-1].Key
	}
}

// AccountAssociations is Associations over all clusters of an account, by name, or over one of them. Its places name the cluster, and
// are of no use to Associations.
func (r *Registry) AccountAssociations(account, cluster string, in AssociationQuery) (found []*Association, next string, err error) {
	place, within, _ := strings.Cut(in.After, "/")
	clusters, err := r.Clusters(account, "", 0)
	if err != nil {
		return nil, "", err
	}
	seen := cluster == ""
	for _, c := range clusters {
		if cluster != "" && c.Name != cluster || c.Name < place {
			continue
		}
		seen = true
		q := AssociationQuery{Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, Limit: in.Limit - len(found)}
		if c.Name == place {
			q.After = within
		}
		if q.Limit == 0 {
			return found, c.Name + "/", nil
		}
		some, next, err := r.Associations(account, c.Name, q)
		if err != nil {
			return nil, "", err
		}
		if found = append(found, some...); next != "" {
			return found, c.Name + "/" + next, nil
		}
	}
	if !seen && in.After == "" {
		return nil, "", fault.New(fault.NotFound, "No cluster found for name: %s.", cluster)
	}
	return found, "", nil
}

// Digest returns the fingerprint of an association's content as sessions carry it: a session outlives its association's
// id when the same content is there again.
func (r *Registry) Digest(a *Association) ([32]byte, error) {
	backing, err := r.directory.Backing(a.Account)
	if err != nil {
		return [32]byte{}, err
	}
	role, err := r.roleID(backing != nil, a.Role)
	if err != nil {
		return [32]byte{}, err
	}
	target := ""
	if a.Target != (arn.ARN{}) {
		if target, err = r.roleID(backing != nil, a.Target); err != nil {
			return [32]byte{}, err
		}
	}
	return session.Digest(role, target, a.Policy, a.DisableTags), nil
}
