package main

import (
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// revokedAtAWS are the roles at AWS whose sessions a revocation cannot reach.
type revokedAtAWS struct {
	RoleARNs []string
	More     bool
}

// olderSessions is the policy that AWS's console attaches under the same name when it revokes a role's sessions
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html).
const olderSessions = "AWSRevokeOlderSessions"

// tell says what a revocation did, and what only the AWS account's owner can do. The moment is rounded up, since AWS counts
// in seconds: what Lanyard had issued by then is older than it.
func (r *revokedAtAWS) tell(cmd *cobra.Command, told string, before float64) error {
	moment := time.Unix(int64(math.Ceil(before)), 0).UTC().Format(time.RFC3339)
	err := printf(cmd, "revoked: Lanyard hands out no session of %s that was issued until now\n"+
		"AWS itself honours them until they end, which Lanyard cannot change. This policy ends them there, for each role that they are of,\n"+
		"and with them those of the role's other users that are as old:\n\n"+
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"%s"}}}]}`+"\n\n",
		told, moment)
	if err != nil {
		return err
	}
	if len(r.RoleARNs) == 0 {
		return printf(cmd, "attach it to the role of the session, with credentials of AWS:\n"+
			"  aws iam put-role-policy --policy-name %s --policy-document file://policy.json --role-name ROLE\n", olderSessions)
	}
	if err := printf(cmd, "attach it with credentials of AWS, of the account that each role is of:\n"); err != nil {
		return err
	}
	for _, role := range r.RoleARNs {
		name := role[strings.LastIndexByte(role, '/')+1:]
		err := printf(cmd, "  aws iam put-role-policy --policy-name %s --policy-document file://policy.json --role-name %s  # %s\n", olderSessions, shellQuote(name), role)
		if err != nil {
			return err
		}
	}
	if r.More {
		return printf(cmd, "  and to the others: these are not all\n")
	}
	return nil
}
