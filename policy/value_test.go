package policy

import (
	"slices"
	"testing"
	"time"
)

func TestMoments(t *testing.T) {
	for s, want := range map[string]string{
		"2026":                           "2026-01-01T00:00:00Z",
		"2026-11":                        "2026-11-01T00:00:00Z",
		"2026-11-25":                     "2026-11-25T00:00:00Z",
		"2024-02-29":                     "2024-02-29T00:00:00Z",
		"2026-11-25T09:30Z":              "2026-11-25T09:30:00Z",
		"2026-11-25T09:30:15Z":           "2026-11-25T09:30:15Z",
		"2026-11-25T09:30:15.5Z":         "2026-11-25T09:30:15.5Z",
		"2026-11-25T09:30:15.123456789Z": "2026-11-25T09:30:15.123456789Z",
		"2026-11-25T00:30:00+01:30":      "2026-11-24T23:00:00Z",
		"2026-11-25T23:30:00-01:00":      "2026-11-26T00:30:00Z",
		"0":                              "1970-01-01T00:00:00Z",
		"1764096516":                     "2025-11-25T18:48:36Z",
	} {
		got, ok := readMoment(s)
		if !ok || got.Format(time.RFC3339Nano) != want {
			t.Errorf("readMoment(%q) = %v, %v, want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", " ", "now", "26-11-25", "2026-", "2026-1", "2026-00", "2026-13", "2026-11-", "2026-11-31", "2026-02-29", "2026-11-25T", "2026-11-25T09Z",
		"2026-11-25T09:30", "2026-11-25T09:30:15", "2026-11-25t09:30:15z", "2026-11-25T24:00:00Z", "2026-11-25T09:60:00Z", "2026-11-25T09:30:60Z",
		"2026-11-25T09:30:15.Z", "2026-11-25T09:30:15.1234567890Z", "2026-11-25T09:30:15+1:00", "2026-11-25T09:30:15+24:00", "2026-11-25T09:30:15ZZ",
		"2026T09:30:15Z", "2026-11T09:30:15Z", "2026-11-25 09:30:15Z", "-5", "+5", "1764096516.5", "1234567890123", "２０２６",
	} {
		if got, ok := readMoment(s); ok {
			t.Errorf("readMoment(%q) = %v, want none", s, got)
		}
	}
}

// The numbers are in order, each less than those behind it.
func TestDecimals(t *testing.T) {
	ordered := [][]string{
		{"-100000000000000000000.5"},
		{"-10", "-010.00"},
		{"-9.5"},
		{"-9.25"},
		{"0", "-0", "0.0", "000"},
		{"0.001"},
		{"0.01"},
		{"0.1", "00.100"},
		{"9.99"},
		{"10"},
		{"10.5"},
		{"11"},
		{"100"},
		{"9007199254740992"},
		{"9007199254740993"},
		{"100000000000000000000"},
	}
	for i, left := range slices.Concat(ordered...) {
		for j, right := range slices.Concat(ordered...) {
			a, ok := readDecimal(left)
			b, ok2 := readDecimal(right)
			if !ok || !ok2 {
				t.Fatalf("%q or %q is no number", left, right)
			}
			rank := func(s string) int {
				return slices.IndexFunc(ordered, func(all []string) bool { return slices.Contains(all, s) })
			}
			want := min(1, max(-1, rank(left)-rank(right)))
			if got := a.compare(b); got != want {
				t.Errorf("%d, %d: %q to %q = %d, want %d", i, j, left, right, got, want)
			}
		}
	}
	for _, s := range []string{"", "-", ".", "1.", ".5", "+1", "1e3", "0x10", "1 ", "1,5", "--1", "1.2.3", "NaN", "Inf", "１", string(make([]byte, 70))} {
		if got, ok := readDecimal(s); ok {
			t.Errorf("readDecimal(%q) = %v, want none", s, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		network string
		in, out []string
	}{
		{"203.0.113.7", []string{"203.0.113.7", "::ffff:203.0.113.7"}, []string{"203.0.113.8", "::203.0.113.7"}},
		{"203.0.113.7/24", []string{"203.0.113.0", "203.0.113.255"}, []string{"203.0.112.255", "203.0.114.0"}},
		{"0.0.0.0/0", []string{"0.0.0.0", "255.255.255.255"}, []string{"::", "2001:db8::1"}},
		{"::/0", []string{"::", "2001:db8::1"}, []string{"10.0.0.1", "::ffff:10.0.0.1"}},
		{"fe80::/10", []string{"fe80::1", "fe80::1%eth0"}, []string{"fec0::1"}},
		{"2001:DB8:1234:5678::/64", []string{"2001:db8:1234:5678:9abc::"}, []string{"2001:db8:1234:5679::"}},
	} {
		given, err := address.readTyped(tt.network)
		if err != nil {
			t.Errorf("%s: %v", tt.network, err)
			continue
		}
		op := operator{domain: address}
		for want, all := range map[bool][]string{true: tt.in, false: tt.out} {
			for _, s := range all {
				request, ok := address.readValue(s)
				if got := op.fits(&request, &given); !ok || got != want {
					t.Errorf("%s in %s = %v, %v, want %v", s, tt.network, got, ok, want)
				}
			}
		}
	}
	for _, s := range []string{"", "10", "10.0.0", "010.0.0.1", "10.0.0.1:80", "[::1]", "10.0.0.0/8", "a.example", "::g"} {
		if got, ok := readAddress(s); ok {
			t.Errorf("readAddress(%q) = %v, want none", s, got)
		}
	}
}

func TestClock(t *testing.T) {
	at := time.Date(2026, 11, 25, 19, 48, 36, 999, time.FixedZone("", 3600))
	for _, now := range []time.Time{at, at.Add(time.Second), at} { // the second one must not be remembered for the third
		ctx := Clock(now)
		if got := ctx.values(&key{given: "aws:CurrentTime", lower: "aws:currenttime"}); len(got) != 1 || got[0] != now.UTC().Format(time.RFC3339) {
			t.Errorf("aws:CurrentTime at %v is %q", now, got)
		}
		epoch := ctx.values(&key{given: "aws:EpochTime", lower: "aws:epochtime"})
		if read, ok := readMoment(epoch[0]); len(epoch) != 1 || !ok || !read.Equal(now.Truncate(time.Second)) {
			t.Errorf("aws:EpochTime at %v is %q", now, epoch)
		}
	}
}

func TestMentions(t *testing.T) {
	d, err := Parse(Identity, `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::b/${s3:Prefix}/*"},
		{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Null": {"S3:ExistingObjectTag/a": "true"},
			"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::${a:account}:role/*"}, "StringLike": {"k:k": "${b:b, 'x'}"}}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]bool{
		"s3:": true, "s3:prefix": true, "s3:existingobjecttag/": true, "aws:principalarn": true, "a:account": true, "k:": true, "b:b": true,
		"s3:existingobjecttag/b": false, "s3:x-amz": false, "aws:principaltag/": false, "z:": false, "S3:": false,
	} {
		if got := d.Mentions(prefix); got != want {
			t.Errorf("Mentions(%q) = %v, want %v", prefix, got, want)
		}
		layers := Layers{Session: []*Document{d}}
		if got := layers.Mentions(prefix); got != want {
			t.Errorf("Layers.Mentions(%q) = %v, want %v", prefix, got, want)
		}
	}
}
