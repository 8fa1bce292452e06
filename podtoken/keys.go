package podtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/fault"
)

const (
	maxKeySet = 128 << 10 // bytes of a JSON Web Key Set
	maxKeys   = 64        // in one set
)

// algorithms are the ones that Kubernetes signs with (RFC 7518, section 3.1).
var algorithms = []string{"RS256", "ES256", "ES384", "ES512"}

// curves has the algorithm of each curve, and the bytes of one coordinate.
var curves = []struct {
	name, algorithm string
	curve           elliptic.Curve
	size            int
}{
	{"P-256", "ES256", elliptic.P256(), 32},
	{"P-384", "ES384", elliptic.P384(), 48},
	{"P-521", "ES512", elliptic.P521(), 66},
}

// privateMembers would make a key useful to a thief. They are refused, so that whoever sends one learns of it at once.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// Key is a public key that a cluster signs tokens with.
type Key struct {
	ID        string           // kid
	Algorithm string           // RS256, ES256, ES384 or ES512: the one that fits Public
	Public    crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey

	ready *rsaKey // of a key that ParseKeys read; of others it is made for each signature
}

// Equal says whether both are one key for one algorithm under one id.
func (k Key) Equal(other Key) bool {
	public, ok := k.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.ID == other.ID && k.Algorithm == other.Algorithm && public.Equal(other.Public)
}

// check refuses a key that has no id, is weak, or is not for its algorithm. Each key has exactly one algorithm, so a
// token cannot choose how its key is used.
func (k Key) check() error {
	algorithm, err := fitting(k.Public)
	switch {
	case k.ID == "" || len(k.ID) > 256:
		return errors.New("a kid of 1 to 256 characters is required")
	case err != nil:
		return err
	case k.Algorithm != algorithm:
		return fmt.Errorf("it has alg %.20q: %s fits it", k.Algorithm, algorithm)
	}
	return nil
}

// fitting returns the algorithm that a key is for.
func fitting(public crypto.PublicKey) (string, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 2048 || bits > 8192 {
			return "", fmt.Errorf("an RSA key of %d bits: 2048 to 8192 are accepted", bits)
		}
		if k.E < 65537 || k.E%2 == 0 || k.N.Bit(0) == 0 {
			return "", errors.New("an RSA key with a weak exponent or modulus")
		}
		return "RS256", nil
	case *ecdsa.PublicKey:
		for _, c := range curves {
			if k.Curve == c.curve {
				return c.algorithm, nil
			}
		}
	}
	return "", errors.New("RSA and the curves P-256, P-384 and P-521 are accepted")
}

// ParseKeys reads a JSON Web Key Set (RFC 7517) as an API server publishes it at /openid/v1/jwks. It refuses, with kind
// Invalid, the whole set if it cannot use one of its keys: a key left out silently is a rotation that fails later.
func ParseKeys(jwks []byte) ([]Key, error) {
	if len(jwks) > maxKeySet {
		return nil, fault.New(fault.Invalid, "a key set of %d bytes: at most %d are accepted", len(jwks), maxKeySet)
	}
	members, err := parseObject(jwks)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the key set: %w", err)
	}
	list, ok := members["keys"].([]any)
	if !ok || len(list) == 0 || len(list) > maxKeys {
		return nil, fault.New(fault.Invalid, "the key set must have a list %q of 1 to %d keys", "keys", maxKeys)
	}
	keys := make([]Key, 0, len(list))
	for i, value := range list {
		key, err := parseKey(value)
		if err != nil {
			return nil, fault.New(fault.Invalid, "key %d of the key set, kid %.80q: %w", i+1, key.ID, err)
		}
		if _, twice := find(keys, key.ID); twice {
			return nil, fault.New(fault.Invalid, "the key set has kid %.80q twice", key.ID)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseKey(value any) (Key, error) {
	members, ok := value.(map[string]any)
	if !ok {
		return Key{}, errors.New("it is not an object")
	}
	var k Key
	k.ID, _ = members["kid"].(string)
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return k, fmt.Errorf("it has the private member %q: send public keys only", name)
		}
	}
	if use, ok := members["use"]; ok && use != "sig" {
		return k, errors.New(`its use is not "sig"`)
	}
	var err error
	switch members["kty"] {
	case "RSA":
		k.Public, err = parseRSA(members)
	case "EC":
		k.Public, err = parseEC(members)
	default:
		err = errors.New("its kty is neither RSA nor EC")
	}
	if err != nil {
		return k, err
	}
	if k.Algorithm, err = fitting(k.Public); err != nil {
		return k, err
	}
	if given, ok := members["alg"]; ok {
		k.Algorithm, _ = given.(string)
	}
	if err := k.check(); err != nil {
		return k, err
	}
	if public, ok := k.Public.(*rsa.PublicKey); ok {
		k.ready, err = newRSAKey(public)
	}
	return k, err
}

