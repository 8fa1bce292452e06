package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// Revocation ends the sessions of one target that were issued up to a moment. Creating an association again does not
// undo it; a session issued later is not touched.
type Revocation struct {
	Target  Target
	Account string    // who asked for it
	By      string    // the ARN of who asked
	Before  time.Time // sessions issued up to here are ended

	// Revision is what the store had reached, and Epoch which store: a session of the same epoch tells by its own revision
	// whether it came before, whatever any clock says.
	Revision int64
	Epoch    string
}

// Target says which sessions a revocation ends.
type Target struct {
	Kind  TargetKind
	Value string // see the kinds
}

// TargetKind is what a revocation is aimed at.
type TargetKind string

// The kinds, each with the form of Target.Value. C is a cluster's immutable id.
const (
	BySession        TargetKind = "session"        // ACCOUNT/KEY, the access key id ASIA…
	ByRole           TargetKind = "role"           // the role's stable id, AROA…
	ByAssociation    TargetKind = "association"    // C/ID
	ByCluster        TargetKind = "cluster"        // C
	ByNode           TargetKind = "node"           // C/NODE
	ByServiceAccount TargetKind = "serviceaccount" // C/NAMESPACE/NAME
	ByPod            TargetKind = "pod"            // C/NAMESPACE/NAME

	// ByPodUID is no revocation but what invalidations say of deleted pods; the value is the UID.
	ByPodUID TargetKind = "poduid"
)

var targetKinds = []TargetKind{BySession, ByRole, ByAssociation, ByCluster, ByNode, ByServiceAccount, ByPod}

// keepRevocations is longer than any session.
const keepRevocations = session.Longest + time.Hour

func (t Target) key() string { return string(t.Kind) + "/" + t.Value }

// Revoke ends all sessions of the target that were issued until now.
func (r *Registry) Revoke(ctx context.Context, account, by string, target Target) (*Revocation, error) {
	if !slices.Contains(targetKinds, target.Kind) || target.Value == "" {
		return nil, fault.New(fault.Invalid, "a revocation needs a target of one of the kinds %q, got %q %q", targetKinds, target.Kind, target.Value)
	}
	var rev *Revocation
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		rev = &Revocation{
			Target: target, Account: account, By: by, Before: r.now(), Revision: r.store.Revision(), Epoch: r.store.Epoch(),
		}
		former, ok, err := r.revocations.Read(tx, target.key())
		if err != nil {
			return err
		}
		if ok && former.Before.After(rev.Before) {
			rev.Before = former.Before // by a replica whose clock is ahead: what was revoked stays so
		}
		return r.revocations.Put(tx, target.key(), rev)
	})
	if err != nil {
		return nil, err
	}
	return rev, nil
}

// ends reports whether the session came before the revocation.
func (rev *Revocation) ends(s *session.Session) bool {
	if rev.Epoch == s.Epoch {
		return s.Revision <= rev.Revision
	}
	return !s.Issued.After(rev.Before)
}

// Honours reports, as an error of kind ExpiredCredentials, why a session is no longer good: it was revoked, its cluster
// or association is gone, or another content stands in the association's place.
func (r *Registry) Honours(s *session.Session) error {
	if revoked, err := r.revoked(s); err != nil {
		return err
	} else if revoked {
		return fault.New(fault.ExpiredCredentials, "The security token included in the request is revoked")
	}
	o := s.Origin
	if o == nil {
		return nil
	}
	if _, err := r.ClusterByID(o.Cluster); err != nil {
		return over(err, "its cluster is no longer registered")
	}
	if r.PodDeleted(o.Cluster, o.PodUID) {
		return fault.New(fault.ExpiredCredentials, "The security token included in the request is no longer valid: its pod is deleted")
	}
	if o.Association == "" {
		return nil // a web identity of the cluster: agent or connector
	}
	if found := r.associationByID.Get(o.Association); len(found) > 0 && found[0].ClusterID == o.Cluster {
		return nil
	}
	present, err := r.Association(o.Cluster, o.Namespace, o.ServiceAccount)
	if err != nil {
		return over(err, "its pod identity association is deleted")
	}
	digest, err := r.Digest(present)
	if err != nil {
		return over(err, "its pod identity association is deleted")
	}
	if digest != o.Digest {
		return fault.New(fault.ExpiredCredentials, "The security token included in the request is no longer valid: its pod identity association was replaced by another")
	}
	return nil
}

// over turns NotFound into the end of a session; anything else stays what it is, so that a fault of ours refuses as a
// fault of ours.
func over(err error, why string) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return fault.New(fault.ExpiredCredentials, "The security token included in the request is no longer valid: %s", why)
}

func (r *Registry) revoked(s *session.Session) (bool, error) {
	if r.revocations.Count("") == 0 {
		return false, nil
	}
	targets := []Target{{BySession, s.ID()}, {ByRole, s.RoleID}}
	for _, id := range s.Through {
		kind := ByRole // its id, or its ARN where it is one of AWS
		if account, _, _ := strings.Cut(id, "/"); arn.IsAccount(account) {
			kind = BySession
		}
		targets = append(targets, Target{kind, id})
	}
	if o := s.Origin; o != nil {
		targets = append(targets,
			Target{ByCluster, o.Cluster},
			Target{ByAssociation, o.Cluster + "/" + o.Association},
			Target{ByNode, o.Cluster + "/" + o.NodeName},
			Target{ByServiceAccount, o.Cluster + "/" + o.Namespace + "/" + o.ServiceAccount},
			Target{ByPod, o.Cluster + "/" + o.Namespace + "/" + o.PodName},
		)
	}
	for _, t := range targets {
		rev, ok, err := r.revocations.Get(t.key())
		if err != nil {
			return false, err
		}
		if ok && rev.ends(s) {
			return true, nil
		}
	}
	return false, nil
}
