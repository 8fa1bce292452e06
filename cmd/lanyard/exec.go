package main

import (
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
)

func newExec() *cobra.Command {
	var e dev.Exec
	cmd := &cobra.Command{
		Use:   "exec --namespace NS --service-account SA -- COMMAND [ARG ...]",
		Short: "Run a command with the environment of a pod; it arranges, it confines nothing",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := dev.FindDir(cmd.Flag("dir").Value.String())
			if err != nil {
				return err
			}
			e.Dir, e.Command = d, args
			code, err := e.Run(cmd.Context())
			if err == nil && code != 0 {
				return status(code)
			}
			return err
		},
	}
	dirFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&e.Cluster, "cluster", dev.First, "practice cluster that the pod is in")
	f.StringVar(&e.Pod.Namespace, "namespace", "", "the pod's namespace (required)")
	f.StringVar(&e.Pod.ServiceAccount, "service-account", "", "the pod's service account (required)")
	f.StringVar(&e.Pod.Name, "pod", "", "the pod's name; empty: made from the service account's")
	require(cmd, "namespace", "service-account")
	return cmd
}
