package session

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

var (
	accountKey = Key{ID: KeyID{1, 2, 3}, Secret: [32]byte{4, 5, 6}}
	serverKey  = Key{ID: KeyID{7, 8, 9}, Secret: [32]byte{10, 11, 12}}

	issued = time.Date(2026, 11, 23, 9, 0, 0, 123_000_000, time.UTC)
)

// podSession has every field filled, so that a field that the packed form forgets fails the round trip.
func podSession() *Session {
	return &Session{
		Account: "012345678901", RoleID: "AROAEXAMPLEEXAMPLE123", RoleName: "pay-api", Name: "eks-demo-api-7c9f4-0b0e",
		Tags: []Tag{
			{Key: "kubernetes-namespace", Value: "payments", Transitive: true},
			{Key: "team", Value: ""},
		},
		Policies:       []string{`{"Version":"2012-10-17","Statement":[]}`, "{}"},
		SourceIdentity: "anna", Issued: issued, Expires: issued.Add(6 * time.Hour), Chain: 1,
		Through: []string{"AROAFIRSTFIRSTFIRST12", "AROASECONDSECOND12345"},
		Origin: &Origin{
			Cluster: "c-0123", Namespace: "payments", ServiceAccount: "api", PodName: "api-7c9f4", PodUID: "pod-uid",
			NodeName: "node-1", NodeUID: "node-uid", Association: "a-0123456789abcdef0", Digest: Digest("AROA1", "", "", false),
		},
		Revision: 1 << 40, Epoch: "e-1",
	}
}

func ring() Ring {
	return Ring{
		Account: func(account string, id KeyID) (Key, bool, error) {
			return accountKey, account == "012345678901" && id == accountKey.ID, nil
		},
		Server: func(id KeyID) (Key, bool, error) { return serverKey, id == serverKey.ID, nil },
	}
}

// gateway returns the ring of a door that has the account's key only.
func gateway() Ring {
	r := ring()
	r.Server = nil
	return r
}

