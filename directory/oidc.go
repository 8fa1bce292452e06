package directory

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// OIDCProvider is an issuer of tokens whose holders may become roles of the account, if the roles say so
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html). A stored one is never changed in
// place. It has no keys: whoever verifies a token finds them.
type OIDCProvider struct {
	Account     string
	Issuer      string   // a token's iss without https://; it differs from the next by one character, case and slashes included
	ClientIDs   []string // audiences that are accepted, in the order in which they were added
	Thumbprints []string // SHA-1 of certificates that may stand above the issuer's, in lower-case hex, as they were given
	Tags        []Tag    // by key
	Created     time.Time
}

// ClusterTag is the tag of an OIDC provider that says whose keys verify its tokens, where more than one could: the name of
// the account's cluster, or NoCluster.
const (
	ClusterTag = "lanyard:cluster"
	NoCluster  = "-" // which no cluster is called: the issuer's own keys, whichever clusters say that they are the issuer
)

// IAM's quotas of OIDC providers.
const (
	maxProviders   = 100
	maxClientIDs   = 100
	maxThumbprints = 5
)

// URL returns the issuer as tokens spell it.
func (p *OIDCProvider) URL() string { return scheme + p.Issuer }

// ARN returns the provider's name.
func (p *OIDCProvider) ARN() arn.ARN { return arn.OIDCProvider(p.Account, p.Issuer) }

// Cluster returns what the provider's ClusterTag says; "" is nothing.
func (p *OIDCProvider) Cluster() string {
	for _, t := range p.Tags {
		if strings.EqualFold(t.Key, ClusterTag) {
			return t.Value
		}
	}
	return ""
}

func (p *OIDCProvider) clone() *OIDCProvider {
	c := *p
	c.ClientIDs, c.Thumbprints, c.Tags = slices.Clone(p.ClientIDs), slices.Clone(p.Thumbprints), slices.Clone(p.Tags)
	return &c
}

const scheme = "https://"

// issuerForm leaves out whatever could make two readers understand two hosts, or one issuer have two spellings: ports,
// user names, queries, fragments, percent signs, capitals in the host, and what policies take for patterns or variables.
var issuerForm = regexp.MustCompile(`^https://[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(/[A-Za-z0-9._~=@+,-]+)*/?$`)

// ParseIssuer reads the URL of an OIDC provider and returns it without its scheme. The error, of kind Invalid, is IAM's.
func ParseIssuer(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || len(text) > 255 || !issuerForm.MatchString(text) || u.Scheme+"://"+u.Host+u.Path != text || hasDots(u.Path) {
		return "", fault.New(fault.Invalid, "Invalid Open ID Connect Provider URL")
	}
	return strings.TrimPrefix(text, scheme), nil
}

// hasDots reports whether a path has a segment that programs resolve.
func hasDots(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

var thumbprint = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)

func parseThumbprints(list []string) ([]string, error) {
	if len(list) > maxThumbprints {
		return nil, fault.New(fault.BadState, "Thumbprint list must contain fewer than %d entries.", maxThumbprints)
	}
	parsed := make([]string, 0, len(list))
	for _, text := range list {
		if !thumbprint.MatchString(text) {
			return nil, fault.New(fault.Invalid, "thumbprint %.100q: 40 hexadecimal digits are accepted, the SHA-1 of a certificate", text)
		}
		if text = strings.ToLower(text); !slices.Contains(parsed, text) {
			parsed = append(parsed, text)
		}
	}
	return parsed, nil
}

// addClientID is no error for one that is there, as at IAM.
func (p *OIDCProvider) addClientID(id string) error {
	switch n := len([]rune(id)); {
	case n < 1 || n > 255:
		return fault.New(fault.Invalid, "client id %.300q: 1 to 255 characters are accepted", id)
	case slices.Contains(p.ClientIDs, id):
		return nil
	case len(p.ClientIDs) >= maxClientIDs:
		return fault.New(fault.Limit, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs)
	}
	p.ClientIDs = append(p.ClientIDs, id)
	return nil
}

// NewOIDCProvider is what CreateOIDCProvider takes.
type NewOIDCProvider struct {
	Account, URL           string
	ClientIDs, Thumbprints []string
	Tags                   []Tag
}

