package directory

import (
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// Principal is who signed a request: a user by a long-term key or a session, a role by a session, or a cluster that is about to join
// by its activation pair (then User, Role and Session are all nil).
type Principal struct {
	Account string
	ARN     string // arn:aws:iam::A:user/NAME or arn:aws:sts::A:assumed-role/ROLE/SESSION
	ID      string // AIDA… or AROA…:SESSION
	KeyID   string // the access key that signed

	User    *User
	Role    *Role
	Session *session.Session

	Layers policy.Layers // what the principal may do

	context       policy.Context // of a session, which signs many requests
	policyChanges uint64         // the directory's, before Layers were read
}

// UserPrincipal is a user by one of its keys.
func (d *Directory) UserPrincipal(u *User, keyID string) (*Principal, error) {
	permissions, err := d.UserPermissions(u)
	if err != nil {
		return nil, err
	}
	boundary, err := d.boundaryDocuments(&u.Identity)
	if err != nil {
		return nil, err
	}
	return &Principal{
		Account: u.Account, ARN: u.ARN().String(), ID: u.ID, KeyID: keyID, User: u,
		Layers: policy.Layers{Identity: permissions, Boundary: boundary},
	}, nil
}

// SessionPrincipal is a role by one of its sessions. The role's permissions are those of now, not those of the time
// when the session was minted.
func (d *Directory) SessionPrincipal(r *Role, s *session.Session) (*Principal, error) {
	changes := d.policyChanges.Load() // first: what changes from here on makes the principal stale
	permissions, err := d.RolePermissions(r)
	if err != nil {
		return nil, err
	}
	boundary, err := d.boundaryDocuments(&r.Identity)
	if err != nil {
		return nil, err
	}
	p := &Principal{
		Account: r.Account, ARN: arn.AssumedRole(r.Account, r.Name, s.Name).String(), ID: r.ID + ":" + s.Name,
		KeyID: s.AccessKeyID, Role: r, Session: s,
		Layers: policy.Layers{Identity: permissions, Boundary: boundary}, policyChanges: changes,
	}
	for _, text := range s.Policies {
		doc, err := d.sessionPolicy(r.Account, text)
		if err != nil {
			return nil, err
		}
		p.Layers.Session = append(p.Layers.Session, doc)
	}
	p.context = slices.Clip(p.conditions())
	return p, nil
}

// sessionPolicy returns the document of a session policy as it is now. One that is given by name and was deleted may have
// been a Deny; what is left of the session's policies would give what it took. So the session may do nothing any more.
func (d *Directory) sessionPolicy(account, text string) (*policy.Document, error) {
	if !isName(text) {
		return policy.Parse(policy.Session, text)
	}
	p, err := d.ManagedPolicy(account, text)
	if fault.Is(err, fault.NotFound) {
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	return p.Document(), nil
}

// isName tells a managed session policy from a document, which is a JSON object.
func isName(sessionPolicy string) bool { return strings.HasPrefix(sessionPolicy, "arn:") }

// nothing is in place of a managed session policy that is gone.
var nothing = func() *policy.Document {
	doc, err := policy.Parse(policy.Session, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
	if err != nil {
		panic(err) // a broken constant
	}
	return doc
}()

// IsCurrent reports whether a principal that SessionPrincipal made is what it would make of the role now. A role that was
// changed is another *Role; its managed policies change without it, which the count of all such changes tells.
func (d *Directory) IsCurrent(p *Principal, r *Role) bool {
	managed := len(r.Attached) > 0 || r.Boundary != "" || slices.ContainsFunc(p.Session.Policies, isName)
	return p.Role == r && (!managed || p.policyChanges == d.policyChanges.Load())
}

// RateKey names who a request counts for where principals have a bound. It is not a session's ARN: its holder may have
// chosen the session's name, or have got a new one with each fetch.
func (p *Principal) RateKey() string {
	if p.User != nil {
		return p.User.ARN().String()
	}
	if p.Session == nil {
		return p.ARN
	}
	key := p.Account + "/" + p.Role.ID
	if o := p.Session.Origin; o != nil && o.PodUID != "" {
		return key + "/" + o.Cluster + "/pod/" + o.PodUID
	} else if o != nil {
		return key + "/" + o.Cluster + "/node/" + o.NodeUID
	}
	return key
}

// Names returns every ARN that the principal goes by in a trust policy.
func (p *Principal) Names() []string {
	if p.Role == nil {
		return []string{p.ARN}
	}
	return []string{p.ARN, p.Role.ARN().String()}
}

// Context returns the condition keys that speak of the principal
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html). It may be shared: who
// wants more keys makes a context of its own.
func (p *Principal) Context() policy.Context {
	if p.context != nil {
		return p.context
	}
	return p.conditions()
}

func (p *Principal) conditions() policy.Context {
	ctx, values := make(policy.Context, 0, 16), make([]string, 0, 16) // one array for the single values of all
	add := func(key, value string) {
		values = append(values, value)
		ctx = append(ctx, policy.Entry{Key: key, Values: values[len(values)-1 : len(values) : len(values)]})
	}
	add("aws:PrincipalAccount", p.Account)
	add("aws:userid", p.ID)
	if p.User != nil {
		add("aws:PrincipalArn", p.ARN)
		if p.Session != nil {
			add("aws:TokenIssueTime", p.Session.Issued.UTC().Format(time.RFC3339))
		}
		if p.IsGuest() {
			add("aws:PrincipalType", "FederatedUser")
			for _, t := range p.Session.Tags {
				add("aws:PrincipalTag/"+t.Key, t.Value)
			}
			return ctx
		}
		add("aws:PrincipalType", "User")
		add("aws:username", p.User.Name)
		for _, t := range p.User.Tags {
			add("aws:PrincipalTag/"+t.Key, t.Value)
		}
		return ctx
	}
	if p.Role == nil {
		add("aws:PrincipalArn", p.ARN)
		return ctx
	}
	add("aws:PrincipalArn", p.Role.ARN().String())
	add("aws:PrincipalType", "AssumedRole")
	add("aws:TokenIssueTime", p.Session.Issued.UTC().Format(time.RFC3339))
	if p.Session.SourceIdentity != "" {
		add("aws:SourceIdentity", p.Session.SourceIdentity)
	}
	for _, t := range p.Session.Tags {
		add("aws:PrincipalTag/"+t.Key, t.Value)
	}
	for _, t := range p.Role.Tags { // a session's tag hides the role's of the same key
		if !slices.ContainsFunc(p.Session.Tags, func(s session.Tag) bool { return strings.EqualFold(s.Key, t.Key) }) {
			add("aws:PrincipalTag/"+t.Key, t.Value)
		}
	}
	return ctx
}