func mint(t testing.TB, s *Session) Credentials {
	t.Helper()
	c, err := Mint(s, accountKey, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// change decodes a token, lets f change its bytes, and encodes it again.
func change(t testing.TB, token string, f func([]byte) []byte) string {
	t.Helper()
	raw, err := strict.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return strict.EncodeToString(f(raw))
}

func TestOpenReturnsWhatWasMinted(t *testing.T) {
	agent := podSession()
	agent.Origin = &Origin{Cluster: "c-0123", NodeName: "node-1", NodeUID: "node-uid"}
	caller := podSession()
	caller.Origin, caller.Tags, caller.Policies = nil, nil, nil
	user := podSession()
	user.RoleID, user.RoleName, user.Through, user.Origin = "", "", nil, nil
	user.User = &User{ID: "AIDAEXAMPLEEXAMPLE123", KeyID: "AKIAEXAMPLEEXAMPLE12"}
	for _, test := range []struct {
		name string
		s    *Session
	}{{"a pod's", podSession()}, {"an agent's", agent}, {"a caller's", caller}, {"a user's", user}} {
		t.Run(test.name, func(t *testing.T) {
			c := mint(t, test.s)
			for _, door := range []struct {
				name string
				ring Ring
			}{{"server", ring()}, {"gateway", gateway()}} {
				got, err := Open(door.ring, c.AccessKeyID, c.SessionToken)
				if err != nil {
					t.Fatalf("%s: %v", door.name, err)
				}
				if diff := cmp.Diff(test.s, got, cmp.AllowUnexported(Session{})); diff != "" {
					t.Errorf("%s opens another session (-minted +opened):\n%s", door.name, diff)
				}
				if got.Secret() != c.SecretAccessKey {
					t.Errorf("%s derives another secret than the holder was given", door.name)
				}
			}
		})
	}
}

// Sessions live for hours and across releases: this token, made once, must open as long as its version is accepted.
func TestATokenMadeEarlierStillOpens(t *testing.T) {
	const (
		keyID  = "ASIARKUUVV3BUDIYA6DL"
		secret = "e/5cu5HvSAeLj7vf5KszE7xRghmbKsN1U3v+6Ned"
		token  = "AQLf3Bw1AQIDAAAAAAAHCAkAAAAAAIJj_e_34lwQb4RscSKay5UFW12v2LztYjab8hLqk_Yo5l9GiZwmul127v_PC5zadIpgxRMqeOQ53_lnnMUW" +
			"BLx81TPeV4NzLPFpSHPULaKvwB6vWGj5HgNVPkCNMNinQ_VHvHsEOPHcesAtQ41t15_wZRg-uopqh8AZyVkJ3Pu0pwco31hfYyBrAfebSwMrSTIo" +
			"6Yo2ScRSHMQSfkTJk6SZUCaMPGWzjt5L_g7VulnN9xgqvRKLJ7uPXhHR_y_Wxa8KnUO8lk061AAXr_MXFmz97oZlzVows8Gimae9IKSv5UiVUR4q" +
			"KUpCv4LdIBHD8vXBUjrDbO6VVctZjUU8CfDPKk5AGY5R2wqyMGitgh6VwRqsSZRJAMDHbjcbXIy5MmsXKOyq91mCa21oR_QZgSUtQ-jiVXGrSXQB" +
			"YQyRxImLcDSHXcqMBWJPZvGP3Z7Wp6A"
	)
	want := podSession()
	want.Through = nil // there were none then
	want.AccessKeyID, want.secret, want.packed = keyID, secret, len(want.appendTo(nil))
	got, err := Open(ring(), keyID, token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Session{})); diff != "" {
		t.Errorf("Open (-want +got):\n%s", diff)
	}
}

func TestCredentialsHaveTheFormClientsExpect(t *testing.T) {
	s := podSession()
	c, other := mint(t, s), mint(t, podSession())
	for _, form := range []struct{ name, value, pattern string }{
		{"access key id", c.AccessKeyID, `^ASIA[A-Z2-7]{16}$`},
		{"secret access key", c.SecretAccessKey, `^[A-Za-z0-9+/]{40}$`},
		{"session token", c.SessionToken, `^[A-Za-z0-9_-]+$`},
	} {
		if !regexp.MustCompile(form.pattern).MatchString(form.value) {
			t.Errorf("%s %q is not of the form %s", form.name, form.value, form.pattern)
		}
	}
	if !c.Expires.Equal(s.Expires) || s.AccessKeyID != c.AccessKeyID {
		t.Errorf("credentials %v of session %v", c, s)
	}
	if c.AccessKeyID == other.AccessKeyID || c.SecretAccessKey == other.SecretAccessKey || c.SessionToken == other.SessionToken {
		t.Error("two mintings of one session share a part")
	}
}

func TestATokenWithAnyBitFlippedDoesNotOpen(t *testing.T) {
	c := mint(t, podSession())
	raw, err := strict.DecodeString(c.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		token := strict.EncodeToString(raw)
		raw[bit/8] ^= 1 << (bit % 8)
		if _, err := Open(ring(), c.AccessKeyID, token); !fault.Is(err, fault.UnknownKey) {
			t.Fatalf("bit %d of %d flipped: Open = %v, want UnknownKey", bit, len(raw)*8, err)
		}
		inMAC := bit/8 >= len(raw)-32
		if _, err := Open(gateway(), c.AccessKeyID, token); fault.Is(err, fault.UnknownKey) == inMAC {
			t.Fatalf("bit %d flipped, in the MAC: %v; a gateway's Open = %v", bit, inMAC, err)
		}
	}
}

// Three lengths in a row, so that the last character has no, two and four bits that stand for no byte.
func TestATokenWithAnyCharacterChangedDoesNotOpen(t *testing.T) {
	for _, name := range []string{"n", "nn", "nnn"} {
		s := podSession()
		s.Name = name
		c := mint(t, s)
		for i := range len(c.SessionToken) {
			others := "A_/+=\n"
			if i == len(c.SessionToken)-1 {
				others += "BCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
			}
			for _, other := range others {
				token := c.SessionToken[:i] + string(other) + c.SessionToken[i+1:]
				if token == c.SessionToken {
					continue
				}
				if _, err := Open(ring(), c.AccessKeyID, token); !fault.Is(err, fault.UnknownKey) {
					t.Fatalf("character %d made %q: Open = %v, want UnknownKey", i, other, err)
				}
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	c := mint(t, podSession())
	foreign := podSession()
	foreign.Account = "999999999999"
	mac := func(b []byte) []byte { return b[len(b)-32:] }
	for _, test := range []struct {
		name, keyID, token string
		cause              string // in the text for the log
	}{
		{"nothing", c.AccessKeyID, "", "too short"},
		{"another session's access key id", mint(t, podSession()).AccessKeyID, c.SessionToken, "seal"},
		{"no access key id", "", c.SessionToken, "seal"},
		{"an access key id in lower case", strings.ToLower(c.AccessKeyID), c.SessionToken, "seal"},
		{"a longer access key id", c.AccessKeyID + "A", c.SessionToken, "seal"},
		{"a line break", c.AccessKeyID, c.SessionToken[:8] + "\n" + c.SessionToken[8:], "line breaks"},
		{"a line break at the end", c.AccessKeyID, c.SessionToken + "\r\n", "line breaks"},
		{"padding", c.AccessKeyID, c.SessionToken + "=", "base64"},
		{"a token over 16 KiB", c.AccessKeyID, strings.Repeat("A", maxToken+1), "too long"},
		{"a token of 16 KiB of zeros", c.AccessKeyID, strings.Repeat("A", maxToken), "token version 0"},
		{"the header alone", c.AccessKeyID, change(t, c.SessionToken, func(b []byte) []byte { return b[:headerSize] }), "too short"},
		{"a byte missing", c.AccessKeyID, change(t, c.SessionToken, func(b []byte) []byte { return b[:len(b)-1] }), "MAC"},
		{"a byte more", c.AccessKeyID, change(t, c.SessionToken, func(b []byte) []byte { return append(b, 0) }), "MAC"},
		{"another version", c.AccessKeyID, change(t, c.SessionToken, func(b []byte) []byte {
			b[0]++
			return b
		}), "token version 2"},
		{"an account of 13 digits", c.AccessKeyID, change(t, c.SessionToken, func(b []byte) []byte {
			copy(b[1:6], "\xff\xff\xff\xff\xff")
			return b
		}), "out of range"},
		{"the MAC of another token", c.AccessKeyID, change(t, c.SessionToken, func(b []byte) []byte {
			return append(b[:len(b)-32], mac([]byte(change(t, mint(t, podSession()).SessionToken, mac)))...)
		}), "MAC"},
		{"an account without keys", foreign.AccessKeyID, mint(t, foreign).SessionToken, "999999999999"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(ring(), test.keyID, test.token)
			if s != nil || !fault.Is(err, fault.UnknownKey) {
				t.Fatalf("Open = %v, %v, want UnknownKey", s, err)
			}
			if !strings.Contains(err.Error(), test.cause) {
				t.Errorf("the log learns %q, want it to say %q", err, test.cause)
			}
			if got, want := fault.Message(err), "The security token included in the request is invalid."; got != want {
				t.Errorf("message %q, want %q", got, want)
			}
		})
	}
}

func TestKeysThatTheRingDoesNotHaveOpenNothing(t *testing.T) {
	c := mint(t, podSession())
	none := func(KeyID) (Key, bool, error) { return Key{}, false, nil }
	for _, test := range []struct {
		name string
		ring Ring
	}{
		{"no server key", Ring{Account: ring().Account, Server: none}},
		{"no account key", Ring{Account: func(_ string, id KeyID) (Key, bool, error) { return none(id) }, Server: ring().Server}},
		{"another server key of that id", Ring{Account: ring().Account, Server: func(id KeyID) (Key, bool, error) {
			return Key{ID: id, Secret: accountKey.Secret}, true, nil
		}}},
		{"another account key of that id", Ring{Server: ring().Server, Account: func(_ string, id KeyID) (Key, bool, error) {
			return Key{ID: id, Secret: serverKey.Secret}, true, nil
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Open(test.ring, c.AccessKeyID, c.SessionToken); !fault.Is(err, fault.UnknownKey) {
				t.Errorf("Open = %v, want UnknownKey", err)
			}
		})
	}
}

// A key that cannot be read just now is not one that is gone: who is told so would throw the session away.
func TestKeysThatCannotBeReadAreNotUnknown(t *testing.T) {
	c := mint(t, podSession())
	away := fault.New(fault.Unavailable, "the record cannot be read")
	for name, ring := range map[string]Ring{
		"the server's":  {Account: ring().Account, Server: func(KeyID) (Key, bool, error) { return Key{}, false, away }},
		"the account's": {Account: func(string, KeyID) (Key, bool, error) { return Key{}, false, away }, Server: ring().Server},
	} {
		if _, err := Open(ring, c.AccessKeyID, c.SessionToken); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: Open = %v, want Unavailable", name, err)
		}
	}
}

// A stolen gateway has the account's key and can make seals, but not the MAC.
func TestAForgedSessionOpensAtAGatewayOnly(t *testing.T) {
	s := podSession()
	forged, err := Mint(s, accountKey, Key{ID: serverKey.ID, Secret: [32]byte{66}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(gateway(), forged.AccessKeyID, forged.SessionToken); err != nil {
		t.Errorf("a gateway's Open = %v: it is not to check the MAC", err)
	}
	if _, err := Open(ring(), forged.AccessKeyID, forged.SessionToken); !fault.Is(err, fault.UnknownKey) {
		t.Errorf("a server's Open = %v, want UnknownKey", err)
	}
}

// The secret of a session is drawn from its account's key, never from what the caller sends.
func TestMintRefusesWhatItCannotKeep(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *Session, account, server *Key)
		kind   fault.Kind
	}{
		{"an account of 11 digits", func(s *Session, _, _ *Key) { s.Account = "12345678901" }, fault.Internal},
		{"an account of other characters", func(s *Session, _, _ *Key) { s.Account = "12345678901x" }, fault.Internal},
		{"no issue time", func(s *Session, _, _ *Key) { s.Issued = time.Time{} }, fault.Internal},
		{"an end before the start", func(s *Session, _, _ *Key) { s.Expires = s.Issued }, fault.Internal},
		{"a long life", func(s *Session, _, _ *Key) { s.Expires = s.Issued.Add(Longest + time.Second) }, fault.Internal},
		{"a negative chain", func(s *Session, _, _ *Key) { s.Chain = -1 }, fault.Internal},
		{"a negative revision", func(s *Session, _, _ *Key) { s.Revision = -1 }, fault.Internal},
		{"too many tags", func(s *Session, _, _ *Key) { s.Tags = make([]Tag, maxList+1) }, fault.Internal},
		{"a role and a user", func(s *Session, _, _ *Key) { s.User = &User{"AIDA", "AKIA"} }, fault.Internal},
		{"a user behind a pod", func(s *Session, _, _ *Key) {
			s.RoleID, s.RoleName, s.Through, s.User = "", "", nil, &User{"AIDA", "AKIA"}
		}, fault.Internal},
		{"an empty account key", func(_ *Session, account, _ *Key) { *account = Key{} }, fault.Internal},
		{"an empty server key", func(_ *Session, _, server *Key) { *server = Key{} }, fault.Internal},
		{"more than 4096 bytes", func(s *Session, _, _ *Key) { s.Name = strings.Repeat("x", 4097) }, fault.Limit},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, account, server := podSession(), accountKey, serverKey
			test.change(s, &account, &server)
			c, err := Mint(s, account, server)
			if err == nil || fault.Of(err) != test.kind || c != (Credentials{}) || s.AccessKeyID != "" || s.Secret() != "" {
				t.Errorf("Mint = %v, %v, want an error of kind %v and nothing minted", c, err, test.kind)
			}
		})
	}
}

func TestASessionOfExactly4096BytesIsMintedAndOneMoreIsNot(t *testing.T) {
	s := podSession()
	s.SourceIdentity = strings.Repeat("x", 4000)
	s.SourceIdentity = s.SourceIdentity[:4000-(len(s.appendTo(nil))-maxPacked)]
	if got := s.PackedPercent(); got != 100 {
		t.Fatalf("PackedPercent = %d, want 100", got)
	}
	c := mint(t, s)
	if got, most := len(c.SessionToken), 6000; got > most {
		t.Errorf("the longest token has %d characters; more than %d leave too little of a 10,000 byte answer", got, most)
	}
	if _, err := Open(ring(), c.AccessKeyID, c.SessionToken); err != nil {
		t.Errorf("Open = %v", err)
	}
	s.SourceIdentity += "x"
	_, err := Mint(s, accountKey, serverKey)
	if !fault.Is(err, fault.Limit) || !strings.Contains(fault.Message(err), "101%") {
		t.Errorf("one byte more: Mint = %v, want Limit with the percentage", err)
	}
}

// FuzzOpen holds that a minted token opens if nothing of it was changed and else not, and that no text opens that was
// never minted. It mints its own token: one from a seed would be of another process.
func FuzzOpen(f *testing.F) {
	minted := mint(f, podSession())
	raw, err := strict.DecodeString(minted.SessionToken)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), []byte{}, uint16(len(raw)), "")
	f.Add(uint16(0), []byte{3}, uint16(len(raw)), "AQ")
	f.Add(uint16(headerSize), []byte{0, 0, 0x80}, uint16(len(raw)), strings.Repeat("AQAA", 100))
	f.Add(uint16(len(raw)-1), []byte{1}, uint16(len(raw)), "AQ==\n")
	f.Add(uint16(0), []byte{}, uint16(headerSize), "AQ.AQ")
	f.Fuzz(func(t *testing.T, at uint16, flip []byte, size uint16, text string) {
		token := change(t, minted.SessionToken, func(b []byte) []byte {
			for i, mask := range flip {
				b[(int(at)+i)%len(b)] ^= mask
			}
			return b[:min(int(size), len(b))]
		})
		_, err := Open(ring(), minted.AccessKeyID, token)
		if genuine := token == minted.SessionToken; genuine != (err == nil) || err != nil && !fault.Is(err, fault.UnknownKey) {
			t.Errorf("Open of a token that is as minted (%v) = %v", genuine, err)
		}
		if _, err := Open(ring(), minted.AccessKeyID, text); !fault.Is(err, fault.UnknownKey) {
			t.Errorf("Open(%q) = %v, want UnknownKey", text, err)
		}
	})
}

func TestTheLogLearnsWhatTheCallerDoesNot(t *testing.T) {
	c := mint(t, podSession())
	_, err := Open(ring(), c.AccessKeyID, "?")
	if !strings.Contains(err.Error(), "base64") || strings.Contains(fault.Message(err), "base64") {
		t.Errorf("error %q, message %q", err, fault.Message(err))
	}
	if !errors.As(err, new(base64.CorruptInputError)) {
		t.Errorf("the cause of %v is lost", err)
	}
}

func BenchmarkMint(b *testing.B) {
	s := podSession()
	b.ReportAllocs()
	for b.Loop() {
		mint(b, s)
	}
}

func BenchmarkOpen(b *testing.B) {
	c := mint(b, podSession())
	for _, door := range []struct {
		name string
		ring Ring
	}{{"server", ring()}, {"gateway", gateway()}} {
		b.Run(door.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(door.ring, c.AccessKeyID, c.SessionToken); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
