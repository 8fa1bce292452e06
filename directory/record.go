package directory

import (
	"encoding/json"
	"time"

	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// The stored forms, each with its version. A changed form is a new version with a new type; the old one stays readable.

// accountV2 has, beyond version 1, the AWS account: a program that knows version 1 would look for its roles here.
type accountV2 struct {
	accountV1
	AWS *awsAccountV1 `json:"aws,omitempty"`
}

type accountV1 struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Management bool      `json:"management,omitempty"`
	Created    time.Time `json:"created"`
}

type awsAccountV1 struct {
	Region     string `json:"region"`
	Endpoint   string `json:"endpoint,omitempty"`
	ExternalID string `json:"externalId"`
	Unverified bool   `json:"unverified,omitempty"`
}

var accountCodec = store.Codec[*Account]{
	Version: 2,
	Encode: func(_ *store.Sealer, _ string, a *Account) ([]byte, error) {
		return json.Marshal(accountV2{accountV1{a.ID, a.Name, a.Management, a.Created}, (*awsAccountV1)(a.AWS)})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Account, error) {
		var r accountV2 // of V1: without
		err := json.Unmarshal(data, &r)
		return &Account{r.ID, r.Name, r.Management, r.Created, (*AWSAccount)(r.AWS)}, err
	},
}

type inlineV1 struct {
	Name     string `json:"name"`
	Document string `json:"document"`
}

// TagV1 is a tag as records keep it; registry's records have the same.
type TagV1 struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// identityV3 is the part that the records of users, groups and roles have in common. V1 had neither attachments nor a
// boundary, V2 attachments alone. A program that does not know one of them must not take such an identity for one without:
// a Deny may be attached.
type identityV3 struct {
	Account  string     `json:"account"`
	Path     string     `json:"path"`
	Name     string     `json:"name"`
	ID       string     `json:"id"`
	Created  time.Time  `json:"created"`
	Inline   []inlineV1 `json:"inline,omitempty"`
	Tags     []TagV1    `json:"tags,omitempty"`
	Attached []string   `json:"attached,omitempty"`
	Boundary string     `json:"boundary,omitempty"`
}

func encodeIdentity(i *Identity) identityV3 {
	return identityV3{
		i.Account, i.Path, i.Name, i.ID, i.Created, encodeInline(i.Inline), EncodeTags(i.Tags), i.Attached, i.Boundary,
	}
}

func (r identityV3) decode() (Identity, error) {
	inline, err := decodeInline(r.Inline)
	return Identity{
		Account: r.Account, Path: r.Path, Name: r.Name, ID: r.ID, Created: r.Created, Inline: inline, Attached: r.Attached,
		Boundary: r.Boundary, Tags: DecodeTags(r.Tags),
	}, err
}

// userV3 has groups, too, of which the same is true.
type userV3 struct {
	identityV3
	Groups []string `json:"groups,omitempty"`
}

var userCodec = store.Codec[*User]{
	Version: 3,
	Encode: func(_ *store.Sealer, _ string, u *User) ([]byte, error) {
		return json.Marshal(userV3{encodeIdentity(&u.Identity), u.Groups})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*User, error) {
		var r userV3
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		i, err := r.decode()
		return (&User{i, r.Groups}).sealed(), err
	},
}

var groupCodec = store.Codec[*Group]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, g *Group) ([]byte, error) {
		return json.Marshal(encodeIdentity(&g.Identity))
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Group, error) {
		var r identityV3
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		i, err := r.decode()
		return (&Group{i}).sealed(), err
	},
}

type accessKeyV1 struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	User    string    `json:"user"`
	Secret  []byte    `json:"secret"` // sealed under the master key
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
}

var accessKeyCodec = store.Codec[*AccessKey]{
	Version: 1,
	Encode: func(s *store.Sealer, key string, k *AccessKey) ([]byte, error) {
		sealed := s.Seal("accesskey/"+key, []byte(k.Secret))
		return json.Marshal(accessKeyV1{k.ID, k.Account, k.User, sealed, k.Active, k.Created})
	},
	Decode: func(s *store.Sealer, key string, _ int, data []byte) (*AccessKey, error) {
		var r accessKeyV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		secret, err := s.Open("accesskey/"+key, r.Secret)
		if err != nil {
			return nil, err
		}
		return &AccessKey{ID: r.ID, Account: r.Account, User: r.User, Secret: Secret(secret), Active: r.Active, Created: r.Created}, nil
	},
}

