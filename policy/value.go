package policy

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// value is a number, a moment or an address, of a policy or of a request; which field counts, the operator's domain says.
type value struct {
	number  decimal
	moment  time.Time // UTC
	network netip.Prefix
}

// order is the set of the ways in which the request's value may stand to the policy's.
type order uint8

const (
	below order = 1 << iota
	same
	above
)

// has reports whether the set has the outcome of a comparison: -1, 0 or 1.
func (o order) has(compared int) bool { return o&(below<<(compared+1)) != 0 }

// typed reports whether the domain compares values that have to be read first.
func (d domain) typed() bool { return d == number || d == date || d == address }

// readValue reads what a request has for a key, without an allocation unless it cannot be read.
func (d domain) readValue(s string) (v value, ok bool) {
	switch d {
	case number:
		v.number, ok = readDecimal(s)
	case date:
		v.moment, ok = readMoment(s)
	case address:
		v.network, ok = readAddress(s)
	}
	return v, ok
}

// readTyped reads what a policy compares with. Variables are not accepted here, as at IAM.
func (d domain) readTyped(s string) (v value, err error) {
	v, ok := d.readValue(s)
	switch {
	case ok && (d != address || !strings.Contains(s, "%")): // a zone says nothing in a policy
		return v, nil
	case d == number:
		return v, fmt.Errorf("value %q is not a number: digits such as 10, -2 or 0.5 are accepted", s)
	case d == date:
		return v, fmt.Errorf("value %q is not a time: ISO 8601 such as 2026-11-25, 2026-11-25T09:00:00Z or 2026-11-25T09:00:00+01:00, and the "+
			"seconds since 1970, are accepted", s)
	}
	v.network, err = netip.ParsePrefix(s) // takes no zone
	if err != nil || v.network.Addr().Is4In6() {
		return value{}, fmt.Errorf("value %q is not an address or network: such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32 are accepted", s)
	}
	v.network = v.network.Masked()
	return v, nil
}

// fits reports whether the request's value stands to the policy's as the operator wants.
func (op *operator) fits(request, given *value) bool {
	switch op.domain {
	case number:
		return op.order.has(request.number.compare(given.number))
	case date:
		return op.order.has(request.moment.Compare(given.moment))
	}
	return given.network.Contains(request.network.Addr())
}

// decimal is a number as it is written: exact, whatever its length.
type decimal struct {
	negative        bool
	whole, fraction string // digits without zeros that say nothing
}

const maxDigits = 64

