package session

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

func TestLiveEndsAtTheMomentOfExpiry(t *testing.T) {
	s := podSession()
	if err := s.Live(s.Expires.Add(-time.Millisecond)); err != nil {
		t.Errorf("a millisecond before: Live = %v", err)
	}
	for _, late := range []time.Duration{0, time.Hour} {
		err := s.Live(s.Expires.Add(late))
		if !fault.Is(err, fault.ExpiredCredentials) || fault.Message(err) != "The security token included in the request is expired" {
			t.Errorf("%v after expiry: Live = %v, want ExpiredCredentials with AWS's sentence", late, err)
		}
	}
}

func TestDigestTellsAssociationsApart(t *testing.T) {
	base := Digest("AROA1", "AROA2", "{}", false)
	if again := Digest("AROA1", "AROA2", "{}", false); again != base {
		t.Error("the same association has two digests: re-creating would not heal")
	}
	for name, other := range map[string][32]byte{
		"another role":               Digest("AROA3", "AROA2", "{}", false),
		"another target":             Digest("AROA1", "AROA3", "{}", false),
		"another policy":             Digest("AROA1", "AROA2", "{ }", false),
		"tags switched off":          Digest("AROA1", "AROA2", "{}", true),
		"a character moved on":       Digest("AROA1A", "ROA2", "{}", false),
		"fields exchanged":           Digest("AROA2", "AROA1", "{}", false),
		"target where the policy is": Digest("AROA1", "", "AROA2{}", false),
	} {
		if other == base {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestSecretsPrintAsREDACTED(t *testing.T) {
	s := podSession()
	c := mint(t, s)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{s, *s, c, &c, accountKey, &accountKey, serverKey} {
		log.Info("value", "v", v)
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
	}
	for _, secret := range []string{
		c.SecretAccessKey, c.SessionToken,
		hex.EncodeToString(accountKey.Secret[:]), base64.StdEncoding.EncodeToString(accountKey.Secret[:]), fmt.Sprint(accountKey.Secret[:4])[1:8],
		hex.EncodeToString(serverKey.Secret[:]), fmt.Sprintf("%#v", serverKey.Secret),
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed:\n%s", secret, out.String())
		}
	}
	for _, want := range []string{"REDACTED", c.AccessKeyID, "pay-api"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not printed:\n%s", want, out.String())
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	packed := podSession().appendTo(nil)
	if _, err := decode(packed); err != nil {
		t.Fatalf("decode of a good session = %v", err)
	}
	for n := range len(packed) {
		if _, err := decode(packed[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(packed))
		}
	}
	withoutOrigin := podSession()
	withoutOrigin.Origin = nil
	flag := withoutOrigin.appendTo(nil)
	direct := podSession()
	direct.Through = nil
	first := direct.appendTo(nil)
	flag[len(flag)-1] = 2
	long := podSession()
	long.Name, long.RoleName = strings.Repeat("n", 2100), strings.Repeat("r", 2100)
	for _, test := range []struct {
		name   string
		packed []byte
	}{
		{"a flag that is neither 0 nor 1", flag},
		{"trailing bytes", append(bytes.Clone(packed), 0)},
		{"an unknown version", append([]byte{listsRoles + 1}, packed[1:]...)},
		{"roles in version 1", append([]byte{packedVersion}, packed[1:]...)},
		{"version 2 without roles", append([]byte{listsRoles}, first[1:]...)},
		{"version 2 with an empty list", emptyList()},
		{"version 0", append([]byte{0}, packed[1:]...)},
		{"a length in a longer spelling", append([]byte{packedVersion, packed[1] | 0x80, 0}, packed[2:]...)},
		{"a length beyond the end", []byte{packedVersion, 200, 1, 'x'}},
		{"a length that overflows", append([]byte{packedVersion}, bytes.Repeat([]byte{0xff}, 11)...)},
		{"more than 4096 bytes", long.appendTo(nil)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if s, err := decode(test.packed); err == nil {
				t.Errorf("decode = %v, want an error", s)
			}
		})
	}
}

// emptyList is a session of version 2 that lists no roles, which is not how one is written.
func emptyList() []byte {
	s := &Session{Issued: issued, Expires: issued}
	packed := s.appendTo(nil)
	packed[0] = listsRoles
	return append(packed[:len(packed)-1], 0, 0) // a list of none, no origin
}

// A session that was sealed before there were lists opens as what it was.
func TestTheFirstVersionIsReadAsItWas(t *testing.T) {
	want := podSession()
	want.Through = nil
	packed := want.appendTo(nil)
	if packed[0] != packedVersion {
		t.Fatalf("a session without roles on its way is of version %d", packed[0])
	}
	got, err := decode(packed)
	if err != nil {
		t.Fatal(err)
	}
	got.Account = want.Account // stands in the header
	if diff := cmp.Diff(got, want, cmp.AllowUnexported(Session{})); diff != "" {
		t.Errorf("decoded (-got +want):\n%s", diff)
	}
}

// FuzzDecode holds that a session has one packed form: what decode accepts is written again byte for byte.
func FuzzDecode(f *testing.F) {
	f.Add(podSession().appendTo(nil))
	f.Add((&Session{Issued: issued, Expires: issued}).appendTo(nil))
	f.Add((&Session{Issued: issued, Expires: issued, Through: []string{"AROA1"}}).appendTo(nil))
	f.Add([]byte{packedVersion})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packed []byte) {
		s, err := decode(packed)
		if err != nil {
			return
		}
		if diff := cmp.Diff(packed, s.appendTo(nil)); diff != "" {
			t.Errorf("decoded and packed again (-in +out):\n%s", diff)
		}
	})
}
