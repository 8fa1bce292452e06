package directory

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// ManagedPolicy is a permission policy with a name of its own, which users and roles are attached to
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html). A stored ManagedPolicy is
// never changed in place.
type ManagedPolicy struct {
	Account, Path, Name string
	ID                  string // ANPA and 17 characters; a policy made again under the same name has another
	Description         string
	Created             time.Time
	Versions            []PolicyVersion // 1 to 5, oldest first
	Default             int             // the number of the version that is in force
	Made                int             // how many versions there have been: a number is never given twice
	Tags                []Tag           // by key
}

// PolicyVersion is one text that a managed policy has or had.
type PolicyVersion struct {
	Number   int // from 1
	Document *policy.Document
	Created  time.Time
}

// ARN returns the policy's name.
func (p *ManagedPolicy) ARN() arn.ARN { return arn.Policy(p.Account, p.Path, p.Name) }

// Document returns the default version's document, which is the one in force.
func (p *ManagedPolicy) Document() *policy.Document {
	return p.Versions[p.at(p.Default)].Document // its codec and every change hold that it is there
}

// Updated is when the most recent version was made.
func (p *ManagedPolicy) Updated() time.Time { return p.Versions[len(p.Versions)-1].Created }

// Version returns the version with the number.
func (p *ManagedPolicy) Version(number int) (PolicyVersion, error) {
	i := p.at(number)
	if i < 0 {
		return PolicyVersion{}, fault.New(fault.NotFound, "Policy %s version v%d does not exist or is not attachable.", p.ARN(), number)
	}
	return p.Versions[i], nil
}

func (p *ManagedPolicy) at(number int) int {
	return slices.IndexFunc(p.Versions, func(v PolicyVersion) bool { return v.Number == number })
}

func (p *ManagedPolicy) clone() *ManagedPolicy {
	c := *p
	c.Versions, c.Tags = slices.Clone(p.Versions), slices.Clone(p.Tags)
	return &c
}

// IAM's quotas of managed policies, policies of an account at the raised value.
const (
	maxPolicies = 5000
	maxVersions = 5
	maxPolicy   = 6144 // characters without white space
)

var policyPath = regexp.MustCompile(`^(/[A-Za-z0-9.,+@=_-]+)*/$`)

// NewManagedPolicy is what CreateManagedPolicy takes. An empty path is "/".
type NewManagedPolicy struct {
	Account, Path, Name, Description string
	Text                             string
	Tags                             []Tag
}