func readDecimal(s string) (decimal, bool) {
	if len(s) > maxDigits {
		return decimal{}, false
	}
	rest, negative := strings.CutPrefix(s, "-")
	whole, fraction, pointed := strings.Cut(rest, ".")
	if !isDigits(whole) || pointed && !isDigits(fraction) {
		return decimal{}, false
	}
	d := decimal{whole: strings.TrimLeft(whole, "0"), fraction: strings.TrimRight(fraction, "0")}
	d.negative = negative && d.whole+d.fraction != "" // there is one zero
	return d, true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func (d decimal) compare(e decimal) int {
	if d.negative != e.negative {
		if d.negative {
			return -1
		}
		return 1
	}
	if d.negative {
		d, e = e, d
	}
	switch { // without leading zeros the longer one is the larger
	case len(d.whole) != len(e.whole):
		if len(d.whole) < len(e.whole) {
			return -1
		}
		return 1
	case d.whole != e.whole:
		return strings.Compare(d.whole, e.whole)
	}
	return strings.Compare(d.fraction, e.fraction)
}

// readMoment reads the forms of https://www.w3.org/TR/NOTE-datetime, and seconds since 1970. Four digits are a year. The
// standard library's parser would do for the one form that our doors write, and allocates for others.
func readMoment(s string) (time.Time, bool) {
	if isDigits(s) && len(s) != 4 {
		if len(s) > 12 {
			return time.Time{}, false
		}
		seconds := int64(0)
		for i := range len(s) {
			seconds = 10*seconds + int64(s[i]-'0')
		}
		return time.Unix(seconds, 0).UTC(), true
	}
	r := timeReader{rest: s, ok: true}
	year, month, day, clock, offset := r.digits(4), 1, 1, time.Duration(0), 0
	if r.more('-') {
		month = r.digits(2)
		if r.more('-') {
			day = r.digits(2)
			if r.more('T') {
				clock, offset = r.clock(), r.zone()
			}
		}
	}
	at := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	exists := at.Month() == time.Month(month) && at.Day() == day // February has no 30th
	return at.Add(clock - time.Duration(offset)*time.Minute), r.ok && r.rest == "" && exists
}

// timeReader reads a time from the left. After something that it did not expect ok is false.
type timeReader struct {
	rest string
	ok   bool
}

// more takes a character if it comes next.
func (r *timeReader) more(c byte) bool {
	if r.rest == "" || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *timeReader) want(c byte) { r.ok = r.more(c) && r.ok }

// digits takes a number of n digits.
func (r *timeReader) digits(n int) (number int) {
	if len(r.rest) < n || !isDigits(r.rest[:n]) {
		r.ok = false
		return 0
	}
	for i := range n {
		number = 10*number + int(r.rest[i]-'0')
	}
	r.rest = r.rest[n:]
	return number
}

// clock takes hours, minutes and, where they are there, seconds and their parts.
func (r *timeReader) clock() time.Duration {
	hour := r.digits(2)
	r.want(':')
	minute, second, nanos := r.digits(2), 0, 0
	if r.more(':') {
		second = r.digits(2)
		if r.more('.') {
			nanos = r.nanos()
		}
	}
	r.ok = r.ok && hour < 24 && minute < 60 && second < 60
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(nanos)
}

// nanos takes the digits behind the point of seconds: one to nine.
func (r *timeReader) nanos() int {
	n := 0
	for n < len(r.rest) && isDigits(r.rest[n:n+1]) {
		n++
	}
	if n < 1 || n > 9 {
		r.ok = false
		return 0
	}
	number := r.digits(n)
	for range 9 - n {
		number *= 10
	}
	return number
}

// zone takes Z or an offset, and returns the offset in minutes.
func (r *timeReader) zone() int {
	sign := 1
	switch {
	case r.more('Z'):
		return 0
	case r.more('-'):
		sign = -1
	default:
		r.want('+')
	}
	hours := r.digits(2)
	r.want(':')
	minutes := r.digits(2)
	r.ok = r.ok && hours < 24 && minutes < 60
	return sign * (60*hours + minutes)
}

// readAddress reads one address as the network of itself. An IPv4 address in IPv6 clothes is the IPv4 address, as policies
// name it; a zone says which interface of ours a neighbour is at, and no policy can mean it.
func readAddress(s string) (netip.Prefix, bool) {
	plain, _, _ := strings.Cut(s, "%")
	at, err := netip.ParseAddr(plain)
	if err != nil {
		return netip.Prefix{}, false
	}
	at = at.Unmap()
	return netip.PrefixFrom(at, at.BitLen()), true
}

// readBinary decodes a value that stands in the policy in base64.
func readBinary(s string) (operand, error) {
	text, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return operand{}, fmt.Errorf("value %q is not base64", s)
	}
	return operand{text: pattern{shape: literal, text: string(text)}}, nil
}

// ReadContext reads a value that somebody gives for a context key of a type, as Evaluate compares it: string, numeric,
// boolean, ip, binary (in base64) or date. The error is of kind Invalid.
func ReadContext(kind, s string) (string, error) {
	d, known := map[string]domain{"string": text, "numeric": number, "boolean": boolean, "ip": address, "binary": binary, "date": date}[kind]
	if !known {
		return "", fault.New(fault.Invalid, "the type %q of a context key: string, numeric, boolean, ip, binary and date are accepted", kind)
	}
	good := true
	switch {
	case d.typed():
		_, good = d.readValue(s)
	case d == boolean:
		good = equalFold(s, "true") || equalFold(s, "false")
	case d == binary:
		decoded, err := base64.StdEncoding.DecodeString(s)
		s, good = string(decoded), err == nil
	}
	if !good {
		return "", fault.New(fault.Invalid, "the value %q of a context key is not of the type %s", s, kind)
	}
	return s, nil
}
