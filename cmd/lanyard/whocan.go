package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// decided is who may, as WhoCan answers it.
type decided struct {
	Type, ARN, ViaRoleARN, ClusterName, Namespace, ServiceAccount, Decision string

	Statement *said
	DependsOn []said
}

// said is one statement of a policy, with its conditions where it hangs on any.
type said struct {
	Effect, Layer, Policy, Sid                   string
	Index                                        int
	Conditions                                   []term
	Actions, NotActions, Resources, NotResources []string
}

type term struct {
	Operator, Key string
	Values        []string
}

func newWhoCan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who-can ACTION [RESOURCE]",
		Short: "Tell which users, roles and service accounts may do something, and on what it depends",
		Example: `  lanyard who-can s3:GetObject arn:aws:s3:::reports/2026.csv
  lanyard who-can sts:AssumeRole arn:aws:iam::111122223333:role/reader`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			in := map[string]string{"action": args[0]}
			if len(args) > 1 {
				in["resource"] = args[1]
			}
			told := 0
			for more := true; more; more = in["after"] != "" {
				var out struct {
					Principals []decided
					Trusted    []string
					Untold     int
					Next       string
				}
				if err := c.call(cmd.Context(), "lanyard", http.MethodPost, "/lanyard/v1/who-can", in, &out); err != nil {
					return err
				}
				for _, p := range out.Principals {
					if err := p.tell(cmd); err != nil {
						return err
					}
				}
				told += len(out.Principals)
				if in["after"] = out.Next; out.Untold > 0 {
					if err := complain(cmd, "%d associations have roles of AWS or of another account: what those may is not known here\n", out.Untold); err != nil {
						return err
					}
				}
				if out.Next == "" && len(out.Trusted) > 0 {
					if err := printLine(cmd, "its trust policy names %s", strings.Join(out.Trusted, ", ")); err != nil {
						return err
					}
				}
			}
			if told == 0 {
				return printf(cmd, "nobody may\n")
			}
			return nil
		},
	}
	dirFlag(cmd)
	return cmd
}

// complain prints to standard error, for what is no part of the answer.
func complain(cmd *cobra.Command, format string, a ...any) error {
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), format, a...)
	return err
}

func (p *decided) tell(cmd *cobra.Command) error {
	who := p.Type + " " + p.ARN
	if p.Type == "serviceAccount" {
		who = "service account " + p.Namespace + "/" + p.ServiceAccount + " of cluster " + p.ClusterName + " as " + p.ARN
	}
	if p.ViaRoleARN != "" {
		who += " through " + p.ViaRoleARN
	}
	why := ""
	if p.Statement != nil {
		why = ", by " + p.Statement.String()
	}
	if err := printLine(cmd, "%s: %s%s", who, p.Decision, why); err != nil {
		return err
	}
	return tellOpen(cmd, p.DependsOn)
}

// tellOpen says on what an answer depends.
func tellOpen(cmd *cobra.Command, all []said) error {
	for _, s := range all {
		word := "if"
		if s.Effect == "Deny" {
			word = "unless"
		}
		if err := printLine(cmd, "  %s %s (%s)", word, s.terms(), s.String()); err != nil {
			return err
		}
	}
	return nil
}

// String names a statement: the trust policy's statement 0.
func (s *said) String() string {
	policy := "policy " + s.Policy
	switch {
	case s.Layer == "trust":
		policy = "the trust policy"
	case s.Layer == "session":
		policy = "the session policy"
	case s.Layer == "boundary":
		policy = "the boundary " + s.Policy
	}
	name := "statement " + strconv.Itoa(s.Index)
	if s.Sid != "" {
		name += " " + s.Sid
	}
	return name + " of " + policy
}

// terms says conditions: aws:SourceIp IpAddress 10.0.0.0/8 and ….
func (s *said) terms() string {
	var all []string
	for _, t := range s.Conditions {
		if t.Operator == "" {
			all = append(all, "the resource is "+strings.Join(t.Values, " or "))
			continue
		}
		all = append(all, t.Key+" "+t.Operator+" "+strings.Join(t.Values, " or "))
	}
	return strings.Join(all, " and ")
}
