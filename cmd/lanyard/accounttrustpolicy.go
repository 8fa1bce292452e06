package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// trusted is whose pods a role is to trust Lanyard for. What is empty is any.
type trusted struct {
	principal, account, region, externalID string
	cluster, namespace, serviceAccount     string
	untagged                               bool
}

// podTagKeys are the session tags that Lanyard sends, as EKS does.
var podTagKeys = []string{
	"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-service-account", "kubernetes-pod-name", "kubernetes-pod-uid",
}

// condition is one line of a statement.
type condition struct {
	operator, key string
	values        []string
}

// statement is one of a trust policy, before it is written in one of the three ways.
type statement struct {
	sid, action string
	conditions  []condition
}

// statements are what a role at AWS has to say. They are two, since the external id is no part of the question whether a
// session may be tagged.
func (t *trusted) statements() []statement {
	orAny := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	match := func(key, value string) condition {
		operator := "StringEquals"
		if strings.Contains(value, "*") {
			operator = "StringLike"
		}
		return condition{operator, key, []string{value}}
	}
	parts := []string{t.externalID, t.region, t.account, orAny(t.cluster), orAny(t.namespace), orAny(t.serviceAccount)}
	assume := statement{"LanyardAssumesForPods", "sts:AssumeRole", []condition{match("sts:ExternalId", strings.Join(parts, "/"))}}
	if t.untagged {
		return []statement{assume}
	}
	tags := []condition{match("aws:RequestTag/eks-cluster-arn", arn.Cluster(t.region, t.account, orAny(t.cluster)).String())}
	if t.namespace != "" {
		tags = append(tags, match("aws:RequestTag/kubernetes-namespace", t.namespace))
	}
	if t.serviceAccount != "" {
		tags = append(tags, match("aws:RequestTag/kubernetes-service-account", t.serviceAccount))
	}
	assume.conditions = append(assume.conditions, tags...)
	all := condition{"ForAllValues:StringEquals", "aws:TagKeys", podTagKeys}
	return []statement{assume, {"LanyardTagsSessions", "sts:TagSession", append(slices.Clip(tags), all)}}
}

// document is the policy as a value for JSON and YAML.
func (t *trusted) document() map[string]any {
	var list []any
	for _, s := range t.statements() {
		conditions := map[string]map[string]any{}
		for _, c := range s.conditions {
			if conditions[c.operator] == nil {
				conditions[c.operator] = map[string]any{}
			}
			conditions[c.operator][c.key] = c.values
			if len(c.values) == 1 {
				conditions[c.operator][c.key] = c.values[0]
			}
		}
		list = append(list, map[string]any{
			"Sid": s.sid, "Effect": "Allow", "Principal": map[string]any{"AWS": t.principal}, "Action": s.action, "Condition": conditions,
		})
	}
	return map[string]any{"Version": "2012-10-17", "Statement": list}
}

func (t *trusted) json() (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(t.document())
	return b.String(), err
}

func (t *trusted) terraform() (string, error) {
	var b strings.Builder
	b.WriteString("data \"aws_iam_policy_document\" \"lanyard\" {\n")
	for i, s := range t.statements() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "  statement {\n    sid     = %q\n    actions = [%q]\n\n    principals {\n      type        = \"AWS\"\n      identifiers = [%q]\n    }\n",
			s.sid, s.action, t.principal)
		for _, c := range s.conditions {
			quoted := make([]string, len(c.values))
			for i, v := range c.values {
				quoted[i] = fmt.Sprintf("%q", v)
			}
			fmt.Fprintf(&b, "\n    condition {\n      test     = %q\n      variable = %q\n      values   = [%s]\n    }\n",
				c.operator, c.key, strings.Join(quoted, ", "))
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n\n# resource \"aws_iam_role\" \"…\" { assume_role_policy = data.aws_iam_policy_document.lanyard.json }\n")
	return b.String(), nil
}

// cloudFormation is the property of an AWS::IAM::Role.
func (t *trusted) cloudFormation() (string, error) {
	text, err := yaml.Marshal(map[string]any{"AssumeRolePolicyDocument": t.document()})
	return string(text), err
}

// trustNames are what may stand in a name that goes into a policy: nothing of it is a wildcard there.
var trustNames = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,252}$`)

func newTrustPolicy() *cobra.Command {
	var t trusted
	var format string
	cmd := &cobra.Command{
		Use:   "trust-policy",
		Short: "Print the trust policy that a role at AWS needs",
		Long: "Print the trust policy by which a role of the AWS account lets Lanyard become it for pods: for the service account, namespace\n" +
			"and cluster that are named, or for all. The external id keeps others who use the same Lanyard, or name the same account, out.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for flag, value := range map[string]string{"cluster": t.cluster, "namespace": t.namespace, "service-account": t.serviceAccount} {
				if value != "" && !trustNames.MatchString(value) {
					return fault.New(fault.Invalid, "--%s %q: letters, digits, dots, dashes and underscores are accepted", flag, value)
				}
			}
			write := map[string]func() (string, error){"json": t.json, "terraform": t.terraform, "cloudformation": t.cloudFormation}[format]
			if write == nil {
				return fault.New(fault.Invalid, "--format %q: json, terraform and cloudformation are accepted", format)
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			own, err := c.behind(cmd.Context())
			if err != nil {
				return err
			}
			t.account, t.region, t.externalID = own.AccountID, own.Region, own.AWS.ExternalID
			if t.principal == "" {
				if t.principal = trustedAs(own.PrincipalARN); t.principal == "" {
					return fault.New(fault.Unavailable, "who Lanyard is at AWS is not known: %s --principal says it", own.Problem)
				}
			}
			text, err := write()
			if err != nil {
				return err
			}
			return printf(cmd, "%s", text)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.cluster, "cluster", "", "only for pods of this cluster")
	f.StringVar(&t.namespace, "namespace", "", "only of this namespace")
	f.StringVar(&t.serviceAccount, "service-account", "", "only of this service account")
	f.BoolVar(&t.untagged, "no-session-tags", false, "for associations with disableSessionTags: the external id alone tells pods apart")
	f.StringVar(&t.principal, "principal", "", "who Lanyard is at AWS; empty: what the server says. A role with a path is named here")
	f.StringVar(&format, "format", "json", "json, terraform or cloudformation")
	dirFlag(cmd)
	return cmd
}

// trustedAs is the principal to trust for who calls: of a session its role, whose path the session does not tell.
func trustedAs(caller string) string {
	name, err := arn.Parse(caller)
	if err != nil {
		return caller
	}
	if rest, ok := strings.CutPrefix(name.Resource, "assumed-role/"); ok {
		role, _, _ := strings.Cut(rest, "/")
		return arn.Role(name.Account, "/", role).String()
	}
	return caller
}
