package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Hidden is written in the place of a secret, as CloudTrail does.
const Hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

const (
	// maxText bounds the texts that a stranger may choose; CloudTrail cuts them at the same length.
	maxText = 1024
	// maxLong bounds any text, so that no padding of one drives the others out of a record: in the worst case each byte
	// takes six. What is cut off is told by its length and SHA-256.
	maxLong = 32 << 10
	// maxEvent is CloudTrail's bound of a record. Beyond it the parameters and the response are left out.
	maxEvent = 256 << 10
)

// secretMembers are the names, in any case, whose values are never written.
var secretMembers = []string{
	"token", "sessionToken", "webIdentityToken", "SAMLAssertion", "tokenCode", "secret", "secretKey", "secretAccessKey",
	"activationCode", "password", "privateKey", "authorization", "signature", "X-Amz-Security-Token", "X-Amz-Signature",
}

// appendEvent appends e as a JSON object without its closing brace, which the writer adds after the chain. It is written
// out by hand because encoding/json costs several times as much on the path that hands out credentials.
func appendEvent(b []byte, e *Event) ([]byte, error) {
	start := len(b)
	b, err := appendWhole(b, e, false)
	if err == nil && len(b)-start > maxEvent {
		b, err = appendWhole(b[:start], e, true)
		if err == nil && len(b)-start > maxEvent {
			err = fmt.Errorf("event %s of %d bytes: at most %d can be recorded", e.EventName, len(b)-start, maxEvent)
		}
	}
	if err != nil {
		return b[:start], err
	}
	return b, nil
}

func appendWhole(b []byte, e *Event, omit bool) ([]byte, error) {
	b = append(b, `{"eventVersion":`...)
	b = appendString(b, e.EventVersion)
	b = append(b, `,"userIdentity":`...)
	b = appendIdentity(b, &e.UserIdentity)
	b = append(b, `,"eventTime":`...)
	b = appendTime(b, e.EventTime)
	b = appendMember(b, "eventSource", e.EventSource)
	b = appendMember(b, "eventName", e.EventName)
	b = appendMember(b, "awsRegion", e.AWSRegion)
	b = appendMember(b, "sourceIPAddress", e.SourceIPAddress)
	b = appendMember(b, "userAgent", cut(e.UserAgent))
	b = appendOptional(b, "errorCode", e.ErrorCode)
	b = appendOptional(b, "errorMessage", cut(e.ErrorMessage))

	var err error
	for _, free := range [...]struct {
		name     string
		value    any
		optional bool
	}{
		{"requestParameters", e.RequestParameters, false},
		{"responseElements", e.ResponseElements, false},
		{"additionalEventData", e.AdditionalEventData, true},
	} {
		if free.value == nil && free.optional {
			continue
		}
		b = append(append(append(b, ',', '"'), free.name...), '"', ':')
		if omit && free.value != nil {
			b = append(b, `{"omitted":true,"reason":"the record was too large"}`...)
		} else if b, err = appendValue(b, free.value); err != nil {
			return b, fmt.Errorf("encoding %s of %s: %w", free.name, e.EventName, err)
		}
	}

	b = appendMember(b, "requestID", e.RequestID)
	b = appendMember(b, "eventID", e.EventID)
	b = append(b, `,"readOnly":`...)
	b = strconv.AppendBool(b, e.ReadOnly)
	b = appendResources(b, e.Resources)
	b = appendMember(b, "eventType", e.EventType)
	b = append(b, `,"managementEvent":`...)
	b = strconv.AppendBool(b, e.ManagementEvent)
	b = appendMember(b, "recipientAccountId", e.RecipientAccountID)
	b = appendOptional(b, "sharedEventID", e.SharedEventID)
	b = appendMember(b, "eventCategory", e.EventCategory)
	if t := e.TLSDetails; t != nil {
		b = append(b, `,"tlsDetails":{`...)
		b = appendOptional(b, "tlsVersion", t.Version)
		b = appendOptional(b, "cipherSuite", t.CipherSuite)
		b = appendOptional(b, "clientProvidedHostHeader", cut(t.Host))
		b = append(b, '}')
	}
	return b, nil
}

