// Package podtoken verifies the service-account tokens that Kubernetes projects into pods: RFC 7519 tokens with the
// claims of https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens.
//
// A token is judged by the keys of one cluster, which the caller names: issuers are no identities, as half the world's
// clusters share https://kubernetes.default.svc.cluster.local.
package podtoken

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// maxToken bounds a token before anything else looks at it; Kubernetes's own have about 1,100 characters.
const maxToken = 16 << 10

// ErrUnknownKey is in the chain of the error for a token whose claims are all as they should be, but which names a key
// that the set does not have: the cluster may have rotated its keys. Other tokens never give cause to ask it for newer ones.
var ErrUnknownKey = errors.New("no such key in the cluster's list")

// KeySet is what one cluster signs its tokens with.
type KeySet struct {
	Cluster    string   // the immutable id
	Generation int64    // another one whenever Issuers or Keys changed: what was verified before counts no more
	Issuers    []string // one of them must be the token's, to the letter
	Keys       []Key
}

// Token is what a verified token says. It is shared between callers, who must not change it.
type Token struct {
	Issuer, Subject, Audience         string
	Namespace                         string
	ServiceAccount, ServiceAccountUID string
	ID                                string // jti; empty before Kubernetes 1.30
	Pod                               Ref    // zero when the token is bound to something else, or to nothing
	Node                              Ref    // zero before Kubernetes 1.30; the UID is empty when the node was gone
	Issued, Expires                   time.Time
	Hash                              [32]byte // SHA-256 of the token as sent

	Identity *Identity // what a token says that is no cluster's; nil for a cluster's

	notBefore time.Time
}

// Ref names an object of the cluster, and which of those that had the name one after another.
type Ref struct{ Name, UID string }

// Verifier verifies tokens and remembers those that it found good. It may be used by many goroutines.
type Verifier struct {
	cache *cache
}

// NewVerifier returns a verifier that remembers the last cacheSize good tokens, about 1 KiB each. With 0 it remembers none.
func NewVerifier(cacheSize int) *Verifier { return &Verifier{cache: newCache(cacheSize)} }

// Verify returns what the token says if a key of the set signed it for the audience, and it is now in its time. It
// refuses with ExpiredToken a good token whose time is over, and with BadToken all others; see ErrUnknownKey for one kind
// of them.
func (v *Verifier) Verify(set KeySet, audience, token string, now time.Time) (*Token, error) {
	if len(token) > maxToken {
		return nil, fault.New(fault.BadToken, "The token has %d characters: at most %d are accepted", len(token), maxToken)
	}
	hash := sha256.Sum256(append(make([]byte, 0, 2<<10), token...)) // a plain conversion would put the token on the heap
	id := cacheKey{cluster: set.Cluster, generation: set.Generation, audience: audience, hash: hash}
	if t := v.cache.get(id); t != nil {
		if err := t.inTime(now); err != nil {
			return nil, err
		}
		return t, nil
	}
	t, err := verify(set, audience, token, now)
	if err != nil {
		return nil, err
	}
	t.Hash = hash
	v.cache.put(id, t)
	return t, nil
}

// verify asks in the order of cost: the form, the header, the key, then the signature. Claims that no key has signed are looked at
// only when the key is unknown, to learn whether asking for newer keys is worth it.
func verify(set KeySet, audience, token string, now time.Time) (*Token, error) {
	p, err := split(token)
	if err != nil {
		return nil, err
	}
	head, err := parseHeader(p.header)
	if err != nil {
		return nil, err
	}
	key, known := find(set.Keys, head.keyID)
	if !known {
		if _, err := parseClaims(p.claims, set, audience, now); err != nil {
			return nil, fault.Hide(fault.BadToken, err, "The token is not signed by a key of the cluster")
		}
		return nil, fault.New(fault.BadToken, "The token is signed by key %.80q: %w", head.keyID, ErrUnknownKey)
	}
	if err := p.signedBy(head, key); err != nil {
		return nil, err
	}
	return parseClaims(p.claims, set, audience, now)
}

// signedBy verifies the signature with the key that the header names.
func (p parts) signedBy(head header, key Key) error {
	if err := key.check(); err != nil {
		return fault.Hide(fault.BadToken, err, "The token is signed by a key that is not accepted")
	}
	if head.algorithm != key.Algorithm {
		return fault.New(fault.BadToken, "The token has alg %.20q: its key %.80q is for %s", head.algorithm, key.ID, key.Algorithm)
	}
	if err := key.verify(p.signed, p.signature); err != nil {
		return malformed(err)
	}
	return nil
}

func malformed(cause error) error {
	return fault.Hide(fault.BadToken, cause, "The token is malformed or its signature is wrong")
}

// parts are a token's, decoded once.
type parts struct {
	header, claims, signature []byte
	signed                    string // header and claims as sent
}

// split holds the token to the compact form (RFC 7515, section 7.1): three parts of base64url with dots between.
func split(token string) (parts, error) {
	if dots := strings.Count(token, "."); dots != 2 {
		return parts{}, fault.New(fault.BadToken, "The token has %d parts: 3 are accepted", dots+1)
	}
	var decoded [3][]byte
	for i, text := range strings.Split(token, ".") {
		var err error
		if decoded[i], err = decode(text); err != nil {
			return parts{}, fault.New(fault.BadToken, "Part %d of the token is %w", i+1, err)
		}
	}
	return parts{decoded[0], decoded[1], decoded[2], token[:strings.LastIndexByte(token, '.')]}, nil
}

type header struct{ algorithm, keyID string }

// parseHeader reads the JOSE header. Members other than alg, kid and typ are refused by name: each known one either brings
// its own key (jwk, jku, x5c, x5u), or changes how the token is to be read (crit, b64, zip, enc). Those that are passed over
// must be texts all the same.
func parseHeader(data []byte, passedOver ...string) (header, error) {
	members, err := parseObject(data)
	if err != nil {
		return header{}, malformed(err)
	}
	var h header
	for name, value := range members {
		text, ok := value.(string)
		switch name {
		case "alg":
			h.algorithm = text
		case "kid":
			h.keyID = text
		case "typ":
			ok = ok && strings.EqualFold(text, "JWT")
		default:
			if ok && slices.Contains(passedOver, name) {
				continue
			}
			return header{}, fault.New(fault.BadToken, "The token's header has %.20q: alg, kid and typ are accepted", name)
		}
		if !ok {
			return header{}, fault.New(fault.BadToken, "The token's header has an unexpected %s", name)
		}
	}
	if !slices.Contains(algorithms, h.algorithm) {
		return header{}, fault.New(fault.BadToken, "The token has alg %.20q: %s are accepted", h.algorithm, strings.Join(algorithms, ", "))
	}
	if h.keyID == "" {
		return header{}, fault.New(fault.BadToken, "The token's header lacks kid")
	}
	return h, nil
}

func find(keys []Key, id string) (Key, bool) {
	for _, k := range keys {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}
