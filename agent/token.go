package agent

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unique"

	"github.com/openlanyard/lanyard/fault"
)

const (
	maxToken  = 16 << 10         // bytes; a pod's token has about 1,200
	earliness = 30 * time.Minute // beyond what EKS Auth would call a wrong clock
	latest    = 253402300799     // the last second of the year 9999
)

// podToken is a token that is worth asking EKS Auth about. Nothing of it is verified here.
type podToken struct {
	text    string
	expires time.Time
}

// checkShape refuses what cannot be a token, before any of it is decoded: three parts of base64url.
func checkShape(text string) error {
	if text == "" {
		return fault.New(fault.BadToken, "the Authorization header is empty: the service account token is expected")
	}
	if len(text) > maxToken {
		return fault.New(fault.BadToken, "a service account token of %d bytes: at most %d are accepted", len(text), maxToken)
	}
	parts, start := 1, 0
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '-', c == '_':
		case c == '.' && i > start:
			parts, start = parts+1, i+1
		default:
			return errShape
		}
	}
	if parts != 3 || start == len(text) {
		return errShape
	}
	return nil
}

var errShape = fault.New(fault.BadToken, "the Authorization header is not a service account token: the raw token is expected, without a prefix")

// parseToken reads the two times that can refuse a token early and cheaply. The signature and everything else is EKS
// Auth's to judge. A token from the near future passes: this node's clock may be the one that is wrong.
func parseToken(text string, now time.Time) (podToken, error) {
	_, rest, _ := strings.Cut(text, ".")
	payload, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return podToken{}, errClaims
	}
	var claims struct {
		Expires   *float64 `json:"exp"`
		NotBefore float64  `json:"nbf"`
	}
	if json.Unmarshal(raw, &claims) != nil {
		return podToken{}, errClaims
	}
	if claims.Expires == nil || *claims.Expires < 0 || *claims.Expires > latest || claims.NotBefore > latest {
		return podToken{}, errClaims
	}
	t := podToken{text, time.Unix(int64(*claims.Expires), 0)}
	if !now.Before(t.expires) {
		return podToken{}, expiredToken(t.expires, now)
	}
	if begins := time.Unix(int64(max(claims.NotBefore, 0)), 0); begins.After(now.Add(earliness)) {
		return podToken{}, fault.New(fault.BadToken, "the service account token is valid from %s on; this node's clock says %s",
			begins.UTC().Format(zulu), now.UTC().Format(zulu))
	}
	return t, nil
}

func expiredToken(expires, now time.Time) error {
	return fault.New(fault.ExpiredToken, "the service account token expired at %s; this node's clock says %s",
		expires.UTC().Format(zulu), now.UTC().Format(zulu))
}

var errClaims = fault.New(fault.BadToken, "the service account token has no readable claims with an expiry")

// packed is a token as the cache keeps it: its parts decoded, a quarter shorter. The first part is the same in all tokens
// that one key has signed, and kept once.
type packed struct {
	header unique.Handle[string]
	rest   string // the other two parts
	claims int    // the length of the second; negative: the token has another form, and rest is its text
}

// pack keeps a token so that text returns it to the last bit: one whose encoding is not the usual is left as it is.
func pack(text string) packed {
	header, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	raw := make([]byte, packing.DecodedLen(len(payload))+packing.DecodedLen(len(signature)))
	n, err := packing.Decode(raw, []byte(payload))
	if err == nil {
		_, err = packing.Decode(raw[n:], []byte(signature))
	}
	if p := (packed{unique.Make(header), string(raw), n}); err == nil && p.text() == text {
		return p
	}
	return packed{rest: text, claims: -1}
}

func (p packed) text() string {
	if p.claims < 0 {
		return p.rest
	}
	payload, signature := p.rest[:p.claims], p.rest[p.claims:]
	text := make([]byte, 0, len(p.header.Value())+packing.EncodedLen(len(payload))+packing.EncodedLen(len(signature))+2)
	text = append(append(text, p.header.Value()...), '.')
	text = append(packing.AppendEncode(text, []byte(payload)), '.')
	return string(packing.AppendEncode(text, []byte(signature)))
}

var packing = base64.RawURLEncoding.Strict()
