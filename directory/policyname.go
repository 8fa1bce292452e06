package directory

import (
	"github.com/openlanyard/lanyard/policy"
)

// PolicySource is where a document of a principal's layers comes from.
type PolicySource struct {
	Kind     Kind      // of the identity that has it
	Of       *Identity // the user or role itself, or a group of the user
	Inline   string    // its name; empty: it is managed
	Managed  *ManagedPolicy
	Document *policy.Document
}

// PolicySources returns where the documents of a user or role come from, its boundary among them. Session policies come from
// nowhere.
func (d *Directory) PolicySources(p *Principal) (all []PolicySource, err error) {
	switch {
	case p.Role != nil:
		return d.policySources(nil, Roles, &p.Role.Identity)
	case p.User == nil:
		return nil, nil
	}
	groups, err := d.GroupsOf(p.User)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if all, err = d.policySources(all, Groups, &g.Identity); err != nil {
			return nil, err
		}
	}
	return d.policySources(all, Users, &p.User.Identity)
}

func (d *Directory) policySources(all []PolicySource, kind Kind, of *Identity) ([]PolicySource, error) {
	for _, p := range of.Inline {
		all = append(all, PolicySource{Kind: kind, Of: of, Inline: p.Name, Document: p.Document})
	}
	managed, err := d.Attached(of.Attached)
	if err != nil {
		return nil, err
	}
	boundary, err := d.BoundaryOf(of)
	if boundary != nil {
		managed = append(managed, boundary)
	}
	for _, p := range managed {
		all = append(all, PolicySource{Kind: kind, Of: of, Managed: p, Document: p.Document()})
	}
	return all, err
}

// PolicyNames returns how the documents of a principal's layers are called: an inline policy by its name, behind that of
// its group where it is one's, a managed one by its ARN.
func (d *Directory) PolicyNames(p *Principal) (map[*policy.Document]string, error) {
	all, err := d.PolicySources(p)
	names := make(map[*policy.Document]string, len(all))
	for _, s := range all {
		switch {
		case s.Managed != nil:
			names[s.Document] = s.Managed.ARN().String()
		case s.Kind == Groups:
			names[s.Document] = s.Of.Name + "/" + s.Inline
		default:
			names[s.Document] = s.Inline
		}
	}
	return names, err
}
