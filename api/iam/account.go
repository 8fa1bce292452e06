package iam

import (
	"context"

	"github.com/openlanyard/lanyard/api"
)

type summaryResult struct {
	SummaryMap struct {
		Entries []summaryEntry `xml:"entry"`
	} `xml:"SummaryMap"`
}

type summaryEntry struct {
	Key   string `xml:"key"`
	Value int    `xml:"value"`
}

func (d *door) getAccountSummary(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	if err := c.Authorize("iam:GetAccountSummary", "*"); err != nil {
		return nil, err
	}
	counts, err := d.directory.Summary(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	var out summaryResult
	for _, e := range counts {
		out.SummaryMap.Entries = append(out.SummaryMap.Entries, summaryEntry{e.Name, e.Value})
	}
	return out, nil
}

type aliasesResult struct {
	AccountAliases names `xml:"AccountAliases"`
	api.Page
}

func (d *door) listAccountAliases(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	if err := c.Authorize("iam:ListAccountAliases", "*"); err != nil {
		return nil, err
	}
	var all []string
	if alias := d.directory.Alias(c.Caller.Account); alias != "" {
		all = append(all, alias)
	}
	shown, page := paged(c, all, func(alias string) string { return alias })
	return aliasesResult{names{shown}, page}, nil
}

func (d *door) createAccountAlias(ctx context.Context, c *api.Call) (any, error) {
	return d.alias(ctx, c, d.directory.CreateAlias)
}

func (d *door) deleteAccountAlias(ctx context.Context, c *api.Call) (any, error) {
	return d.alias(ctx, c, d.directory.DeleteAlias)
}

func (d *door) alias(ctx context.Context, c *api.Call, change func(ctx context.Context, account, alias string) error) (any, error) {
	noteParameters(c)
	if err := c.Authorize("iam:"+c.Operation.Name, "*"); err != nil {
		return nil, err
	}
	return nil, change(ctx, c.Caller.Account, c.Form.Get("AccountAlias"))
}
