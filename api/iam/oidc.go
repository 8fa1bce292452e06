package iam

import (
	"context"
	"slices"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

// providerRows are the operations on OIDC providers.
func (d *door) providerRows() []api.Operation {
	return []api.Operation{
		{Name: "CreateOpenIDConnectProvider", Serve: d.createProvider},
		{Name: "GetOpenIDConnectProvider", ReadOnly: true, Serve: d.getProvider},
		{Name: "ListOpenIDConnectProviders", ReadOnly: true, Serve: d.listProviders},
		{Name: "DeleteOpenIDConnectProvider", Serve: d.deleteProvider},
		{Name: "UpdateOpenIDConnectProviderThumbprint", Serve: d.updateThumbprint},
		{Name: "AddClientIDToOpenIDConnectProvider", Serve: d.addClientID},
		{Name: "RemoveClientIDFromOpenIDConnectProvider", Serve: d.removeClientID},
		{Name: "TagOpenIDConnectProvider", Serve: d.tagProvider},
		{Name: "UntagOpenIDConnectProvider", Serve: d.untagProvider},
		{Name: "ListOpenIDConnectProviderTags", ReadOnly: true, Serve: d.listProviderTags},
	}
}

// noteProvider is noteParameters for operations that have these lists too.
func noteProvider(c *api.Call) {
	noteParameters(c)
	parameters, _ := c.Event.RequestParameters.(map[string]any)
	for _, name := range []string{"ClientIDList", "ThumbprintList"} {
		if given := texts(c, name); len(given) > 0 && len(given) <= maxTexts {
			parameters[recorded(name)] = given
		}
	}
}

// maxTexts bounds what one call may bring of client ids: more than a provider may have.
const maxTexts = 200

// authorizeProvider asks for an action on the provider that the call names, and returns the provider's issuer.
func (d *door) authorizeProvider(c *api.Call, action string, extra ...policy.Entry) (issuer string, err error) {
	noteProvider(c)
	text := c.Form.Get("OpenIDConnectProviderArn")
	name, err := arn.Parse(text)
	issuer, ok := name.Issuer()
	if err != nil || !ok {
		return "", fault.New(fault.BadState, "ARN %.2048s is not valid.", text)
	}
	return issuer, c.Authorize(action, text, extra...)
}

// findProvider authorizes an action that reads a provider, and returns the provider.
func (d *door) findProvider(c *api.Call, action string) (*directory.OIDCProvider, error) {
	issuer, err := d.authorizeProvider(c, action)
	if err != nil {
		return nil, err
	}
	return d.directory.OIDCProvider(c.Caller.Account, issuer)
}

// checkClientIDs refuses the audiences that tokens of another kind have. A token with one of them must not be good here, so
// a provider that accepts it would promise what nothing keeps.
func checkClientIDs(ids ...string) error {
	for _, id := range ids {
		if slices.Contains([]string{registry.PodAudience, registry.ConnectorAudience}, id) {
			return fault.New(fault.Invalid, "client id %q: tokens with this audience are accepted nowhere but where they are for; choose another, such as %s", id, registry.AgentAudience)
		}
	}
	return nil
}

type createProviderResult struct {
	ARN  string `xml:"OpenIDConnectProviderArn"`
	Tags *tags  `xml:"Tags"`
}

func (d *door) createProvider(ctx context.Context, c *api.Call) (any, error) {
	noteProvider(c)
	url := c.Form.Get("Url")
	issuer, err := directory.ParseIssuer(url)
	if err != nil {
		return nil, err
	}
	tagList := toTags(c)
	resource := arn.OIDCProvider(c.Caller.Account, issuer).String()
	actions := []string{"iam:CreateOpenIDConnectProvider"}
	if len(tagList) > 0 {
		actions = append(actions, "iam:TagOpenIDConnectProvider")
	}
	for _, action := range actions {
		if err := c.Authorize(action, resource, api.RequestTags(tagList)...); err != nil {
			return nil, err
		}
	}
	in := directory.NewOIDCProvider{
		Account: c.Caller.Account, URL: url, ClientIDs: texts(c, "ClientIDList"), Thumbprints: texts(c, "ThumbprintList"), Tags: tagList,
	}
	if err := checkClientIDs(in.ClientIDs...); err != nil {
		return nil, err
	}
	made, err := d.directory.CreateOIDCProvider(ctx, in)
	if err != nil {
		return nil, err
	}
	return createProviderResult{made.ARN().String(), fromTags(made.Tags)}, nil
}

type providerResult struct {
	URL         string      `xml:"Url"`
	ClientIDs   names       `xml:"ClientIDList"`
	Thumbprints names       `xml:"ThumbprintList"`
	CreateDate  api.Instant `xml:"CreateDate"`
	Tags        *tags       `xml:"Tags"`
}

// getProvider answers the URL without its scheme, as IAM does.
func (d *door) getProvider(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findProvider(c, "iam:GetOpenIDConnectProvider")
	if err != nil {
		return nil, err
	}
	return providerResult{p.Issuer, names{p.ClientIDs}, names{p.Thumbprints}, api.Instant(p.Created), fromTags(p.Tags)}, nil
}

type providersResult struct {
	Members []struct {
		ARN string `xml:"Arn"`
	} `xml:"OpenIDConnectProviderList>member"`
}

func (d *door) listProviders(_ context.Context, c *api.Call) (any, error) {
	noteProvider(c)
	if err := c.Authorize("iam:ListOpenIDConnectProviders", "*"); err != nil {
		return nil, err
	}
	found, err := d.directory.OIDCProviders(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	var out providersResult
	for _, p := range found {
		out.Members = append(out.Members, struct {
			ARN string `xml:"Arn"`
		}{p.ARN().String()})
	}
	return out, nil
}

func (d *door) deleteProvider(ctx context.Context, c *api.Call) (any, error) {
	issuer, err := d.authorizeProvider(c, "iam:DeleteOpenIDConnectProvider")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteOIDCProvider(ctx, c.Caller.Account, issuer)
}

func (d *door) updateThumbprint(ctx context.Context, c *api.Call) (any, error) {
	issuer, err := d.authorizeProvider(c, "iam:UpdateOpenIDConnectProviderThumbprint")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.UpdateThumbprints(ctx, c.Caller.Account, issuer, texts(c, "ThumbprintList"))
}

func (d *door) addClientID(ctx context.Context, c *api.Call) (any, error) {
	issuer, err := d.authorizeProvider(c, "iam:AddClientIDToOpenIDConnectProvider")
	if err != nil {
		return nil, err
	}
	id := c.Form.Get("ClientID")
	if err := checkClientIDs(id); err != nil {
		return nil, err
	}
	return nil, d.directory.AddClientID(ctx, c.Caller.Account, issuer, id)
}

func (d *door) removeClientID(ctx context.Context, c *api.Call) (any, error) {
	issuer, err := d.authorizeProvider(c, "iam:RemoveClientIDFromOpenIDConnectProvider")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.RemoveClientID(ctx, c.Caller.Account, issuer, c.Form.Get("ClientID"))
}

func (d *door) tagProvider(ctx context.Context, c *api.Call) (any, error) {
	return nil, tagging(c, func(about ...policy.Entry) (func([]directory.Tag) error, error) {
		issuer, err := d.authorizeProvider(c, "iam:TagOpenIDConnectProvider", about...)
		return func(tags []directory.Tag) error {
			return d.directory.TagOIDCProvider(ctx, c.Caller.Account, issuer, tags)
		}, err
	})
}

func (d *door) untagProvider(ctx context.Context, c *api.Call) (any, error) {
	return nil, untagging(c, func(about ...policy.Entry) (func([]string) error, error) {
		issuer, err := d.authorizeProvider(c, "iam:UntagOpenIDConnectProvider", about...)
		return func(keys []string) error { return d.directory.UntagOIDCProvider(ctx, c.Caller.Account, issuer, keys) }, err
	})
}

func (d *door) listProviderTags(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findProvider(c, "iam:ListOpenIDConnectProviderTags")
	if err != nil {
		return nil, err
	}
	return pageOfTags(c, p.Tags), nil
}
