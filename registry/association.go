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
	"github.com/openlanyard/lanyard/policy"
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
	Tags                      []directory.Tag
	Created, Modified         time.Time
	RequestToken              string
}

// ARN returns the association's name.
func (a *Association) ARN() arn.ARN { return arn.Association(a.Region, a.Account, a.Cluster, a.ID) }

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
	Tags                      []directory.Tag
	RequestToken              string // a call repeated with it answers the same association
}

// CreateAssociation stores an association after the checks that EKS makes, with EKS's messages.
func (r *Registry) CreateAssociation(ctx context.Context, in NewAssociation) (*Association, error) {
	if err := checkNames(in.Namespace, in.ServiceAccount); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if len(in.RequestToken) > 256 {
		return nil, fault.New(fault.Invalid, "clientRequestToken: at most 256 characters are accepted, got %d", len(in.RequestToken))
	}
	var made *Association
	err := r.store.Update(ctx, func(tx *store.Tx) error {
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
		role, err := r.roleToAssociate(in.Account, in.Role)
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
			Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, Role: role.ARN(), Tags: in.Tags, Created: now, Modified: now,
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
	if a.Namespace != in.Namespace || a.ServiceAccount != in.ServiceAccount || a.Role.String() != in.Role || !slices.Equal(a.Tags, in.Tags) {
		return nil, fault.New(fault.Invalid, "clientRequestToken %q was used with other parameters, for association %s", in.RequestToken, a.ID)
	}
	return a, nil
}

// UpdateAssociation gives the association another role. Sessions in flight go on.
func (r *Registry) UpdateAssociation(ctx context.Context, account, cluster, id, role string) (*Association, error) {
	return r.updateAssociation(ctx, account, cluster, id, func(a *Association) error {
		found, err := r.roleToAssociate(account, role)
		if err != nil {
			return err
		}
		a.Role, a.Modified = found.ARN(), r.now()
		return nil
	})
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

// Digest returns the fingerprint of an association's content as sessions carry it: a session outlives its association's
// id when the same content is there again.
func (r *Registry) Digest(a *Association) ([32]byte, error) {
	role, err := r.directory.RoleByARN(a.Role)
	if err != nil {
		return [32]byte{}, err
	}
	return session.Digest(role.ID, "", "", false), nil
}

// roleToAssociate returns the role after EKS's checks: it is of the cluster's account, exists, and trusts the service.
func (r *Registry) roleToAssociate(account, name string) (*directory.Role, error) {
	parsed, err := arn.Parse(name)
	if err != nil {
		return nil, fault.New(fault.Invalid, "roleArn: %w", err)
	}
	if _, _, ok := parsed.RoleName(); !ok {
		return nil, fault.New(fault.Invalid, "roleArn %q: the ARN of an IAM role is accepted", name)
	}
	if parsed.Account != account {
		return nil, fault.New(fault.CrossAccount, "Cross-account pass role is not allowed.")
	}
	role, err := r.directory.RoleByARN(parsed)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Invalid, "Role provided in the request does not exist.")
	}
	if err != nil {
		return nil, err
	}
	service := policy.Principal{Kind: policy.Service, Names: []string{Service}}
	if !role.Trust.Names(service, "sts:AssumeRole") || !role.Trust.Names(service, "sts:TagSession") {
		return nil, fault.New(fault.Invalid, "Trust policy of the role provided is invalid.")
	}
	return role, nil
}

func checkNames(namespace, serviceAccount string) error {
	if len(namespace) > 63 || !namespaceName.MatchString(namespace) {
		return fault.New(fault.Invalid, "The parameter namespace contains invalid characters. It should conform to the regular expression %s and have at most 63 characters: %q", namespacePattern, namespace)
	}
	if len(serviceAccount) > 253 || !serviceAccountName.MatchString(serviceAccount) {
		return fault.New(fault.Invalid, "The parameter serviceAccount contains invalid characters. It should conform to the regular expression %s and have at most 253 characters: %q", serviceAccountPattern, serviceAccount)
	}
	return nil
}