func appendIdentity(b []byte, u *UserIdentity) []byte {
	b = append(b, '{')
	b = appendOptional(b, "type", u.Type)
	b = appendOptional(b, "principalId", u.PrincipalID)
	b = appendOptional(b, "arn", u.ARN)
	b = appendOptional(b, "accountId", u.AccountID)
	b = appendOptional(b, "accessKeyId", u.AccessKeyID)
	b = appendOptional(b, "userName", u.UserName)
	b = appendOptional(b, "identityProvider", u.Provider)
	b = appendOptional(b, "invokedBy", u.InvokedBy)
	if s := u.SessionContext; s != nil {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, `"sessionContext":{"sessionIssuer":{`...)
		b = appendOptional(b, "type", s.Issuer.Type)
		b = appendOptional(b, "principalId", s.Issuer.PrincipalID)
		b = appendOptional(b, "arn", s.Issuer.ARN)
		b = appendOptional(b, "accountId", s.Issuer.AccountID)
		b = appendOptional(b, "userName", s.Issuer.UserName)
		b = append(b, `},"attributes":{"creationDate":`...)
		b = appendTime(b, s.Attributes.CreationDate)
		mfa := s.Attributes.MFAAuthenticated
		if mfa == "" {
			mfa = "false"
		}
		b = appendMember(b, "mfaAuthenticated", mfa)
		b = append(b, '}')
		b = appendOptional(b, "sourceIdentity", s.SourceIdentity)
		if p := s.Pod; p != nil {
			b = append(b, `,"pod":{`...)
			b = appendOptional(b, "cluster", p.Cluster)
			b = appendOptional(b, "namespace", p.Namespace)
			b = appendOptional(b, "name", p.Name)
			b = appendOptional(b, "uid", p.UID)
			b = appendOptional(b, "node", p.Node)
			b = appendOptional(b, "nodeUid", p.NodeUID)
			b = appendOptional(b, "serviceAccount", p.ServiceAccount)
			b = appendOptional(b, "association", p.Association)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendResources(b []byte, resources []Resource) []byte {
	if len(resources) == 0 {
		return b
	}
	b = append(b, `,"resources":[`...)
	for i, r := range resources {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendOptional(b, "accountId", r.AccountID)
		b = appendOptional(b, "type", r.Type)
		b = appendOptional(b, "ARN", r.ARN)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendMember appends a member; the comma before it is left out at the start of an object.
func appendMember(b []byte, name, value string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(append(b, '"'), name...), '"', ':')
	return appendString(b, value)
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendMember(b, name, value)
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
	return append(b, '"')
}

// appendValue appends any JSON value and hides its secret members. Shapes it does not know go through encoding/json and
// come back as ones it knows, so that no shape escapes the hiding.
func appendValue(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return appendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b, fmt.Errorf("%v is not a JSON number", v)
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64), nil
	case json.Number:
		if !json.Valid([]byte(v)) {
			return b, fmt.Errorf("%q is not a JSON number", string(v))
		}
		return append(b, v...), nil
	case time.Time:
		return appendTime(b, v), nil
	case []string:
		return appendList(b, v, func(b []byte, s string) ([]byte, error) { return appendString(b, s), nil })
	case []any:
		return appendList(b, v, appendValue)
	case []Tag:
		return appendList(b, v, func(b []byte, t Tag) ([]byte, error) {
			b = append(b, `{"key":`...)
			b = appendString(b, t.Key)
			b = append(b, `,"value":`...)
			b = appendString(b, t.Value)
			return append(b, '}'), nil
		})
	case Object:
		return appendObject(b, v)
	case map[string]any:
		return appendMap(b, v, appendValue)
	case map[string]string:
		return appendMap(b, v, func(b []byte, s string) ([]byte, error) { return appendString(b, s), nil })
	}
	return appendForeign(b, value)
}

func appendForeign(b []byte, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return b, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return b, err
	}
	return appendValue(b, plain)
}

