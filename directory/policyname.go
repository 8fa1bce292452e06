package directory

import (
	"github.com/openlanyard/lanyard/policy"
)

// PolicyNames returns how the documents of a principal's layers are called: an inline policy by its name, behind that of
// its group where it is one's, a managed one by its ARN. Session policies have no name.
func (d *Directory) PolicyNames(p *Principal) (map[*policy.Document]string, error) {
	names := map[*policy.Document]string{}
	switch {
	case p.Role != nil:
		return names, d.namePolicies(names, "", &p.Role.Identity)
	case p.User == nil:
		return names, nil
	}
	groups, err := d.GroupsOf(p.User)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := d.namePolicies(names, g.Name+"/", &g.Identity); err != nil {
			return nil, err
		}
	}
	return names, d.namePolicies(names, "", &p.User.Identity)
}

func (d *Directory) namePolicies(names map[*policy.Document]string, prefix string, of *Identity) error {
	for _, p := range of.Inline {
		names[p.Document] = prefix + p.Name
	}
	managed, err := d.Attached(of.Attached)
	if err != nil {
		return err
	}
	boundary, err := d.BoundaryOf(of)
	if boundary != nil {
		managed = append(managed, boundary)
	}
	for _, p := range managed {
		names[p.Document()] = p.ARN().String()
	}
	return err
}
