// Package session seals what a caller has become into the temporary credentials that prove it, in the three-part form
// of https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp.html.
//
// Nothing about a session is stored: the session token carries all of it, sealed under a key of its account, with a MAC
// of the server's around that. Who holds the account's key alone (a gateway) can open the account's sessions and can
// forge none for the doors that check both.
package session

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// Session is a role that somebody has become for a while, or a user who has themselves or a guest act for a while. Permissions are not part of it: they are read when the
// session is used, so that one taken away is gone at once.
type Session struct {
	Account        string // 12 digits: the role's or the user's
	RoleID         string // AROA…, so that a role made anew under an old name does not inherit sessions
	RoleName       string
	User           *User  // whose session it is, where it is no role's; then RoleID and RoleName are empty
	Name           string // the session name, the last piece of the assumed-role ARN; of a user's session the guest, "" for themselves
	Tags           []Tag
	Policies       []string // session policies: a document, or the ARN of a managed one of the account, read at each use
	SourceIdentity string
	Issued         time.Time // kept to the millisecond
	Expires        time.Time // kept to the millisecond
	Chain          int       // how many sessions stand before this one: 0 for the first
	Through        []string  // the other roles, by id or by AWS's ARN, and the sessions on the way to this one, each once: whoever revokes one ends this session, too
	Origin         *Origin   // nil when no pod and no node stands behind the session
	Revision       int64     // of the store at minting: a door whose copy is older catches up first
	Epoch          string    // of the store: a restore changes it, and revisions of two epochs do not compare
	AccessKeyID    string    // set by Mint and Open

	secret string
	packed int // bytes, once minted
}

// User says by which long-term key a user asked for a session, which falls with the key and with the user.
type User struct {
	ID    string // AIDA…, so that a user made anew under an old name does not inherit sessions
	KeyID string // AKIA…
}

// Longest is how long a session may be at most: a user's, of GetSessionToken. What opens sessions and what ends them is kept for
// longer.
const Longest = 36 * time.Hour

// Tag is a session tag. A transitive one goes on to the sessions that this one assumes.
type Tag struct {
	Key, Value string
	Transitive bool
}

// Origin says where a session came from, so that it falls with its association, pod, node or cluster. A session that
// another one assumed has the first one's origin.
type Origin struct {
	Cluster                   string // the immutable id, not the name
	Namespace, ServiceAccount string
	PodName, PodUID           string
	NodeName, NodeUID         string
	Association               string   // id; empty for an agent or a connector, which have none
	Digest                    [32]byte // of the association as it was at minting: see Digest
}

// ID is what Through and revocations have for the session: ACCOUNT/KEY. An access key id alone says nothing of whose it is.
func (s *Session) ID() string { return s.Account + "/" + s.AccessKeyID }

// Secret returns the secret access key that the session's holder signs with.
func (s *Session) Secret() string { return s.secret }

// Live refuses a session whose time is over, with kind ExpiredCredentials. Open leaves this question to its caller, who
// may want to say of an expired session whose it was.
func (s *Session) Live(now time.Time) error {
	if now.Before(s.Expires) {
		return nil
	}
	return fault.New(fault.ExpiredCredentials, "The security token included in the request is expired")
}

// PackedPercent returns how much of the room for a packed session this one takes: STS's PackedPolicySize. It is above 100
// for a session that Mint refuses.
func (s *Session) PackedPercent() int {
	if s.packed == 0 {
		return percent(len(s.appendTo(nil)))
	}
	return percent(s.packed)
}

func percent(size int) int { return (size*100 + maxPacked - 1) / maxPacked }

// Digest returns the SHA-256 of what an association grants. A session of an association that was deleted and created
// again is honoured if both grant the same, which is when the digests are equal. Each field is hashed with its length, so
// that no two associations share a digest by moving a character from one field to the next.
func Digest(roleID, targetRoleID, policy string, disableTags bool) [32]byte {
	b := make([]byte, 0, 256)
	for _, field := range []string{"lanyard association 1", roleID, targetRoleID, policy} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(field)))
		b = append(b, field...)
	}
	return sha256.Sum256(appendBool(b, disableTags))
}

// LogValue names the session and leaves out its secret. It and the next two are of the value, which serves the pointer, too.
func (s Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("account", s.Account), slog.String("role", s.RoleName),
		slog.String("name", s.Name), slog.String("access_key_id", s.AccessKeyID))
}

// String names the session and leaves out its secret, which fmt would otherwise print.
func (s Session) String() string {
	return s.Account + "/" + s.RoleName + "/" + s.Name + " " + s.AccessKeyID
}

// GoString is String, for the verb that ignores it.
func (s Session) GoString() string { return s.String() }

// KeyID names a sealing key. It is drawn at random when the key is made.
type KeyID [8]byte

// String returns the id in hexadecimal.
func (id KeyID) String() string { return fmt.Sprintf("%x", id[:]) }

// Key is a sealing key: an account's, which opens its sessions, or the server's, which vouches for them.
type Key struct {
	ID     KeyID
	Secret [32]byte
}

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String keeps the secret out of formatted text.
func (k Key) String() string { return k.ID.String() + " REDACTED" }

// GoString is String, for the verb that ignores it.
func (k Key) GoString() string { return k.String() }

// Credentials is what a session's holder is given.
type Credentials struct {
	AccessKeyID     string // ASIA and 16 characters
	SecretAccessKey string // 40 characters
	SessionToken    string // of A-Z a-z 0-9 - _, so that it survives headers, forms, queries and shells as it is
	Expires         time.Time
}

// LogValue keeps the secrets out of logs.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String keeps the secrets out of formatted text.
func (c Credentials) String() string { return c.AccessKeyID + " REDACTED" }

// GoString is String, for the verb that ignores it.
func (c Credentials) GoString() string { return c.String() }
