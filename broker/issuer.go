package broker

import (
	"context"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// An issuer gives pods the credentials of an account's roles. Lanyard's own accounts have one, those with AWS behind them
// the other. What the two share is done before: the token is verified, the pod lives and is on its node, and the association
// is as new as the store.
type issuer interface {
	// roles finds the association's roles, or refuses.
	roles(g *Grant) error
	// issue decides whether the pod may become them, and puts the session and its credentials into the grant.
	issue(ctx context.Context, g *Grant) error
}

func (b *Broker) issuer(account string) (issuer, error) {
	backing, err := b.Directory.Backing(account)
	if err != nil {
		return nil, err
	}
	if backing == nil {
		return builtIn{b}, nil
	}
	return awsBacked{b, backing}, nil
}

// builtIn issues Lanyard's own sessions.
type builtIn struct{ *Broker }

func (i builtIn) roles(g *Grant) (err error) {
	g.Role, err = i.Directory.RoleByARN(g.Association.Role)
	if target := g.Association.Target; err == nil && target != (arn.ARN{}) {
		g.Target, err = i.Directory.RoleByARN(target)
	}
	if fault.Is(err, fault.NotFound) {
		return unauthorized()
	}
	return err
}

func (i builtIn) issue(ctx context.Context, g *Grant) error {
	err := i.grantPod(ctx, g)
	if err == nil && g.Target != nil {
		err = i.passOn(ctx, g)
	}
	return err
}