// CreateOIDCProvider stores a provider and returns it. It does not ask the issuer anything.
func (d *Directory) CreateOIDCProvider(ctx context.Context, in NewOIDCProvider) (*OIDCProvider, error) {
	issuer, err := ParseIssuer(in.URL)
	if err != nil {
		return nil, err
	}
	p := &OIDCProvider{Account: in.Account, Issuer: issuer, Created: d.now()}
	for _, id := range in.ClientIDs {
		if err := p.addClientID(id); err != nil {
			return nil, err
		}
	}
	if p.Thumbprints, err = parseThumbprints(in.Thumbprints); err != nil {
		return nil, err
	}
	if p.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	return p, d.store.Update(ctx, func(tx *store.Tx) error {
		if _, taken, err := d.issuers.Read(tx, p.key()); err != nil {
			return err
		} else if taken {
			return fault.New(fault.Exists, "Provider with url %s already exists.", in.URL)
		}
		if d.issuers.ReadCount(tx, in.Account+"/") >= maxProviders {
			return fault.New(fault.Limit, "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
		}
		return d.issuers.Put(tx, p.key(), p)
	})
}

func (p *OIDCProvider) key() string { return p.Account + "/" + p.Issuer }

// OIDCProvider returns the account's provider of the issuer, which is given without its scheme.
func (d *Directory) OIDCProvider(account, issuer string) (*OIDCProvider, error) {
	p, ok, err := d.issuers.Get(account + "/" + issuer)
	if err == nil && !ok {
		err = noProvider(account, issuer)
	}
	return p, err
}

func noProvider(account, issuer string) error {
	return fault.New(fault.NotFound, "OpenIDConnect Provider not found for arn %s", arn.OIDCProvider(account, issuer))
}

// OIDCProviders returns the account's providers, by issuer. Their number is bounded.
func (d *Directory) OIDCProviders(account string) ([]*OIDCProvider, error) {
	return page(d.issuers, account, "", 0, func(*OIDCProvider) bool { return true })
}

// DeleteOIDCProvider removes a provider; one that is not there is no error, as at IAM. Roles that name it stay as they are,
// and nobody becomes them by its tokens any more.
func (d *Directory) DeleteOIDCProvider(ctx context.Context, account, issuer string) error {
	key := account + "/" + issuer
	return d.store.Update(ctx, func(tx *store.Tx) error {
		if _, ok, err := d.issuers.Read(tx, key); err != nil || !ok {
			return err
		}
		return d.issuers.Delete(tx, key)
	})
}

// AddClientID accepts one more audience; one that is accepted already is no error.
func (d *Directory) AddClientID(ctx context.Context, account, issuer, id string) error {
	return d.updateProvider(ctx, account, issuer, func(p *OIDCProvider) error { return p.addClientID(id) })
}

// RemoveClientID accepts an audience no longer; one that was not accepted is no error.
func (d *Directory) RemoveClientID(ctx context.Context, account, issuer, id string) error {
	return d.updateProvider(ctx, account, issuer, func(p *OIDCProvider) error {
		p.ClientIDs = slices.DeleteFunc(p.ClientIDs, func(o string) bool { return o == id })
		return nil
	})
}

// UpdateThumbprints replaces a provider's list of certificates.
func (d *Directory) UpdateThumbprints(ctx context.Context, account, issuer string, list []string) error {
	parsed, err := parseThumbprints(list)
	if err != nil {
		return err
	}
	return d.updateProvider(ctx, account, issuer, func(p *OIDCProvider) error {
		p.Thumbprints = parsed
		return nil
	})
}

// TagOIDCProvider adds tags to a provider, in place of those with the same key.
func (d *Directory) TagOIDCProvider(ctx context.Context, account, issuer string, tags []Tag) error {
	return d.updateProvider(ctx, account, issuer, func(p *OIDCProvider) (err error) {
		p.Tags, err = mergeTags(p.Tags, tags)
		return err
	})
}

// UntagOIDCProvider removes tags by key, whatever its case; keys that are absent are no error.
func (d *Directory) UntagOIDCProvider(ctx context.Context, account, issuer string, keys []string) error {
	return d.updateProvider(ctx, account, issuer, func(p *OIDCProvider) error {
		p.Tags = withoutTags(p.Tags, keys)
		return nil
	})
}

func (d *Directory) updateProvider(ctx context.Context, account, issuer string, change func(*OIDCProvider) error) error {
	key := account + "/" + issuer
	return d.store.Update(ctx, func(tx *store.Tx) error {
		former, ok, err := d.issuers.Read(tx, key)
		if err != nil {
			return err
		}
		if !ok {
			return noProvider(account, issuer)
		}
		p := former.clone()
		if err := change(p); err != nil {
			return err
		}
		return d.issuers.Put(tx, key, p)
	})
}

// The stored form.
type oidcProviderV1 struct {
	Account     string    `json:"account"`
	Issuer      string    `json:"issuer"`
	ClientIDs   []string  `json:"clientIds,omitempty"`
	Thumbprints []string  `json:"thumbprints,omitempty"`
	Tags        []TagV1   `json:"tags,omitempty"`
	Created     time.Time `json:"created"`
}

var oidcProviderCodec = store.Codec[*OIDCProvider]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, p *OIDCProvider) ([]byte, error) {
		return json.Marshal(oidcProviderV1{p.Account, p.Issuer, p.ClientIDs, p.Thumbprints, EncodeTags(p.Tags), p.Created})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*OIDCProvider, error) {
		var r oidcProviderV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		return &OIDCProvider{r.Account, r.Issuer, r.ClientIDs, r.Thumbprints, DecodeTags(r.Tags), r.Created}, nil
	},
}
