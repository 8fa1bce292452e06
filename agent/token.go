package agent

import (
	"encoding/base64"
	"strings"
	"time"
	"unique"

	"github.com/tidwall/gjson"

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
	packed  packed
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

// parseToken reads the two times that can refuse a token early and cheaply, of a text whose shape is checked. The signature
// and everything else is EKS Auth's to judge. A token from the near future passes: this node's clock may be the one that is
// wrong.
func parseToken(text string, now time.Time) (podToken, error) {
	p, err := pack(text)
	if err != nil {
		return podToken{}, errEncoding
	}
	expires, ok := seconds(p.claims(), "exp")
	begins, okay := seconds(p.claims(), "nbf")
	if !ok || !okay || expires == 0 {
		return podToken{}, errClaims
	}
	t := podToken{text, p, time.Unix(expires, 0)}
	if !now.Before(t.expires) {
		return podToken{}, expiredToken(t.expires, now)
	}
	if begins := time.Unix(begins, 0); begins.After(now.Add(earliness)) {
		return podToken{}, fault.New(fault.BadToken, "the service account token is valid from %s on; this node's clock says %s",
			begins.UTC().Format(zulu), now.UTC().Format(zulu))
	}
	return t, nil
}

// seconds reads a moment as epoch seconds, 0 where it is absent. It is not ok where it is no moment.
func seconds(claims, name string) (at int64, ok bool) {
	found := gjson.Get(claims, name)
	if !found.Exists() {
		return 0, true
	}
	return int64(found.Num), found.Type == gjson.Number && found.Num >= 0 && found.Num <= latest
}

func expiredToken(expires, now time.Time) error {
	return fault.New(fault.ExpiredToken, "the service account token expired at %s; this node's clock says %s",
		expires.UTC().Format(zulu), now.UTC().Format(zulu))
}

var (
	errEncoding = fault.New(fault.BadToken, "the service account token is not base64url in all its parts")
	errClaims   = fault.New(fault.BadToken, "the service account token has no readable claims with an expiry")
)

// packed is a token as the cache keeps it: its parts decoded, a quarter shorter. The first part is the same in all tokens
// that one key has signed, and kept once.
type packed struct {
	header unique.Handle[string]
	rest   string // the other two parts
	length int    // of the second
}

// pack decodes a text whose shape is checked. The encoding is strict, so one token has one text, which text returns.
func pack(text string) (packed, error) {
	header, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	raw := make([]byte, packing.DecodedLen(len(payload))+packing.DecodedLen(len(signature)))
	n, err := packing.Decode(raw, []byte(payload))
	if err != nil {
		return packed{}, err
	}
	if _, err := packing.Decode(raw[n:], []byte(signature)); err != nil {
		return packed{}, err
	}
	return packed{unique.Make(header), string(raw), n}, nil
}

func (p packed) claims() string { return p.rest[:p.length] }

func (p packed) text() string {
	payload, signature := p.rest[:p.length], p.rest[p.length:]
	text := make([]byte, 0, len(p.header.Value())+packing.EncodedLen(len(payload))+packing.EncodedLen(len(signature))+2)
	text = append(append(text, p.header.Value()...), '.')
	text = append(packing.AppendEncode(text, []byte(payload)), '.')
	return string(packing.AppendEncode(text, []byte(signature)))
}

var packing = base64.RawURLEncoding.Strict()
