package main

import (
	"log/slog"

	"github.com/spf13/cobra"
)

// link is the name that AWS's agent uses: one agent may take the other's place on a node.
const link = "pod-id-link0"

func newInitialize(logger func(*cobra.Command) (*slog.Logger, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "initialize",
		Short: "Give this node the addresses of the credentials endpoint (Linux, needs CAP_NET_ADMIN)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			return initialize(cmd.Context(), log)
		},
	}
}
