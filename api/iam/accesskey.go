package iam

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
)

type accessKey struct {
	UserName        string      `xml:"UserName"`
	AccessKeyID     string      `xml:"AccessKeyId"`
	Status          string      `xml:"Status"`
	SecretAccessKey string      `xml:"SecretAccessKey,omitempty"`
	CreateDate      api.Instant `xml:"CreateDate"`
}

func fromAccessKey(k *directory.AccessKey) accessKey {
	return accessKey{UserName: k.User, AccessKeyID: k.ID, Status: status(k.Active), CreateDate: api.Instant(k.Created)}
}

const active = "Active"

func status(isActive bool) string {
	if isActive {
		return active
	}
	return "Inactive"
}

type accessKeyResult struct {
	AccessKey accessKey `xml:"AccessKey"`
}

// authorizeImplied is authorize for a call that may leave the user out.
func (d *door) authorizeImplied(c *api.Call) (directory.Who, error) {
	if err := implied(c); err != nil {
		return directory.Who{}, err
	}
	return d.users.authorize(c)
}

func (d *door) createAccessKey(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.authorizeImplied(c)
	if err != nil {
		return nil, err
	}
	made, err := d.directory.CreateAccessKey(ctx, who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	out := fromAccessKey(made)
	out.SecretAccessKey = string(made.Secret)
	return accessKeyResult{out}, nil
}

type accessKeysResult struct {
	AccessKeyMetadata struct {
		Members []accessKey `xml:"member"`
	} `xml:"AccessKeyMetadata"`
	api.Page
}

func (d *door) listAccessKeys(_ context.Context, c *api.Call) (any, error) {
	who, err := d.authorizeImplied(c)
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	shown, page := paged(c, d.directory.AccessKeys(u), func(k *directory.AccessKey) string {
		return k.Created.UTC().Format("20060102T150405.000000000Z") + k.ID // in the order of the list
	})
	out := accessKeysResult{Page: page}
	for _, k := range shown {
		out.AccessKeyMetadata.Members = append(out.AccessKeyMetadata.Members, fromAccessKey(k))
	}
	return out, nil
}

func (d *door) updateAccessKey(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.authorizeImplied(c)
	if err != nil {
		return nil, err
	}
	if c.Form.Get("Status") == "Expired" { // a word of the model that is for answers alone
		return nil, fault.New(fault.Invalid, "1 validation error detected: Value 'Expired' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]")
	}
	return nil, d.directory.ActivateAccessKey(ctx, who.Account, who.Name, c.Form.Get("AccessKeyId"), c.Form.Get("Status") == active)
}

func (d *door) deleteAccessKey(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.authorizeImplied(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteAccessKey(ctx, who.Account, who.Name, c.Form.Get("AccessKeyId"))
}

type accessKeyLastUsedResult struct {
	UserName          string            `xml:"UserName"`
	AccessKeyLastUsed accessKeyLastUsed `xml:"AccessKeyLastUsed"`
}

type accessKeyLastUsed struct {
	LastUsedDate *api.Instant `xml:"LastUsedDate"`
	ServiceName  string       `xml:"ServiceName"`
	Region       string       `xml:"Region"`
}

// getAccessKeyLastUsed finds a key's user by the key. A key of another account is none, to whoever asks.
func (d *door) getAccessKeyLastUsed(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	id := c.Form.Get("AccessKeyId")
	key, u, err := d.directory.AccessKey(id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	resource := arn.User(c.Caller.Account, "/", "*").String()
	known := err == nil && key.Account == c.Caller.Account
	if known {
		resource = u.ARN().String()
	}
	if err := c.Authorize("iam:GetAccessKeyLastUsed", resource); err != nil {
		return nil, err
	}
	if !known {
		return nil, fault.New(fault.Denied, "The access key %.128q is none of this account.", id)
	}
	seen, err := d.directory.Usage(id)
	if err != nil {
		return nil, err
	}
	if seen == nil {
		return accessKeyLastUsedResult{u.Name, accessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}}, nil
	}
	at := api.Instant(seen.At)
	return accessKeyLastUsedResult{u.Name, accessKeyLastUsed{&at, seen.Service, seen.Region}}, nil
}
