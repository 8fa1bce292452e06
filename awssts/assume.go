package awssts

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

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
	client, own, err := s.client(ctx, at)
	if err != nil {
		return nil, err
	}
	if as != nil {
		own = credentials.NewStaticCredentialsProvider(as.AccessKeyID, as.SecretAccessKey, as.SessionToken)
	}
	holder, err := own.Retrieve(ctx)
	if err != nil {
		s.doubt()
		return nil, noIdentity(err)
	}
	length := s.length(in, holder.SessionToken != "")
	for {
		asked := s.now()
		out, err := client.AssumeRole(ctx, in.wire(length), func(o *sts.Options) { o.Credentials = own })
		if err == nil {
			return s.read(out, in, asked, length)
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
	code, message := codeOf(err)
	switch {
	case code != "ValidationError" || length <= chained:
		return 0
	case strings.Contains(message, "role chaining"):
		return chained
	case !strings.Contains(message, "MaxSessionDuration"):
		return 0
	}
	for _, l := range lengths {
		if l < length {
			return l
		}
	}
	return 0
}

func (in *Assumption) wire(length time.Duration) *sts.AssumeRoleInput {
	out := &sts.AssumeRoleInput{
		RoleArn: aws.String(in.Role.String()), RoleSessionName: aws.String(in.SessionName),
		DurationSeconds: aws.Int32(int32(length / time.Second)),
	}
	if in.ExternalID != "" {
		out.ExternalId = aws.String(in.ExternalID)
	}
	if in.Policy != "" {
		out.Policy = aws.String(in.Policy)
	}
	for _, t := range in.Tags {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
		out.TransitiveTagKeys = append(out.TransitiveTagKeys, t.Key)
	}
	return out
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
func (s *STS) read(out *sts.AssumeRoleOutput, in Assumption, asked time.Time, length time.Duration) (*Session, error) {
	c, who := out.Credentials, out.AssumedRoleUser
	if c == nil || who == nil || c.Expiration == nil {
		return nil, unreadable("it lacks the credentials, their end or whose they are")
	}
	made := &Session{
		AccessKeyID: aws.ToString(c.AccessKeyId), SecretAccessKey: aws.ToString(c.SecretAccessKey), SessionToken: aws.ToString(c.SessionToken),
		Issued: asked, Expires: *c.Expiration,
	}
	//lint:ignore SA1019 CloudTrail's records have this member, and every STS answers it
	made.Packed = int(aws.ToInt32(out.PackedPolicySize))
	made.RequestID, _ = middleware.GetRequestIDMetadata(out.ResultMetadata)
	made.RequestID = clip(made.RequestID)
	if !keyIDs.MatchString(made.AccessKeyID) || !isPlain(made.SecretAccessKey, maxSecret) || !isPlain(made.SessionToken, maxToken) {
		return nil, unreadable("a part of the credentials is missing, too long or has characters that none has")
	}
	_, name, _ := in.Role.RoleName()
	if want := arn.AssumedRole(in.Role.Account, name, in.SessionName).String(); aws.ToString(who.Arn) != want {
		return nil, unreadable(fmt.Sprintf("the session is of %.200q and not of %q", aws.ToString(who.Arn), want))
	}
	id, session, _ := strings.Cut(aws.ToString(who.AssumedRoleId), ":")
	if made.RoleID = id; !roleIDs.MatchString(id) || session != in.SessionName {
		return nil, unreadable(fmt.Sprintf("the session's id is %.200q", aws.ToString(who.AssumedRoleId)))
	}
	there := s.now()
	if said, ok := middleware.GetServerTime(out.ResultMetadata); ok {
		there = said
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
