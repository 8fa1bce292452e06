package access

import (
	"github.com/openlanyard/lanyard/directory"
)

// Again returns who authenticated earlier as they are now, with the permissions of now, for an answer that goes on after
// its request was decided. The errors are those of Authenticate: the key is gone, the session is over or revoked.
func (a *Access) Again(p *directory.Principal) (*directory.Principal, error) {
	if a.Store.Age() > a.maxStaleness() {
		return nil, cutOff(nil)
	}
	switch {
	case p.Session != nil:
		if err := p.Session.Live(a.now()); err != nil {
			return nil, err
		}
		if err := a.Registry.Honours(p.Session); err != nil {
			return nil, err
		}
		if p.User != nil {
			return a.byUserSession(p.Session)
		}
		role, err := a.roleOf(p.Session)
		if err != nil {
			return nil, err
		}
		return a.Directory.SessionPrincipal(role, p.Session)
	case p.User != nil:
		now, _, err := a.byKey(p.KeyID)
		return now, err
	}
	return nil, unknownKey() // an activation pair is good for one operation
}
