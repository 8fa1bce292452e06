package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
)

// verified is what the server found out about one association.
type verified struct {
	ClusterName, Namespace, ServiceAccount string
	RoleARN, TargetRoleARN, ExternalID     string
	Tagged, OK, AnyExternalID              bool
	RefusedRoleARN, Action, Code           string
	Message, RequestID                     string
}

func newAccountVerify() *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Try every associated role at AWS, and say which statement is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			own, err := c.behind(cmd.Context())
			if err != nil {
				return err
			}
			if own.PrincipalARN == "" {
				return fault.New(fault.Unavailable, "who Lanyard is at AWS is not known: %s", own.Problem)
			}
			if err := printf(cmd, "Lanyard is %s\n", own.PrincipalARN); err != nil {
				return err
			}
			tried, bad := 0, 0
			for after := ""; ; {
				var out struct {
					Associations []verified
					Next         string
				}
				in := map[string]string{"cluster": cluster, "after": after}
				if err := c.call(cmd.Context(), "lanyard", http.MethodPost, "/lanyard/v1/account/verification", in, &out); err != nil {
					return err
				}
				for _, v := range out.Associations {
					if tried++; !v.OK {
						bad++
					}
					if err := v.tell(cmd, own); err != nil {
						return err
					}
				}
				if after = out.Next; after == "" {
					break
				}
			}
			if bad > 0 {
				return fault.New(fault.Denied, "%d of %d associations lead to a role that Lanyard may not assume", bad, tried)
			}
			return printf(cmd, "%d associations, and every role may be assumed\n", tried)
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "only those of this cluster")
	dirFlag(cmd)
	return cmd
}

// tell prints one association with what is missing: the statements for it stand in what `trust-policy` prints.
func (v *verified) tell(cmd *cobra.Command, own *ownAccount) error {
	who := v.ClusterName + "/" + v.Namespace + "/" + v.ServiceAccount
	if v.OK {
		if err := printf(cmd, "ok       %s  %s\n", who, firstOf(v.TargetRoleARN, v.RoleARN)); err != nil || !v.AnyExternalID {
			return err
		}
		return printf(cmd, "         the role does not ask for the external id: whoever else asks Lanyard's identity for it gets it. Its statement should have\n"+
			"         \"StringEquals\": {\"sts:ExternalId\": \"%s\"}\n", v.ExternalID)
	}
	if err := printf(cmd, "REFUSED  %s  %s\n         %s: %s (STS request %s)\n", who, v.RefusedRoleARN, v.Code, v.Message, v.RequestID); err != nil {
		return err
	}
	if v.RefusedRoleARN != v.RoleARN {
		missing := firstOf(v.Action, "sts:AssumeRole")
		return printf(cmd, "         missing: %s for %s, in the trust policy of %s and in a policy of %s\n", missing, v.RoleARN, v.RefusedRoleARN, v.RoleARN)
	}
	t := trusted{
		principal: trustedAs(own.PrincipalARN), account: own.AccountID, region: own.Region, externalID: own.AWS.ExternalID,
		cluster: v.ClusterName, namespace: v.Namespace, serviceAccount: v.ServiceAccount, untagged: !v.Tagged,
	}
	which := "LanyardAssumesForPods (if the role exists: STS does not say)"
	if v.Action == "sts:TagSession" {
		which = "LanyardTagsSessions"
	}
	text, err := t.json()
	if err != nil {
		return err
	}
	return printf(cmd, "         missing: %s of this trust policy, or a right of Lanyard's identity to %s on the role\n%s", which, firstOf(v.Action, "sts:AssumeRole"), text)
}