// verify says whether the signature is the key's of the text. The key has passed check.
func (k Key) verify(text string, signature []byte) error {
	public, ok := k.Public.(*rsa.PublicKey)
	if !ok {
		return jwt.GetSigningMethod(k.Algorithm).Verify(text, signature, k.Public)
	}
	ready := k.ready
	if ready == nil {
		var err error
		if ready, err = newRSAKey(public); err != nil {
			return err
		}
	}
	return ready.verify(text, signature)
}

func parseRSA(members map[string]any) (*rsa.PublicKey, error) {
	n, err := parseBytes(members, "n")
	if err != nil {
		return nil, err
	}
	e, err := parseBytes(members, "e")
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 {
		return nil, errors.New("its e has more than 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func parseEC(members map[string]any) (*ecdsa.PublicKey, error) {
	x, err := parseBytes(members, "x")
	if err != nil {
		return nil, err
	}
	y, err := parseBytes(members, "y")
	if err != nil {
		return nil, err
	}
	for _, c := range curves {
		if members["crv"] != c.name {
			continue
		}
		if len(x) != c.size || len(y) != c.size {
			return nil, fmt.Errorf("its x and y have %d and %d bytes: %s has %d each", len(x), len(y), c.name, c.size)
		}
		public, err := ecdsa.ParseUncompressedPublicKey(c.curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, errors.New("its x and y are no point of the curve")
		}
		return public, nil
	}
	return nil, errors.New("its crv is none of P-256, P-384, P-521")
}

// parseBytes reads a member of base64url. A number with leading zeros would be a second spelling of the same key, but is
// common, and harmless: keys are compared by value.
func parseBytes(members map[string]any, name string) ([]byte, error) {
	text, ok := members[name].(string)
	if !ok || text == "" {
		return nil, fmt.Errorf("it lacks %q", name)
	}
	b, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("its %q is %w", name, err)
	}
	return b, nil
}

var base64url = base64.RawURLEncoding.Strict()

// decode reads unpadded base64url in the one spelling that its bytes have: without stray bits in the last character, and
// without the line breaks that the library skips.
func decode(text string) ([]byte, error) {
	b, err := base64url.DecodeString(text)
	if err != nil || base64url.EncodedLen(len(b)) != len(text) {
		return nil, errors.New("not unpadded base64url")
	}
	return b, nil
}

// webKey is a key as RFC 7518, section 6, writes it.
type webKey struct {
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
}

// MarshalKeys writes the keys as a JSON Web Key Set; ParseKeys reads it back. A key that ParseKeys would refuse is an error
// of kind Invalid.
func MarshalKeys(keys []Key) ([]byte, error) {
	set := struct {
		Keys []webKey `json:"keys"`
	}{Keys: make([]webKey, 0, len(keys))}
	for i, k := range keys {
		if err := k.check(); err != nil {
			return nil, fault.New(fault.Invalid, "key %.80q: %w", k.ID, err)
		}
		if _, twice := find(keys[:i], k.ID); twice {
			return nil, fault.New(fault.Invalid, "kid %.80q stands twice", k.ID)
		}
		w := webKey{ID: k.ID, Use: "sig", Algorithm: k.Algorithm}
		if err := w.put(k.Public); err != nil {
			return nil, fault.New(fault.Invalid, "key %.80q: %w", k.ID, err)
		}
		set.Keys = append(set.Keys, w)
	}
	return json.Marshal(set)
}

func (w *webKey) put(public crypto.PublicKey) error {
	encode := base64.RawURLEncoding.EncodeToString
	switch k := public.(type) {
	case *rsa.PublicKey:
		w.Type, w.N, w.E = "RSA", encode(k.N.Bytes()), encode(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4 ‖ x ‖ y
		if err != nil {
			return err
		}
		half := 1 + len(point)/2
		w.Type, w.Curve, w.X, w.Y = "EC", k.Params().Name, encode(point[1:half]), encode(point[half:])
	}
	return nil
}
