package session

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// The packed form of a session: a version byte, then the fields in the order of appendTo. Numbers are minimal unsigned
// varints, strings and lists have their length before them, moments are milliseconds since 1970. One session has one
// packed form: what decode accepts, appendTo writes again byte for byte. The account is not in it: it stands in the
// token's header, which the seal covers. A session that was assumed through other roles has version 2, which lists them; any
// other one of a role has version 1, as before there were lists. A user's has version 3: the user in the roles' place.
const (
	packedVersion = 1
	listsRoles    = 2
	ofUser        = 3
	maxPacked     = 4096 // bytes; what PackedPolicySize is a percentage of
	maxList       = 256  // entries; more than any list may have, and a bound for what decode allocates
)

var errPacked = errors.New("the packed session is malformed")

func (s *Session) appendTo(b []byte) []byte {
	version := byte(packedVersion)
	switch {
	case s.User != nil:
		version = ofUser
	case len(s.Through) > 0:
		version = listsRoles
	}
	b = append(b, version)
	b = appendStrings(b, s.RoleID, s.RoleName, s.Name, s.SourceIdentity, s.Epoch)
	b = binary.AppendUvarint(b, uint64(s.Issued.UnixMilli()))
	b = binary.AppendUvarint(b, uint64(s.Expires.UnixMilli()))
	b = binary.AppendUvarint(b, uint64(s.Chain))
	b = binary.AppendUvarint(b, uint64(s.Revision))
	b = binary.AppendUvarint(b, uint64(len(s.Tags)))
	for _, t := range s.Tags {
		b = appendBool(appendStrings(b, t.Key, t.Value), t.Transitive)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Policies)))
	b = appendStrings(b, s.Policies...)
	switch version {
	case listsRoles:
		b = binary.AppendUvarint(b, uint64(len(s.Through)))
		b = appendStrings(b, s.Through...)
	case ofUser:
		b = appendStrings(b, s.User.ID, s.User.KeyID)
	}
	b = appendBool(b, s.Origin != nil)
	if o := s.Origin; o != nil {
		b = appendStrings(b, o.Cluster, o.Namespace, o.ServiceAccount, o.PodName, o.PodUID, o.NodeName, o.NodeUID, o.Association)
		b = append(b, o.Digest[:]...)
	}
	return b
}

func appendStrings(b []byte, values ...string) []byte {
	for _, s := range values {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// decode reads a packed session. It trusts no length, and refuses an unknown version and trailing bytes: a seal proves
// who wrote the bytes, not that this version of Lanyard understands them.
func decode(packed []byte) (*Session, error) {
	if len(packed) > maxPacked {
		return nil, errPacked
	}
	r := reader{rest: packed, text: string(packed)}
	version := r.byte()
	if version < packedVersion || version > ofUser {
		return nil, errPacked
	}
	s := &Session{RoleID: r.string(), RoleName: r.string(), Name: r.string(), SourceIdentity: r.string(), Epoch: r.string()}
	s.Issued, s.Expires = r.moment(), r.moment()
	s.Chain = int(r.number(math.MaxInt32))
	s.Revision = int64(r.number(math.MaxInt64))
	if n := r.number(maxList); n > 0 {
		s.Tags = make([]Tag, n)
		for i := range s.Tags {
			s.Tags[i] = Tag{Key: r.string(), Value: r.string(), Transitive: r.bool()}
		}
	}
	s.Policies = r.strings()
	switch version {
	case listsRoles:
		s.Through = r.strings()
		r.failed = r.failed || len(s.Through) == 0
	case ofUser: // two readers must not see a role's session and a user's
		s.User = &User{ID: r.string(), KeyID: r.string()}
		r.failed = r.failed || s.User.ID == "" || s.User.KeyID == "" || s.RoleID != "" || s.RoleName != ""
	}
	if r.bool() {
		s.Origin = r.origin()
	}
	if r.failed || len(r.rest) > 0 {
		return nil, errPacked
	}
	return s, nil
}

// reader takes values off the front of rest. After the first one that is malformed it has failed, and answers zeros.
// text is rest once more, so that all strings of a session share one allocation.
type reader struct {
	rest   []byte
	text   string
	failed bool
}

// take moves on by n bytes and returns them in both forms.
func (r *reader) take(n uint64) ([]byte, string) {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil, ""
	}
	taken, text := r.rest[:n], r.text[:n]
	r.rest, r.text = r.rest[n:], r.text[n:]
	return taken, text
}

func (r *reader) byte() byte {
	if b, _ := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool {
	b := r.byte()
	r.failed = r.failed || b > 1
	return b == 1
}

// number reads a varint of at most limit. A longer spelling of the same number is refused.
func (r *reader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.failed || n <= 0 || v > limit || n > 1 && r.rest[n-1] == 0 {
		r.failed = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) string() string {
	_, s := r.take(r.number(maxPacked))
	return s
}

func (r *reader) strings() []string {
	n := r.number(maxList)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}

func (r *reader) moment() time.Time { return time.UnixMilli(int64(r.number(math.MaxInt64))).UTC() }

func (r *reader) origin() *Origin {
	o := &Origin{
		Cluster: r.string(), Namespace: r.string(), ServiceAccount: r.string(), PodName: r.string(), PodUID: r.string(),
		NodeName: r.string(), NodeUID: r.string(), Association: r.string(),
	}
	digest, _ := r.take(uint64(len(o.Digest)))
	copy(o.Digest[:], digest)
	return o
}
