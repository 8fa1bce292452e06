package directory

import (
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// UserSessionPrincipal is a user by a session of theirs, or the guest whom the user has let act for a while. A guest may do
// what the user may and the session's policies allow, too: without any, nothing
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getfederationtoken.html).
func (d *Directory) UserSessionPrincipal(u *User, s *session.Session) (*Principal, error) {
	p, err := d.UserPrincipal(u, s.AccessKeyID)
	if err != nil {
		return nil, err
	}
	p.Session = s
	for _, text := range s.Policies {
		doc, err := d.sessionPolicy(u.Account, text)
		if err != nil {
			return nil, err
		}
		p.Layers.Session = append(p.Layers.Session, doc)
	}
	if !p.IsGuest() {
		return p, nil
	}
	p.ARN, p.ID = arn.FederatedUser(u.Account, s.Name).String(), u.Account+":"+s.Name
	if len(p.Layers.Session) == 0 {
		p.Layers.Session = []*policy.Document{nothing}
	}
	return p, nil
}

// IsGuest reports whether somebody else than a user acts by the user's session.
func (p *Principal) IsGuest() bool { return p.Session != nil && p.User != nil && p.Session.Name != "" }
