package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
)

func newAccount() *cobra.Command {
	cmd := group("account", "Accounts")
	cmd.AddCommand(newAccountCreate(), newTrustPolicy(), newAccountVerify())
	return cmd
}

// awsBehind is what the server tells of the AWS account behind an account.
type awsBehind struct {
	Region, Endpoint, ExternalID string
	NoVerify                     bool
}

func newAccountCreate() *cobra.Command {
	var id, region, endpoint string
	var aws, noVerify bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an account; its administrator's key is printed this once",
		Long: "Create an account. With --aws its roles are those of the AWS account of that number, and pods get their credentials from AWS's STS.\n" +
			"The server needs an identity at AWS for that: it is found as the AWS SDKs find theirs, in the environment of `lanyard server`.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := map[string]any{"name": args[0], "accountId": id}
			switch {
			case aws && (id == "" || region == ""):
				return fault.New(fault.Invalid, "--aws needs --account-id and --region: the AWS account's number, and whose STS is asked")
			case aws:
				in["aws"] = map[string]any{"region": region, "endpoint": endpoint, "noVerify": noVerify}
			case region != "" || endpoint != "" || noVerify:
				return fault.New(fault.Invalid, "--region, --endpoint and --no-verify go with --aws")
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var out struct {
				AccountID, AccessKeyID, SecretAccessKey string
				AWS                                     *awsBehind
			}
			if err := c.call(cmd.Context(), "lanyard", http.MethodPost, "/lanyard/v1/accounts", in, &out); err != nil {
				return err
			}
			err = printf(cmd, "account           %s\nadministrator     AWS_ACCESS_KEY_ID=%s\n                  AWS_SECRET_ACCESS_KEY=%s\n",
				out.AccountID, out.AccessKeyID, out.SecretAccessKey)
			if err != nil || out.AWS == nil {
				return err
			}
			return printf(cmd, "external id       %s\nThe key is good at Lanyard alone, not at AWS. With it, `lanyard account trust-policy` prints what roles at AWS have to say.\n",
				out.AWS.ExternalID)
		},
	}
	f := cmd.Flags()
	f.StringVar(&id, "id", "", "the account's 12 digits; empty: random")
	f.StringVar(&id, "account-id", "", "the same as --id")
	f.BoolVar(&aws, "aws", false, "the AWS account of that number has the roles")
	f.StringVar(&region, "region", "", "with --aws: whose STS is asked, and what pods are told")
	f.StringVar(&endpoint, "endpoint", "", "with --aws: another STS, by https; empty: AWS's of the region")
	f.BoolVar(&noVerify, "no-verify", false, "with --aws: do not try roles at AWS before they are associated")
	dirFlag(cmd)
	return cmd
}

// ownAccount is what the server tells of the caller's account.
type ownAccount struct {
	AccountID, Region     string
	PrincipalARN, Problem string // who Lanyard is at AWS, or why that is not known
	AWS                   *awsBehind
}

// behind asks for the caller's account, which has to have AWS behind it.
func (c *client) behind(ctx context.Context) (*ownAccount, error) {
	var out ownAccount
	if err := c.call(ctx, "lanyard", http.MethodGet, "/lanyard/v1/account", nil, &out); err != nil {
		return nil, err
	}
	if out.AWS == nil {
		return nil, fault.New(fault.Invalid, "account %s has no AWS account behind it", out.AccountID)
	}
	return &out, nil
}
