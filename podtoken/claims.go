package podtoken

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	leeway     = time.Minute  // for clocks that disagree about a token's start; its end has none
	lastMoment = 253402300799 // the end of the year 9999, in seconds since 1970: beyond it, moments cannot be written down
)

// parseClaims checks the claims and returns them as a Token. Claims that it does not know it leaves alone: Kubernetes adds
// new ones with new versions.
func parseClaims(data []byte, set KeySet, audience string, now time.Time) (*Token, error) {
	members, err := parseObject(data)
	if err != nil {
		return nil, malformed(err)
	}
	r := reader{}
	all := object{members: members}
	t := &Token{
		Issuer:    r.text(all, "iss", isText),
		Subject:   r.text(all, "sub", isText),
		Audience:  r.audience(all, audience),
		Issued:    r.moment(all, "iat"),
		Expires:   r.moment(all, "exp"),
		ID:        r.optional(all, "jti", isOpaque),
		notBefore: time.Unix(0, 0),
	}
	if all.has("nbf") {
		t.notBefore = r.moment(all, "nbf")
	}
	k8s := r.object(all, "kubernetes.io")
	t.Namespace = r.text(k8s, "namespace", isLabel)
	account := r.object(k8s, "serviceaccount")
	t.ServiceAccount, t.ServiceAccountUID = r.text(account, "name", isSubdomain), r.text(account, "uid", isOpaque)
	if k8s.has("pod") {
		pod := r.object(k8s, "pod")
		t.Pod = Ref{Name: r.text(pod, "name", isSubdomain), UID: r.text(pod, "uid", isOpaque)}
	}
	if k8s.has("node") {
		node := r.object(k8s, "node")
		t.Node = Ref{Name: r.text(node, "name", isSubdomain), UID: r.optional(node, "uid", isOpaque)}
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case !slices.Contains(set.Issuers, t.Issuer):
		return nil, fault.New(fault.BadToken, "The token's issuer %.200q is not one of the cluster's", t.Issuer)
	case t.Subject != "system:serviceaccount:"+t.Namespace+":"+t.ServiceAccount:
		return nil, fault.New(fault.BadToken, "The token's sub %.200q is not its namespace %q and service account %q", t.Subject, t.Namespace, t.ServiceAccount)
	case !t.Issued.Before(t.Expires):
		return nil, fault.New(fault.BadToken, "The token ends before it starts")
	}
	return t, t.inTime(now)
}

// inTime refuses a token before its start, and at and after its end.
func (t *Token) inTime(now time.Time) error {
	if !now.Before(t.Expires) {
		return fault.New(fault.ExpiredToken, "The token included in the request is expired: current date/time %d must be before the expiration date/time %d", now.Unix(), t.Expires.Unix())
	}
	for _, start := range []time.Time{t.notBefore, t.Issued} {
		if start.Sub(now) > leeway {
			return fault.New(fault.BadToken, "The token is not valid yet: current date/time %d must not be before %d", now.Unix(), start.Unix())
		}
	}
	return nil
}

// object is a JSON object and how messages call its members.
type object struct {
	prefix  string
	members map[string]any
}

func (o object) has(name string) bool {
	_, ok := o.members[name]
	return ok
}

// reader takes values out of claims. Its first error stays, and all that follows is zero.
type reader struct{ err error }

func (r *reader) refuse(o object, name, accepted string) {
	if r.err != nil {
		return
	}
	if !o.has(name) {
		r.err = fault.New(fault.BadToken, "The token lacks the claim %s%s", o.prefix, name)
		return
	}
	r.err = fault.New(fault.BadToken, "The token's claim %s%s is not accepted: it is to be %s", o.prefix, name, accepted)
}

// form is what a string claim must look like. Namespace, names and uids become session tags and parts of session names,
// so they must look like what Kubernetes calls by them, whoever holds the key.
type form struct {
	most     int // characters
	accepted string
	is       func(string) bool
}

var (
	isText      = form{most: 2048, accepted: "a string", is: func(string) bool { return true }}
	isLabel     = form{most: 63, accepted: "a DNS label", is: dnsLabel}
	isSubdomain = form{most: 253, accepted: "a DNS name", is: dnsName}
	isOpaque    = form{most: 128, accepted: "an identifier", is: identifier}
)

func (r *reader) text(o object, name string, f form) string {
	s, ok := o.members[name].(string)
	if !ok || s == "" || len(s) > f.most || !f.is(s) {
		r.refuse(o, name, f.accepted)
		return ""
	}
	return s
}

// optional is text for a claim that may be left out, but not be of another form.
func (r *reader) optional(o object, name string, f form) string {
	if !o.has(name) {
		return ""
	}
	return r.text(o, name, f)
}

func (r *reader) object(o object, name string) object {
	members, ok := o.members[name].(map[string]any)
	if !ok {
		r.refuse(o, name, "an object")
	}
	return object{prefix: o.prefix + name + "/", members: members}
}

// moment reads seconds since 1970, as Kubernetes writes them: a whole number, which a float64 holds exactly up to lastMoment
// and far beyond.
func (r *reader) moment(o object, name string) time.Time {
	seconds, _ := o.members[name].(float64)
	if seconds <= 0 || seconds > lastMoment || seconds != math.Trunc(seconds) {
		r.refuse(o, name, "whole seconds since 1970")
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// audience accepts the wanted audience alone, as a string or as a list of one. A token that is also for another audience
// could have been taken from, or be replayed at, a service that must not act for the pod here.
func (r *reader) audience(o object, wanted string) string {
	value := o.members["aud"]
	if list, ok := value.([]any); ok && len(list) == 1 {
		value = list[0]
	}
	if aud, ok := value.(string); !ok || aud == "" || aud != wanted {
		r.refuse(o, "aud", strconv.Quote(wanted)+" alone")
	}
	return wanted
}

// dnsName reports whether s is an RFC 1123 subdomain, Kubernetes's form for most names.
func dnsName(s string) bool {
	start := 0
	for i := range len(s) {
		if s[i] == '.' {
			if !dnsLabel(s[start:i]) {
				return false
			}
			start = i + 1
		}
	}
	return dnsLabel(s[start:])
}

// dnsLabel reports whether s has lower-case letters, digits and, inside, hyphens. A label of a longer name may have more
// than 63 characters: Kubernetes counts the whole name only.
func dnsLabel(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' || 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return s != "" && s[0] != '-' && s[len(s)-1] != '-'
}

func identifier(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
