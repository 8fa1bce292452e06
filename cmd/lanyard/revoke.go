package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// targets are the flags of `revoke`, each a kind of target.
var targets = []struct {
	kind  registry.TargetKind
	flag  string
	usage string
}{
	{registry.ByAssociation, "association", "sessions by this association: its id"},
	{registry.ByRole, "role", "sessions of this role: its name or ARN"},
	{registry.ByPod, "pod", "sessions of this pod: NAMESPACE/NAME"},
	{registry.ByNode, "node", "sessions of pods on this node, and of its agent"},
	{registry.ByServiceAccount, "service-account", "sessions of this service account: NAMESPACE/NAME"},
	{registry.BySession, "session", "this session: its access key id"},
}

func newRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End sessions that were issued until now; creating an association again does not undo it",
		Long:  "End all sessions of one target that were issued until now. Name one of the targets, with --cluster where it is in a cluster; --cluster alone ends all sessions of a cluster.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, told, err := revocation(cmd)
			if err != nil {
				return err
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var out struct {
				Before float64
				AWS    *revokedAtAWS
			}
			if err := c.call(cmd.Context(), "lanyard", http.MethodPost, "/lanyard/v1/revocations", request, &out); err != nil {
				return err
			}
			if out.AWS != nil {
				return out.AWS.tell(cmd, told, out.Before)
			}
			return printf(cmd, "revoked: sessions of %s issued until now are refused\n", told)
		},
	}
	for _, t := range targets {
		cmd.Flags().String(t.flag, "", t.usage)
	}
	cmd.Flags().String("cluster", "", "name of the cluster")
	dirFlag(cmd)
	return cmd
}

// revocation reads the one target from the flags, and says it in words.
func revocation(cmd *cobra.Command) (request map[string]string, told string, err error) {
	cluster := cmd.Flag("cluster").Value.String()
	request = map[string]string{"cluster": cluster}
	for _, t := range targets {
		value := cmd.Flag(t.flag).Value.String()
		if value == "" {
			continue
		}
		if request["kind"] != "" {
			return nil, "", fault.New(fault.Invalid, "revoke takes one target, not --%s and another", t.flag)
		}
		if cluster == "" && t.kind != registry.ByRole && t.kind != registry.BySession {
			return nil, "", fault.New(fault.Invalid, "--%s needs --cluster", t.flag)
		}
		request["kind"], request["value"], told = string(t.kind), value, t.flag+" "+value
	}
	if request["kind"] == "" {
		if cluster == "" {
			return nil, "", fault.New(fault.Invalid, "revoke needs a target: see `lanyard revoke --help`")
		}
		request["kind"], told = string(registry.ByCluster), "cluster "+cluster
	}
	return request, told, nil
}
