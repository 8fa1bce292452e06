package main

import (
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
)

func newEnv() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the environment of the administrator of `lanyard dev`, for eval",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := dev.FindDir(cmd.Flag("dir").Value.String())
			if err != nil {
				return err
			}
			at, err := d.Addresses()
			if err != nil {
				return err
			}
			who, err := d.Administrator()
			if err != nil {
				return err
			}
			for _, v := range [][2]string{
				{"AWS_ENDPOINT_URL", at.Endpoint},
				{"AWS_ENDPOINT_URL_STS", at.Endpoint}, // Go's web identity reads this one alone
				{"AWS_ACCESS_KEY_ID", who.AccessKeyID},
				{"AWS_SECRET_ACCESS_KEY", who.SecretAccessKey},
				{"AWS_REGION", who.Region},
				{"AWS_DEFAULT_REGION", who.Region}, // boto3 reads this one alone
			} {
				if err := printf(cmd, "export %s=%s\n", v[0], shellQuote(v[1])); err != nil {
					return err
				}
			}
			return printf(cmd, "unset AWS_SESSION_TOKEN AWS_PROFILE\n")
		},
	}
	dirFlag(cmd)
	return cmd
}