type roleV3 struct {
	identityV3
	Description string `json:"description,omitempty"`
	MaxSession  int    `json:"maxSessionSeconds"`
	Trust       string `json:"trust"`
	Cluster     string `json:"cluster,omitempty"`
}

var roleCodec = store.Codec[*Role]{
	Version: 3,
	Encode: func(_ *store.Sealer, _ string, r *Role) ([]byte, error) {
		return json.Marshal(roleV3{encodeIdentity(&r.Identity), r.Description, int(r.MaxSession.Seconds()), r.Trust.Text(), r.Cluster})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Role, error) {
		var r roleV3
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		trust, err := policy.Stored(policy.Trust, r.Trust)
		if err != nil {
			return nil, err
		}
		i, err := r.decode()
		return (&Role{i, r.Description, time.Duration(r.MaxSession) * time.Second, trust, r.Cluster}).sealed(), err
	},
}

type policyV1 struct {
	Account     string            `json:"account"`
	Path        string            `json:"path"`
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	Description string            `json:"description,omitempty"`
	Created     time.Time         `json:"created"`
	Versions    []policyVersionV1 `json:"versions"`
	Default     int               `json:"default"`
	Made        int               `json:"made"`
	Tags        []TagV1           `json:"tags,omitempty"`
}

type policyVersionV1 struct {
	Number   int       `json:"number"`
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

var policyCodec = store.Codec[*ManagedPolicy]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, p *ManagedPolicy) ([]byte, error) {
		var versions []policyVersionV1
		for _, v := range p.Versions {
			versions = append(versions, policyVersionV1{v.Number, v.Document.Text(), v.Created})
		}
		return json.Marshal(policyV1{
			p.Account, p.Path, p.Name, p.ID, p.Description, p.Created, versions, p.Default, p.Made, EncodeTags(p.Tags),
		})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*ManagedPolicy, error) {
		var r policyV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		p := &ManagedPolicy{
			Account: r.Account, Path: r.Path, Name: r.Name, ID: r.ID, Description: r.Description, Created: r.Created,
			Default: r.Default, Made: r.Made, Tags: DecodeTags(r.Tags),
		}
		for _, v := range r.Versions {
			doc, err := policy.Parse(policy.Identity, v.Document)
			if err != nil {
				return nil, err
			}
			p.Versions = append(p.Versions, PolicyVersion{v.Number, doc, v.Created})
		}
		_, err := p.Version(p.Default)
		return p, err
	},
}

type usageV1 struct {
	At      time.Time `json:"at"`
	Service string    `json:"service"`
	Region  string    `json:"region"`
}

var usageCodec = store.Codec[*Usage]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, u *Usage) ([]byte, error) {
		return json.Marshal(usageV1(*u))
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Usage, error) {
		var r usageV1
		err := json.Unmarshal(data, &r)
		return (*Usage)(&r), err
	},
}

type aliasV1 struct {
	Name    string `json:"name"`
	Account string `json:"account"`
}

var aliasCodec = store.Codec[*alias]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, a *alias) ([]byte, error) {
		return json.Marshal(aliasV1(*a))
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*alias, error) {
		var r aliasV1
		err := json.Unmarshal(data, &r)
		return (*alias)(&r), err
	},
}

func encodeInline(in []InlinePolicy) []inlineV1 {
	var out []inlineV1
	for _, p := range in {
		out = append(out, inlineV1{p.Name, p.Document.Text()})
	}
	return out
}

func decodeInline(in []inlineV1) ([]InlinePolicy, error) {
	var out []InlinePolicy
	for _, p := range in {
		doc, err := policy.Parse(policy.Identity, p.Document)
		if err != nil {
			return nil, err
		}
		out = append(out, InlinePolicy{p.Name, doc})
	}
	return out, nil
}

// EncodeTags returns tags in their stored form.
func EncodeTags(in []Tag) []TagV1 {
	var out []TagV1
	for _, t := range in {
		out = append(out, TagV1(t))
	}
	return out
}

// DecodeTags reads the stored form of tags.
func DecodeTags(in []TagV1) []Tag {
	var out []Tag
	for _, t := range in {
		out = append(out, Tag(t))
	}
	return out
}
