package podtoken

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// Identity is what an OpenID Connect token (https://openid.net/specs/openid-connect-core-1_0.html#IDToken) says besides what
// every token does. It is of any issuer, not of a cluster that is known.
type Identity struct {
	Audiences       []string // of the claim aud
	AuthorizedParty string   // the claim azp, which is then the token's audience, as at STS
	Methods         []string // the claim amr
	SourceIdentity  string   // a claim of AWS's
	Tags            []IdentityTag
}

// IdentityTag is a session tag that the issuer gives
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp).
type IdentityTag struct {
	Key, Value string
	Transitive bool
}

// The claims that are AWS's. Tags stand in one object, or each in a claim of its own.
const (
	tagsClaim     = "https://aws.amazon.com/tags"
	principalTags = "principal_tags"
	transitive    = "transitive_tag_keys"
	sourceClaim   = "https://aws.amazon.com/source_identity"
)

// passedOver stand in the headers of well-known issuers, and only say once more which key it was.
var passedOver = []string{"x5t", "x5t#S256"}

const maxAudiences = 16

// VerifyIdentity returns what an OpenID Connect token says if a key of the set signed it for one of the audiences, and it is
// now in its time. The set's one issuer must be the token's, to the letter. What it refuses is of the kinds that Verify
// refuses with. All that costs little comes before the signature.
func (v *Verifier) VerifyIdentity(set KeySet, audiences []string, token string, now time.Time) (*Token, error) {
	if len(token) > maxToken {
		return nil, fault.New(fault.BadToken, "The token has %d characters: at most %d are accepted", len(token), maxToken)
	}
	hash := sha256.Sum256([]byte(token))
	id := cacheKey{cluster: set.Cluster, generation: set.Generation, hash: hash} // no cluster's token has an empty audience
	t := v.cache.get(id)
	if t == nil {
		var err error
		if t, err = verifyIdentity(set, audiences, token, now); err != nil {
			return nil, err
		}
		t.Hash = hash
		v.cache.put(id, t)
	}
	if err := t.meant(set, audiences); err != nil {
		return nil, err
	}
	return t, t.inTime(now)
}

func verifyIdentity(set KeySet, audiences []string, token string, now time.Time) (*Token, error) {
	p, err := split(token)
	if err != nil {
		return nil, err
	}
	head, err := parseHeader(p.header, passedOver...)
	if err != nil {
		return nil, err
	}
	t, err := parseIdentity(p.claims)
	if err != nil {
		return nil, err
	}
	if err := t.meant(set, audiences); err != nil {
		return nil, err
	}
	if err := t.inTime(now); err != nil {
		return nil, err
	}
	key, known := find(set.Keys, head.keyID)
	if !known {
		return nil, fault.New(fault.BadToken, "The token is signed by key %.80q: %w", head.keyID, ErrUnknownKey)
	}
	return t, p.signedBy(head, key)
}

// meant refuses a token of another issuer, or for others. The words are STS's.
func (t *Token) meant(set KeySet, audiences []string) error {
	switch {
	case !slices.Contains(set.Issuers, t.Issuer):
		return fault.New(fault.BadToken, "No OpenIDConnect provider found in your account for %.255s", t.Issuer)
	case !slices.Contains(audiences, t.Audience):
		return fault.New(fault.BadToken, "Incorrect token audience")
	}
	return nil
}

// Addressed is what a token that nobody has verified says about who made it and for whom. It serves to find the keys, and
// decides nothing.
type Addressed struct {
	Issuer    string
	Audiences []string
}

// ReadAddress reads a token that nobody has verified.
func ReadAddress(token string) (Addressed, error) {
	if len(token) > maxToken {
		return Addressed{}, fault.New(fault.BadToken, "The token has %d characters: at most %d are accepted", len(token), maxToken)
	}
	p, err := split(token)
	if err != nil {
		return Addressed{}, err
	}
	members, err := parseObject(p.claims)
	if err != nil {
		return Addressed{}, malformed(err)
	}
	r, all := reader{}, object{members: members}
	a := Addressed{r.text(all, "iss", isText), r.texts(all, "aud", maxAudiences)}
	return a, r.err
}

// parseIdentity reads the claims. Those that it does not know it leaves alone, as every reader of such tokens does.
func parseIdentity(data []byte) (*Token, error) {
	members, err := parseObject(data)
	if err != nil {
		return nil, malformed(err)
	}
	r := reader{}
	all := object{members: members}
	id := &Identity{Audiences: r.texts(all, "aud", maxAudiences)}
	t := &Token{
		Issuer: r.text(all, "iss", isText), Subject: r.text(all, "sub", isSubject), Issued: r.moment(all, "iat"), Expires: r.moment(all, "exp"),
		ID: r.optional(all, "jti", isText), Identity: id, notBefore: time.Unix(0, 0),
	}
	if all.has("nbf") {
		t.notBefore = r.moment(all, "nbf")
	}
	id.AuthorizedParty = r.optional(all, "azp", isText)
	if all.has("amr") {
		id.Methods = r.texts(all, "amr", maxAudiences)
	}
	id.SourceIdentity = r.optional(all, sourceClaim, isText)
	r.tags(all, id)
	switch {
	case r.err != nil:
		return nil, r.err
	case !t.Issued.Before(t.Expires):
		return nil, fault.New(fault.BadToken, "The token ends before it starts")
	case id.AuthorizedParty != "":
		t.Audience = id.AuthorizedParty
	case len(id.Audiences) == 1:
		t.Audience = id.Audiences[0]
	default: // it could have been taken from any of them
		return nil, fault.New(fault.BadToken, "The token has %d audiences and no azp: one of them has to be named there", len(id.Audiences))
	}
	return t, nil
}

