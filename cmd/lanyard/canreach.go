package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
)

// reaches is what CanReach answers.
type reaches struct {
	Associations []struct {
		ClusterName, Namespace, ServiceAccount, RoleARN, TargetRoleARN, MissingRoleARN, Elsewhere, Decision string

		Statement *said
		DependsOn []said
		Session   *int
	}
	Sessions []struct{ Statements []said }
	Next     string
}

func newCanReach() *cobra.Command {
	cluster := ""
	cmd := &cobra.Command{
		Use:     "can-reach NAMESPACE/SERVICE-ACCOUNT",
		Short:   "Tell which role the pods of a service account become, and what its policies say",
		Example: "  lanyard can-reach --cluster dev default/ec2-restart-sa",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, serviceAccount, ok := strings.Cut(args[0], "/")
			if !ok || namespace == "" || serviceAccount == "" {
				return fault.New(fault.Invalid, "%q: NAMESPACE/SERVICE-ACCOUNT is accepted", args[0])
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			in, told := map[string]string{"clusterName": cluster, "namespace": namespace, "serviceAccount": serviceAccount}, 0
			for more := true; more; more = in["after"] != "" {
				var out reaches
				if err := c.call(cmd.Context(), "lanyard", http.MethodPost, "/lanyard/v1/can-reach", in, &out); err != nil {
					return err
				}
				if err := out.tell(cmd); err != nil {
					return err
				}
				told, in["after"] = told+len(out.Associations), out.Next
			}
			if told == 0 {
				return fault.New(fault.NotFound, "service account %s has no association: its pods get no credentials", args[0])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "name of the cluster; empty: every cluster of the account")
	dirFlag(cmd)
	return cmd
}

func (r *reaches) tell(cmd *cobra.Command) error {
	for i := range r.Associations {
		a := &r.Associations[i]
		role := a.RoleARN
		if a.TargetRoleARN != "" {
			role = a.TargetRoleARN + " through " + role
		}
		why := ""
		switch {
		case a.MissingRoleARN != "":
			why = ": " + a.MissingRoleARN + " does not exist"
		case a.Elsewhere == "AWS":
			why = ": AWS decides about it, and what it may"
		case a.Elsewhere != "":
			why = ": account " + a.Elsewhere + " decides about it, and what it may"
		case a.Statement != nil:
			why = ", by " + a.Statement.String()
		}
		if err := printLine(cmd, "service account %s/%s of cluster %s as %s: %s%s", a.Namespace, a.ServiceAccount, a.ClusterName, role, a.Decision, why); err != nil {
			return err
		}
		if err := tellOpen(cmd, a.DependsOn); err != nil {
			return err
		}
		if a.Session == nil || *a.Session >= len(r.Sessions) {
			continue
		}
		for _, s := range r.Sessions[*a.Session].Statements {
			if err := s.grant(cmd); err != nil {
				return err
			}
		}
	}
	return nil
}

// grant says what a statement is about: allow s3:GetObject on arn:aws:s3:::b/*.
func (s *said) grant(cmd *cobra.Command) error {
	line := strings.ToLower(s.Effect) + " " + butNot(s.Actions, s.NotActions) + " on " + butNot(s.Resources, s.NotResources)
	if s.Layer != "identity" {
		line = s.Layer + ": " + line
	}
	if len(s.Conditions) > 0 {
		line += " if " + s.terms()
	}
	return printLine(cmd, "  %s (%s)", line, s.String())
}

// butNot says a list of what is meant, or of what is not.
func butNot(list, not []string) string {
	if len(not) > 0 {
		return "all but " + strings.Join(not, ", ")
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}
