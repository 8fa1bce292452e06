package access

import (
	"sync/atomic"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// Sessions remembers sessions that were opened, and who their holders are.
type Sessions = session.Cache[opened]

// NewSessions returns a memory of at most size sessions.
func NewSessions(size int) *Sessions { return session.NewCache(size, newOpened) }

// opened is a session with the principal that it was last seen to be: one session signs many requests, and its role seldom
// changes between them.
type opened struct {
	session *session.Session
	last    atomic.Pointer[directory.Principal]
}

func newOpened(s *session.Session) *opened { return &opened{session: s} }

// as returns the session's holder as the role and its policies are now.
func (o *opened) as(dir *directory.Directory, role *directory.Role) (*directory.Principal, error) {
	if p := o.last.Load(); p != nil && dir.IsCurrent(p, role) {
		return p, nil
	}
	p, err := dir.SessionPrincipal(role, o.session)
	if err == nil {
		o.last.Store(p)
	}
	return p, err
}

func (a *Access) open(sig *sigv4.Signature) (*opened, error) {
	if a.Sessions != nil {
		return a.Sessions.Open(a.Ring, sig.KeyID, sig.Token, a.now())
	}
	s, err := session.Open(a.Ring, sig.KeyID, sig.Token)
	return newOpened(s), err
}
