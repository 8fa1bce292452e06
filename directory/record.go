package directory

import (
	"encoding/json"
	"time"

	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// The stored forms, each with its version. A changed form is a new version with a new type; the old one stays readable.

type accountV1 struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Management bool      `json:"management,omitempty"`
	Created    time.Time `json:"created"`
}

var accountCodec = store.Codec[*Account]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, a *Account) ([]byte, error) {
		return json.Marshal(accountV1(*a))
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Account, error) {
		var r accountV1
		err := json.Unmarshal(data, &r)
		return (*Account)(&r), err
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

// userV2 is V1 and attachments. A program that knows V1 alone must not take such a user for one without: a Deny may be
// attached.
type userV2 struct {
	userV1
	Attached []string `json:"attached,omitempty"`
}

type userV1 struct {
	Account string     `json:"account"`
	Path    string     `json:"path"`
	Name    string     `json:"name"`
	ID      string     `json:"id"`
	Created time.Time  `json:"created"`
	Inline  []inlineV1 `json:"inline,omitempty"`
	Tags    []TagV1    `json:"tags,omitempty"`
}

var userCodec = store.Codec[*User]{
	Version: 2,
	Encode: func(_ *store.Sealer, _ string, u *User) ([]byte, error) {
		v1 := userV1{u.Account, u.Path, u.Name, u.ID, u.Created, encodeInline(u.Inline), EncodeTags(u.Tags)}
		return json.Marshal(userV2{v1, u.Attached})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*User, error) {
		var r userV2 // of V1: without attachments
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		inline, err := decodeInline(r.Inline)
		if err != nil {
			return nil, err
		}
		return (&User{
			Account: r.Account, Path: r.Path, Name: r.Name, ID: r.ID, Created: r.Created, Inline: inline, Tags: DecodeTags(r.Tags),
			Attached: r.Attached,
		}).sealed(), nil
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

// roleV2 is V1 and attachments, as userV2 is.
type roleV2 struct {
	roleV1
	Attached []string `json:"attached,omitempty"`
}

type roleV1 struct {
	Account     string     `json:"account"`
	Path        string     `json:"path"`
	Name        string     `json:"name"`
	ID          string     `json:"id"`
	Description string     `json:"description,omitempty"`
	Created     time.Time  `json:"created"`
	MaxSession  int        `json:"maxSessionSeconds"`
	Trust       string     `json:"trust"`
	Inline      []inlineV1 `json:"inline,omitempty"`
	Tags        []TagV1    `json:"tags,omitempty"`
	Cluster     string     `json:"cluster,omitempty"`
}

var roleCodec = store.Codec[*Role]{
	Version: 2,
	Encode: func(_ *store.Sealer, _ string, r *Role) ([]byte, error) {
		v1 := roleV1{
			Account: r.Account, Path: r.Path, Name: r.Name, ID: r.ID, Description: r.Description, Created: r.Created,
			MaxSession: int(r.MaxSession.Seconds()), Trust: r.Trust.Text(), Inline: encodeInline(r.Inline), Tags: EncodeTags(r.Tags),
			Cluster: r.Cluster,
		}
		return json.Marshal(roleV2{v1, r.Attached})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Role, error) {
		var r roleV2 // of V1: without attachments
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		trust, err := policy.Parse(policy.Trust, r.Trust)
		if err != nil {
			return nil, err
		}
		inline, err := decodeInline(r.Inline)
		if err != nil {
			return nil, err
		}
		return (&Role{
			Account: r.Account, Path: r.Path, Name: r.Name, ID: r.ID, Description: r.Description, Created: r.Created,
			MaxSession: time.Duration(r.MaxSession) * time.Second, Trust: trust, Inline: inline, Tags: DecodeTags(r.Tags),
			Cluster: r.Cluster, Attached: r.Attached,
		}).sealed(), nil
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
