// Package broker decides who may become which role, and issues the sessions of those who may: pods by their token,
// workloads by web identity (https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html).
package broker

import (
	"context"
	"errors"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/oidc"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// Broker turns tokens into sessions. All fields down to Verifier are needed.
type Broker struct {
	Store     *store.Store
	Directory *directory.Directory
	Registry  *registry.Registry
	Keyring   *keyring.Keyring
	Verifier  *podtoken.Verifier
	OIDC      *oidc.Client     // asks the issuers that are no clusters; nil: nobody does
	AWS       *AWS             // nil: accounts with AWS behind them get nothing here
	Now       func() time.Time // nil: time.Now

	keyWaits  keyWaits
	providers providerKeys
}

// How long the broker waits for what it does not know yet. AWS's agent gives a whole call one second.
const (
	callDeadline = 800 * time.Millisecond // for everything, the wait for keys and the barrier together
	keyDeadline  = 700 * time.Millisecond // for a key list that is newer than the question
	// An issuer outside may be slow, and who shows its tokens is no agent. This is for everything, and more than an issuer has.
	issuerDeadline = 7 * time.Second
	maxStale       = 5 * time.Second // a hit in a copy of this age is served when no barrier can be had
)

func (b *Broker) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}

// verify checks a token against the cluster's keys as they are known. A key id that the list lacks makes no bad token yet
// but is Unavailable, since the list may be about to come.
func (b *Broker) verify(cluster *registry.Cluster, audience, token string, asked time.Time) (*podtoken.Token, error) {
	t, err := b.Verifier.Verify(cluster.KeySet(asked), audience, token, asked)
	if err != nil && isUnknownKey(err) && !cluster.Practice {
		err = fault.Hide(fault.Unavailable, err, "The signing keys of cluster %s are not known well enough; try again.", cluster.Name)
	}
	return t, err
}

// await is verify for callers who may wait for a list that is newer than their question: only that makes a token with an
// unknown key id a bad one.
func (b *Broker) await(ctx context.Context, cluster *registry.Cluster, audience, token string) (*podtoken.Token, error) {
	asked := b.now()
	t, err := b.verify(cluster, audience, token, asked)
	if !fault.Is(err, fault.Unavailable) || !b.keyWaits.enter(cluster, asked) {
		return t, err
	}
	b.Registry.AskForKeys(cluster.ID)
	inVain := false
	defer func() { b.keyWaits.leave(cluster, b.now(), inVain) }()
	ctx, cancel := context.WithTimeout(ctx, keyDeadline)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			inVain = errors.Is(ctx.Err(), context.DeadlineExceeded) // not when the client went away
			return nil, err
		case <-again.C:
		}
		present, gone := b.Registry.ClusterByID(cluster.ID)
		if gone != nil {
			return nil, gone
		}
		if present.Confirmed.After(asked) {
			return b.Verifier.Verify(present.KeySet(b.now()), audience, token, b.now())
		}
	}
}

// catchUp makes sure that the next reads of the copy see every write acknowledged anywhere. When that cannot be had it
// reports stale, or an error if the copy is too old to be trusted even for a hit.
func (b *Broker) catchUp(ctx context.Context) (stale bool, err error) {
	err = b.Store.Barrier(ctx)
	if err == nil {
		return false, nil
	}
	if b.Store.Age() <= maxStale {
		return true, nil
	}
	return true, notKnown(err)
}

func notKnown(cause error) error {
	return fault.Hide(fault.Unavailable, cause, "The clusters, associations and roles are not known well enough; try again.")
}

// mint seals a session and stamps it with what the store knew.
func (b *Broker) mint(ctx context.Context, s *session.Session) (session.Credentials, error) {
	sealing, mac, err := b.Keyring.Sealing(ctx, s.Account)
	if err != nil {
		return session.Credentials{}, err
	}
	s.Revision, s.Epoch = b.Store.Revision(), b.Store.Epoch()
	return session.Mint(s, sealing, mac)
}
