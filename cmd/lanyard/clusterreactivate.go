package main

import "github.com/spf13/cobra"

func newReactivate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reactivate NAME",
		Short: "Print a new activation pair for a cluster; its associations, sessions and keys stay until the pair is used",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			pair, err := c.reactivate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printf(cmd, "activation id     %s\nactivation code   %s\nexpires           %s\n",
				pair.ActivationID, pair.ActivationCode, moment(pair.ActivationExpiry))
		},
	}
	dirFlag(cmd)
	return cmd
}
