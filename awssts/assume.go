package awssts

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
)

// Assumption is what is asked of STS.
type Assumption struct {
	Role        arn.ARN
	SessionName string
	Tags        []Tag         // all transitive
	Policy      string        // a session policy; "" is none
	ExternalID  string        // "" is none
	Longest     time.Duration // 15 min or more: how long the session is wanted for
}

// Tag is a session tag.
type Tag struct{ Key, Value string }

// The lengths of sessions. STS does not tell how long a role's may be but refuses what is longer, so they are tried.
const (
	Least   = 15 * time.Minute
	chained = time.Hour // the session of a session, whatever the role allows
)

var lengths = []time.Duration{12 * time.Hour, 8 * time.Hour, 6 * time.Hour, 4 * time.Hour, 3 * time.Hour, 2 * time.Hour, time.Hour}

// shorter is a role's longest session as it was found out, for as long as that is believed.
type shorter struct {
	longest time.Duration
	until   time.Time
}

// believed is how long a role's longest session is not tried again; a role changes seldom.
const believed = 6 * time.Hour

// Assume becomes a role, as Lanyard itself or as a session that it holds. The session is as long as wanted, or as long as
// the role and the chain allow. Errors: Denied, Invalid, MalformedPolicy, Limit for what cannot be packed, BadState for a
// region where STS is switched off, Throttled, Unavailable also where Lanyard's identity is not accepted; behind each that STS
// answered is a *Refusal.
func (s *STS) Assume(ctx context.Context, at Place, as *Session, in Assumption) (*Session, error) {
	door, holder, err := s.door(ctx, at, as)
	if err != nil {
		return nil, err
	}
	length := s.length(in, holder.SessionToken != "")
	for {
		asked := s.now()
		var out assumeRoleResponse
		said, err := s.ask(ctx, door, holder, in.form(length), &out)
		if err == nil {
			return s.read(&out, said, in, asked, length)
		}
		next := shorten(err, length)
		if next == 0 {
			return nil, s.refusal(err, in.Role.String())
		}
		length = next
		s.learn(in.Role, length)
	}
}

// length is what is asked for first.
func (s *STS) length(in Assumption, isSession bool) time.Duration {
	length := max(in.Longest, Least)
	if isSession {
		length = min(length, chained)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.longest[in.Role.String()]; ok && s.now().Before(known.until) {
		length = min(length, known.longest)
	}
	return length
}

const maxLearnt = 10_000 // roles

func (s *STS) learn(role arn.ARN, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.longest) >= maxLearnt {
		clear(s.longest) // each is found out again in a few calls
	}
	s.longest[role.String()] = shorter{longest, s.now().Add(believed)}
}

// shorten is what to try after STS found a session too long; 0: that was not what it said, or there is nothing shorter.
func shorten(err error, length time.Duration) time.Duration {
	var r *Refusal
	switch {
	case !errors.As(err, &r) || r.Code != "ValidationError" || length <= chained:
		return 0
	case strings.Contains(r.Message, "role chaining"):
		return chained
	case !strings.Contains(r.Message, "MaxSessionDuration"):
		return 0
	}
	for _, l := range lengths {
		if l < length {
			return l
		}
	}
	return 0
}

var (
	keyIDs  = regexp.MustCompile(`^\w{16,128}$`) // as STS's model has it
	roleIDs = regexp.MustCompile(`^[A-Z0-9]{4,128}$`)
)

// What the agent hands on has at most 10,000 bytes, the other members among them.
const (
	maxSecret = 256
	maxToken  = 9000
)

const (
	skewed = time.Minute     // above it, STS's clock is not ours
	slack  = 5 * time.Minute // by which a session may be longer than asked for
)

// read holds STS's answer against the question.
func (s *STS) read(out *assumeRoleResponse, said told, in Assumption, asked time.Time, length time.Duration) (*Session, error) {
	c, who := out.Result.Credentials, out.Result.User
	made := &Session{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Issued: asked, Expires: c.Expiration, Packed: out.Result.Packed, RequestID: said.requestID,
	}
	if !keyIDs.MatchString(made.AccessKeyID) || !isPlain(made.SecretAccessKey, maxSecret) || !isPlain(made.SessionToken, maxToken) {
		return nil, unreadable("a part of the credentials is missing, too long or has characters that none has")
	}
	_, name, _ := in.Role.RoleName()
	if want := arn.AssumedRole(in.Role.Account, name, in.SessionName).String(); who.ARN != want {
		return nil, unreadable(fmt.Sprintf("the session is of %.200q and not of %q", who.ARN, want))
	}
	id, session, _ := strings.Cut(who.ID, ":")
	if made.RoleID = id; !roleIDs.MatchString(id) || session != in.SessionName {
		return nil, unreadable(fmt.Sprintf("the session's id is %.200q", who.ID))
	}
	there := said.date
	if there.IsZero() {
		there = s.now()
	}
	life := made.Expires.Sub(there)
	if life <= 0 || life > length+slack {
		return nil, unreadable(fmt.Sprintf("the session ends at %s, and %s was asked for at %s of STS's clock", made.Expires, length, there))
	}
	if here := s.now(); here.Sub(there).Abs() > skewed {
		if ends := here.Add(life); ends.Before(made.Expires) {
			made.Expires = ends
		}
	}
	return made, nil
}

// isPlain reports whether a text is 1 to size characters of ASCII that print, without spaces.
func isPlain(s string, size int) bool {
	if s == "" || len(s) > size {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