// isSubject bounds sub as STS does.
var isSubject = form{most: 255, accepted: "a string of at most 255 characters", is: func(string) bool { return true }}

// texts reads a string, or a list of 1 to most of them.
func (r *reader) texts(o object, name string, most int) []string {
	list, ok := o.members[name].([]any)
	if !ok {
		return []string{r.text(o, name, isText)}
	}
	all := make([]string, 0, len(list))
	for _, value := range list {
		s, ok := value.(string)
		if !ok || s == "" || len(s) > isText.most {
			break
		}
		all = append(all, s)
	}
	if len(all) != len(list) || len(all) == 0 || len(all) > most {
		r.refuse(o, name, "a string or a list of strings")
		return nil
	}
	return all
}

// tags reads the session tags, in both of their forms. A member that is not known could be meant to narrow them.
func (r *reader) tags(all object, id *Identity) {
	values, keys := object{members: map[string]any{}}, []string(nil)
	if all.has(tagsClaim) {
		nested := r.object(all, tagsClaim)
		for name := range nested.members {
			switch name {
			case principalTags:
				values = r.object(nested, name)
			case transitive:
				keys = r.keys(nested, name)
			default:
				r.refuse(all, tagsClaim, "an object of "+principalTags+" and "+transitive)
			}
		}
	}
	const prefix = tagsClaim + "/" + principalTags + "/"
	for name, value := range all.members {
		if key, ok := strings.CutPrefix(name, prefix); ok {
			if values.has(key) {
				r.refuse(all, name, "in one of the two forms of tags alone")
				return
			}
			values.members[key] = value
		}
	}
	if flat := tagsClaim + "/" + transitive; all.has(flat) {
		keys = append(keys, r.keys(all, flat)...)
	}
	for key := range values.members {
		id.Tags = append(id.Tags, IdentityTag{Key: key, Value: r.tagValue(values, key)})
	}
	slices.SortFunc(id.Tags, func(a, b IdentityTag) int { return cmp.Compare(a.Key, b.Key) })
	for _, key := range keys {
		i := slices.IndexFunc(id.Tags, func(t IdentityTag) bool { return strings.EqualFold(t.Key, key) })
		if i < 0 {
			r.refuse(all, tagsClaim, "with "+transitive+" that are among its "+principalTags)
			return
		}
		id.Tags[i].Transitive = true
	}
}

// keys reads which tags are transitive, which may be none.
func (r *reader) keys(o object, name string) []string {
	if list, ok := o.members[name].([]any); ok && len(list) == 0 {
		return nil
	}
	const most = 50 // tags of a session
	return r.texts(o, name, most)
}

// tagValue reads one value, which the nested form has in a list of its own and which may be empty.
func (r *reader) tagValue(o object, key string) string {
	value := o.members[key]
	if list, ok := value.([]any); ok && len(list) == 1 {
		value = list[0]
	}
	s, ok := value.(string)
	if !ok || len(s) > isText.most {
		r.refuse(o, key, "a string or a list of one")
	}
	return s
}

// ParseIssuerKeys reads the JSON Web Key Set of any issuer. Unlike ParseKeys it leaves out the keys that are of no use here,
// such as those for encryption, for an issuer has them for others. Which those are is not told: the issuer is a stranger.
func ParseIssuerKeys(jwks []byte) ([]Key, error) {
	if len(jwks) > maxKeySet {
		return nil, fault.New(fault.Invalid, "a key set of %d bytes: at most %d are accepted", len(jwks), maxKeySet)
	}
	members, err := parseObject(jwks)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the key set: %w", err)
	}
	list, _ := members["keys"].([]any)
	if len(list) > maxKeys {
		return nil, fault.New(fault.Invalid, "the key set has %d keys: at most %d are accepted", len(list), maxKeys)
	}
	var keys []Key
	var seen []string
	for _, value := range list {
		object, _ := value.(map[string]any)
		id, _ := object["kid"].(string)
		if id != "" && slices.Contains(seen, id) {
			return nil, fault.New(fault.Invalid, "the key set has kid %.80q twice", id)
		}
		seen = append(seen, id)
		if key, err := parseKey(value); err == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fault.New(fault.Invalid, "the key set has no key that is accepted: RSA and the curves P-256, P-384 and P-521, with a kid")
	}
	return keys, nil
}
