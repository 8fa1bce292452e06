package main

import (
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/directory"
)

func newRecover() *cobra.Command {
	var dir, account string
	cmd := &cobra.Command{
		Use:   "recover --dir DIR",
		Short: "Write a new administrator key while the server is stopped; former keys of the administrator are deleted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, cfg, master, err := openServerDir(dir)
			if err != nil {
				return err
			}
			var key *directory.AccessKey
			err = offline(cmd.Context(), d, master, func(dir *directory.Directory) error {
				key, err = dir.RecoverAdministrator(cmd.Context(), firstOf(account, cfg.Account))
				return err
			})
			if err != nil {
				return err
			}
			file := administratorFile
			if key.Account != cfg.Account {
				file = "administrator-" + key.Account + ".env"
			}
			if err := d.putAdministrator(file, key, cfg.Region); err != nil {
				return err
			}
			return printf(cmd, "the new administrator key of account %s is in %s\n", key.Account, d.file(file))
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "folder that lanyard init made (required)")
	f.StringVar(&account, "account", "", "account whose administrator to recover; empty: the management account")
	require(cmd, "dir")
	return cmd
}
