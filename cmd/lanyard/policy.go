package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/cloudtrail"
	"github.com/openlanyard/lanyard/api/eks"
	"github.com/openlanyard/lanyard/api/eksauth"
	"github.com/openlanyard/lanyard/api/iam"
	"github.com/openlanyard/lanyard/api/lanyard"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/gateway"
	"github.com/openlanyard/lanyard/policy"
)

// uses are what a document may be for, by the names that --as takes.
var uses = map[string]policy.Use{"identity": policy.Identity, "trust": policy.Trust, "session": policy.Session, "resource": policy.Resource}

func newPolicy() *cobra.Command {
	cmd := group("policy", "Policy documents")
	as := ""
	check := &cobra.Command{
		Use:   "check FILE...",
		Short: "Tell what is wrong with policy documents, and what is probably not meant; - is standard input",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			use, known := uses[as]
			if as != "" && !known {
				return fault.New(fault.Invalid, "--as %q: identity, trust, session and resource are accepted", as)
			}
			words, wrong := vocabulary(), false
			for _, file := range args {
				text, err := readPolicy(cmd, file)
				if err != nil {
					return err
				}
				if as == "" {
					use = policy.UseOf(text)
				}
				found := policy.Check(use, text, words)
				for _, f := range found {
					kind := "warning"
					if f.Error {
						kind, wrong = "error", true
					}
					if err := printf(cmd, "%s:%d:%d: %s: %s\n", file, f.Line, f.Column, kind, f.Text); err != nil {
						return err
					}
				}
				if len(found) == 0 {
					if err := printf(cmd, "%s: ok\n", file); err != nil {
						return err
					}
				}
			}
			if wrong {
				return status(1)
			}
			return nil
		},
	}
	check.Flags().StringVar(&as, "as", "", "what the documents are for: identity, trust, session or resource; empty: told from their elements")
	cmd.AddCommand(check)
	return cmd
}

// largestPolicy is more than any document that is accepted has.
const largestPolicy = 1 << 20

func readPolicy(cmd *cobra.Command, file string) (string, error) {
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }() // read; nothing to lose
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, largestPolicy))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	return string(text), nil
}

// vocabulary is what this program's own doors ask policies about.
func vocabulary() *policy.Vocabulary {
	v := &policy.Vocabulary{Actions: map[string][]string{"s3": gateway.Actions()}}
	for _, d := range []*api.Door{cloudtrail.New(nil), eks.New(nil), eksauth.New(nil), iam.New(nil), sts.New(nil), lanyard.New(nil, nil, nil, nil, nil, nil)} {
		for _, op := range d.Operations {
			v.Actions[d.Service] = append(v.Actions[d.Service], op.Name)
		}
	}
	// What is asked besides an operation's own name.
	for _, also := range []string{"iam:PassRole", "sts:TagSession", "sts:SetSourceIdentity", "lanyard:DescribeAudit"} {
		service, name, _ := strings.Cut(also, ":")
		v.Actions[service] = append(v.Actions[service], name)
	}
	for _, k := range conditionKeys {
		v.Keys = append(v.Keys, k.key)
	}
	return v
}
