package api

import (
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/session"
)

// CallerNow returns the caller as things are now, for an operation that waits before it decides.
func (c *Call) CallerNow() (*directory.Principal, error) { return c.frame.Access.Again(c.Caller) }

// Assumed returns the ARN of a session and the id that goes with it.
func Assumed(s *session.Session) (name, id string) {
	return arn.AssumedRole(s.Account, s.RoleName, s.Name).String(), s.RoleID + ":" + s.Name
}

// AssumedElements is what a record shows of the answer to an AssumeRole.
func AssumedElements(s *session.Session) audit.Object {
	name, id := Assumed(s)
	elements := audit.Object{
		{Name: "assumedRoleUser", Value: audit.Object{{Name: "arn", Value: name}, {Name: "assumedRoleId", Value: id}}},
		{Name: "credentials", Value: audit.Object{
			{Name: "accessKeyId", Value: s.AccessKeyID}, {Name: "expiration", Value: s.Expires}, {Name: "sessionToken", Value: audit.Hidden},
		}},
		{Name: "packedPolicySize", Value: s.PackedPercent()},
	}
	if s.SourceIdentity != "" {
		elements = append(elements, audit.Member{Name: "sourceIdentity", Value: s.SourceIdentity})
	}
	return elements
}

// AssumedResource names the role in the record of an AssumeRole.
func AssumedResource(r *directory.Role) []audit.Resource {
	return []audit.Resource{{AccountID: r.Account, Type: "AWS::IAM::Role", ARN: r.ARN().String()}}
}

// SessionTags are a session's tags as a record shows them: those that the call passed, the transitive ones' keys, and those
// that the caller's session, which may be nil, has handed on.
func SessionTags(s, former *session.Session) (tags []audit.Tag, transitive []string, incoming map[string]string) {
	handed := 0 // they come first
	if former != nil {
		for _, t := range former.Tags {
			if t.Transitive {
				handed++
			}
		}
	}
	if handed > 0 {
		incoming = make(map[string]string, handed)
	}
	for _, t := range s.Tags[:handed] {
		incoming[t.Key] = t.Value
	}
	passed := s.Tags[handed:]
	tags, transitive = make([]audit.Tag, 0, len(passed)), make([]string, 0, len(passed))
	for _, t := range passed {
		tags = append(tags, audit.Tag{Key: t.Key, Value: t.Value})
		if t.Transitive {
			transitive = append(transitive, t.Key)
		}
	}
	return tags, transitive, incoming
}

// ForRoleAccount returns the record of an AssumeRole across accounts for the role's account, which is told the caller's
// account and id alone, as by CloudTrail.
func ForRoleAccount(e *audit.Event, caller *directory.Principal, r *directory.Role) *audit.Event {
	other := *e
	other.UserIdentity = audit.UserIdentity{
		Type: "AWSAccount", PrincipalID: caller.ID, AccountID: caller.Account, InvokedBy: e.UserIdentity.InvokedBy,
	}
	other.RecipientAccountID, other.AdditionalEventData = r.Account, nil
	return &other
}
