package main

import (
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/fault"
)

func newCluster() *cobra.Command {
	cmd := group("cluster", "Clusters")
	var name string
	create := &cobra.Command{
		Use:   "create --practice NAME",
		Short: "Create a practice cluster; the running `lanyard dev` serves it at once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := cmd.Flag("dir").Value.String()
			d, err := dev.FindDir(path)
			if err != nil {
				return err
			}
			c, err := devClient(path)
			if err != nil {
				return err
			}
			if err := createPractice(cmd, d, c, name); err != nil {
				return err
			}
			return printf(cmd, "cluster %s is ACTIVE; run pods in it with: lanyard exec --cluster %s --namespace NS --service-account SA -- COMMAND\n", name, name)
		},
	}
	create.Flags().StringVar(&name, "practice", "", "name of the practice cluster (required)")
	require(create, "practice")
	dirFlag(create)
	cmd.AddCommand(create, newClusterEndpoints(), newReactivate())
	return cmd
}

// createPractice keeps the cluster's key first and joins it then, so that one that was cut short can be finished.
func createPractice(cmd *cobra.Command, d dev.Dir, c *client, name string) error {
	p, err := d.Practice(name)
	switch {
	case fault.Is(err, fault.NotFound):
		who, err := d.Administrator()
		if err != nil {
			return err
		}
		if p, err = dev.NewPractice(name, who.Account); err != nil {
			return err
		}
		if err := d.PutPractice(p); err != nil {
			return err
		}
	case err != nil:
		return err
	case p.AgentRole != "" && cmd.Name() == "create":
		return fault.New(fault.Exists, "there is a practice cluster %q already", name)
	}
	if err := dev.JoinPractice(cmd.Context(), c.call, c.as, p); err != nil {
		return err
	}
	return d.PutPractice(p)
}