// CreateManagedPolicy stores a policy whose first version is the text.
func (d *Directory) CreateManagedPolicy(ctx context.Context, in NewManagedPolicy) (*ManagedPolicy, error) {
	if in.Path == "" {
		in.Path = "/"
	}
	switch {
	case !policyName.MatchString(in.Name):
		return nil, fault.New(fault.Invalid, "policyName %q: 1 to 128 characters of [\\w+=,.@-] are accepted", in.Name)
	case len(in.Path) > 512 || !policyPath.MatchString(in.Path):
		return nil, fault.New(fault.Invalid, "path %q: at most 512 characters that begin and end with / are accepted, between them letters, digits and .,+@=_-", in.Path)
	case len([]rune(in.Description)) > 1000:
		return nil, fault.New(fault.Invalid, "description: at most 1000 characters are accepted, got %d", len([]rune(in.Description)))
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	doc, err := parseManaged(in.Text)
	if err != nil {
		return nil, err
	}
	now := d.now()
	p := &ManagedPolicy{
		Account: in.Account, Path: in.Path, Name: in.Name, ID: newID("ANPA", 17), Description: in.Description, Created: now,
		Versions: []PolicyVersion{{1, doc, now}}, Default: 1, Made: 1, Tags: tags,
	}
	key := nameKey(p.Account, p.Name)
	return p, d.store.Update(ctx, func(tx *store.Tx) error {
		if _, taken, err := d.policies.Read(tx, key); err != nil {
			return err
		} else if taken {
			return fault.New(fault.Exists, "A policy called %s already exists. Duplicate names are not allowed.", p.Name)
		}
		if d.policies.ReadCount(tx, p.Account+"/") >= maxPolicies {
			return fault.New(fault.Limit, "Cannot exceed quota for PoliciesPerAccount: %d", maxPolicies)
		}
		return d.policies.Put(tx, key, p)
	})
}

func parseManaged(text string) (*policy.Document, error) {
	if n := sizeOf(text); n > maxPolicy {
		return nil, fault.New(fault.Limit, "Cannot exceed quota for PolicySize: %d characters without white space, got %d", maxPolicy, n)
	}
	return policy.Parse(policy.Identity, text)
}

// ManagedPolicy returns the policy that the ARN names, with its path: one of the account or one that every account has.
// NotFound also for a policy of another account; Invalid for a text that is no policy's ARN.
func (d *Directory) ManagedPolicy(account, name string) (*ManagedPolicy, error) {
	if strings.HasPrefix(name, AWSPolicies) {
		return awsPolicyByARN(name)
	}
	key, err := policyKey(account, name)
	if err != nil {
		return nil, err
	}
	p, ok, err := d.policies.Get(key)
	return named(p, ok, name, err)
}

// policyKey returns the key that a policy of the account has by its ARN.
func policyKey(account, name string) (string, error) {
	parsed, err := arn.Parse(name)
	if err != nil {
		return "", err
	}
	_, short, ok := parsed.PolicyName()
	switch {
	case !ok:
		return "", fault.New(fault.Invalid, "%q is not a policy's ARN", name)
	case parsed.Account != account:
		return "", noPolicy(name)
	}
	return nameKey(account, short), nil
}

// named is what a look-up has found, if its ARN is the name to the letter: a name that was authorized must not stand for
// another that reads alike.
func named(p *ManagedPolicy, ok bool, name string, err error) (*ManagedPolicy, error) {
	if err == nil && (!ok || p.ARN().String() != name) {
		err = noPolicy(name)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func noPolicy(name string) error {
	return fault.New(fault.NotFound, "Policy %s does not exist or is not attachable.", name)
}

// ManagedPolicies returns those of the account's policies that keep wants, by name, at most limit of them after the name
// `after`; a limit of 0 is none.
func (d *Directory) ManagedPolicies(account, after string, limit int, keep func(*ManagedPolicy) bool) ([]*ManagedPolicy, error) {
	return page(d.policies, account, after, limit, keep)
}

// CreatePolicyVersion adds a text to a policy, which is in force at once if inForce says so.
func (d *Directory) CreatePolicyVersion(ctx context.Context, account, name, text string, inForce bool) (PolicyVersion, *ManagedPolicy, error) {
	doc, err := parseManaged(text)
	if err != nil {
		return PolicyVersion{}, nil, err
	}
	var made PolicyVersion
	p, err := d.updatePolicy(ctx, account, name, func(p *ManagedPolicy) error {
		if len(p.Versions) >= maxVersions {
			return fault.New(fault.Limit, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		p.Made++
		made = PolicyVersion{p.Made, doc, d.now()}
		p.Versions = append(p.Versions, made)
		if inForce {
			p.Default = made.Number
		}
		return nil
	})
	return made, p, err
}

// SetDefaultPolicyVersion puts a version in force.
func (d *Directory) SetDefaultPolicyVersion(ctx context.Context, account, name string, number int) error {
	_, err := d.updatePolicy(ctx, account, name, func(p *ManagedPolicy) error {
		_, err := p.Version(number)
		p.Default = number
		return err
	})
	return err
}

// DeletePolicyVersion removes a version that is not in force.
func (d *Directory) DeletePolicyVersion(ctx context.Context, account, name string, number int) error {
	_, err := d.updatePolicy(ctx, account, name, func(p *ManagedPolicy) error {
		if _, err := p.Version(number); err != nil {
			return err
		}
		if number == p.Default {
			return fault.New(fault.InUse, "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.DeleteFunc(p.Versions, func(v PolicyVersion) bool { return v.Number == number })
		return nil
	})
	return err
}

// TagPolicy adds tags to a policy, in place of those with the same key.
func (d *Directory) TagPolicy(ctx context.Context, account, name string, tags []Tag) error {
	_, err := d.updatePolicy(ctx, account, name, func(p *ManagedPolicy) (err error) {
		p.Tags, err = mergeTags(p.Tags, tags)
		return err
	})
	return err
}

// UntagPolicy removes tags by key, whatever its case; keys that are absent are no error.
func (d *Directory) UntagPolicy(ctx context.Context, account, name string, keys []string) error {
	_, err := d.updatePolicy(ctx, account, name, func(p *ManagedPolicy) error {
		p.Tags = withoutTags(p.Tags, keys)
		return nil
	})
	return err
}

// DeleteManagedPolicy removes a policy that nothing is attached to and that has no version but the one in force.
func (d *Directory) DeleteManagedPolicy(ctx context.Context, account, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		p, key, err := d.readPolicy(tx, account, name)
		if err != nil {
			return err
		}
		if err := d.inUse(tx, p); err != nil {
			return err
		}
		if len(p.Versions) > 1 {
			return fault.New(fault.InUse, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		return d.policies.Delete(tx, key)
	})
}

func (d *Directory) updatePolicy(ctx context.Context, account, name string, change func(*ManagedPolicy) error) (*ManagedPolicy, error) {
	var changed *ManagedPolicy
	err := d.store.Update(ctx, func(tx *store.Tx) error {
		former, key, err := d.readPolicy(tx, account, name)
		if err != nil {
			return err
		}
		changed = former.clone()
		if err := change(changed); err != nil {
			return err
		}
		return d.policies.Put(tx, key, changed)
	})
	return changed, err
}

// readPolicy is anyPolicy for who wants to change it: what every account has, none changes.
func (d *Directory) readPolicy(tx *store.Tx, account, name string) (p *ManagedPolicy, key string, err error) {
	if strings.HasPrefix(name, AWSPolicies) {
		return nil, "", fault.New(fault.Denied, "The policy %.2048s is there in every account: it cannot be changed.", name)
	}
	return d.anyPolicy(tx, account, name)
}

// anyPolicy is ManagedPolicy in a transaction, with the key of its record.
func (d *Directory) anyPolicy(tx *store.Tx, account, name string) (p *ManagedPolicy, key string, err error) {
	if strings.HasPrefix(name, AWSPolicies) {
		p, err = awsPolicyByARN(name)
		return p, "", err
	}
	if key, err = policyKey(account, name); err != nil {
		return nil, "", err
	}
	p, ok, err := d.policies.Read(tx, key)
	p, err = named(p, ok, name, err)
	return p, key, err
}
