package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func newAccount() *cobra.Command {
	cmd := group("account", "Accounts")
	var id string
	create := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an account; its administrator's key is printed this once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var out struct{ AccountID, AccessKeyID, SecretAccessKey string }
			err = c.call(cmd.Context(), "lanyard", http.MethodPost, "/lanyard/v1/accounts", map[string]string{"name": args[0], "accountId": id}, &out)
			if err != nil {
				return err
			}
			return printf(cmd, "account           %s\nadministrator     AWS_ACCESS_KEY_ID=%s\n                  AWS_SECRET_ACCESS_KEY=%s\n",
				out.AccountID, out.AccessKeyID, out.SecretAccessKey)
		},
	}
	create.Flags().StringVar(&id, "id", "", "the account's 12 digits; empty: random")
	dirFlag(create)
	cmd.AddCommand(create)
	return cmd
}
