package directory

import (
	"context"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// A permissions boundary is a managed policy beyond which a user or role may do nothing, whatever its other policies say
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html). As an attachment, it is kept by the
// policy's id and looked up when the principal is made.

// PutBoundary bounds a user or role by the policy with the ARN, in place of another.
func (d *Directory) PutBoundary(ctx context.Context, who Who, name string) error {
	return d.changeIdentity(ctx, who, func(tx *store.Tx, i *Identity) error { return d.bound(tx, i, name) })
}

// DeleteBoundary takes the boundary away; without one, there is none.
func (d *Directory) DeleteBoundary(ctx context.Context, who Who) error {
	return d.changeIdentity(ctx, who, func(_ *store.Tx, i *Identity) error {
		i.Boundary = ""
		return nil
	})
}

// bound sets the boundary of an identity that is about to be stored; no name is none.
func (d *Directory) bound(tx *store.Tx, i *Identity, name string) error {
	if name == "" {
		return nil
	}
	if i.kind == Groups {
		return fault.New(fault.Invalid, "A group has no permissions boundary.")
	}
	p, err := d.holdPolicy(tx, i.Account, name)
	if err != nil {
		return err
	}
	i.Boundary = p.ID
	return nil
}

// BoundaryOf returns the identity's boundary, nil where it has none.
func (d *Directory) BoundaryOf(i *Identity) (*ManagedPolicy, error) {
	if i.Boundary == "" {
		return nil, nil
	}
	return d.policyByID(i.Boundary)
}

// boundaryDocuments are what is between an identity's policies and what it may.
func (d *Directory) boundaryDocuments(i *Identity) ([]*policy.Document, error) {
	p, err := d.BoundaryOf(i)
	if p == nil || err != nil {
		return nil, err
	}
	return []*policy.Document{p.Document()}, nil
}