func appendList[T any](b []byte, list []T, item func([]byte, T) ([]byte, error)) ([]byte, error) {
	b = append(b, '[')
	var err error
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = item(b, v); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// appendObject writes the members in the order of their names, as appendMap does.
func appendObject(b []byte, o Object) ([]byte, error) {
	byName := func(x, y Member) int { return strings.Compare(x.Name, y.Name) }
	var few [8]Member // most objects need no allocation
	if !slices.IsSortedFunc(o, byName) {
		o = append(few[:0], o...)
		slices.SortFunc(o, byName)
	}
	b = append(b, '{')
	var err error
	for _, m := range o {
		if b, err = appendNamed(b, m.Name, m.Value, appendValue); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendNamed writes a member, without its value where that is a secret.
func appendNamed[T any](b []byte, name string, value T, item func([]byte, T) ([]byte, error)) ([]byte, error) {
	if isSecret(name) {
		return appendMember(b, name, Hidden), nil
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return item(append(appendString(b, name), ':'), value)
}

// appendMap writes the members in the order of their names, so that equal events are equal bytes.
func appendMap[T any](b []byte, m map[string]T, item func([]byte, T) ([]byte, error)) ([]byte, error) {
	var few [12]string // most objects need no allocation
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	var err error
	for _, name := range names {
		if b, err = appendNamed(b, name, m[name], item); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func isSecret(name string) bool {
	for _, secret := range secretMembers {
		if len(name) == len(secret) && strings.EqualFold(name, secret) {
			return true
		}
	}
	return false
}

// shorten cuts a text to the limit and says what it was.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes, SHA-256 %x)", strings.ToValidUTF8(s[:limit/2], ""), len(s), sha256.Sum256([]byte(s)))
}

func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

const hexDigits = "0123456789abcdef"

// isPlain holds the bytes that stand for themselves in a JSON string.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// plain returns how many bytes at the start of s stand for themselves. It looks at eight of them at a time: nearly all
// texts are plain to their end. In each byte of odd the top bit is set for what is not plain, and perhaps for a byte above
// one that is not, by a borrow: what it then finds early, isPlain finds again.
func plain(s string) int {
	const low, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		word := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, backslash := word^('"'*low), word^('\\'*low)
		odd := word | (word + low) | (word - ' '*low) | (quote - low) | (backslash - low)
		if odd&high != 0 {
			break
		}
	}
	for i < len(s) && isPlain[s[i]] {
		i++
	}
	return i
}

// minToken is the length under which a text is too short to hold a signed token.
const minToken = 32

// appendString quotes s. Control characters, the line separators of other languages and broken UTF-8 are escaped: a line of
// the log ends only where the writer ends it. A text that holds a signed token, as an error message that quotes its input
// would, is hidden whole.
func appendString(b []byte, s string) []byte {
	if len(s) >= minToken && holdsToken(s) {
		s = Hidden
	}
	s = shorten(s, maxLong)
	b = append(b, '"')
	start := 0
	for i := 0; ; {
		i += plain(s[i:])
		if i == len(s) {
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			if c == '"' || c == '\\' {
				b = append(b, '\\', c)
			} else {
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && size == 1) || r == '\u2028' || r == '\u2029' || r == '\u0085' {
			b = append(b, s[start:i]...)
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// holdsToken reports whether s holds a signed JWT: three dotted parts, the first of which opens a JSON object.
func holdsToken(s string) bool {
	for {
		i := strings.Index(s, "eyJ")
		if i < 0 {
			return false
		}
		s = s[i:]
		dots, n := 0, 0
		for n < len(s) && (s[n] == '.' || isBase64URL(s[n])) {
			if s[n] == '.' {
				dots++
			}
			n++
		}
		if dots >= 2 && n >= minToken {
			return true
		}
		s = s[n:]
	}
}

func isBase64URL(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
