package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

func TestWhoSigned(t *testing.T) {
	w := fresh(t)
	waiting := w.register(t, "waiting")
	pod := w.mint(t, w.podSession(t))
	for _, cached := range []*sigv4.Cache{nil, sigv4.NewCache(16)} {
		w.Keys = cached
		for _, test := range []struct {
			name   string
			signer signer
			arn    string
		}{
			{"a user", byKey(w.admin), "arn:aws:iam::111122223333:user/administrator"},
			{"a pod's session", pod, "arn:aws:sts::111122223333:assumed-role/app/s1"},
			{"a cluster that joins", byActivation(waiting.Activation), "arn:aws:eks:us-west-2:111122223333:cluster/waiting"},
		} {
			t.Run(test.name, func(t *testing.T) {
				for range 2 { // the second time from memory
					p, err := w.authenticate(t, test.signer)
					must(t, err)
					if p.ARN != test.arn || p.Account != one || p.KeyID != test.signer.keyID {
						t.Errorf("got %s of %s by %s, want %s", p.ARN, p.Account, p.KeyID, test.arn)
					}
				}
			})
		}
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	w := fresh(t)
	waiting := w.register(t, "waiting")
	sealing, mac, err := w.keyring.Sealing(t.Context(), one)
	must(t, err)
	otherSealing, _, err := w.keyring.Sealing(t.Context(), two)
	must(t, err)
	wrong := func(k session.Key) session.Key { k.Secret[0] ^= 1; return k }
	unknown := func(k session.Key) session.Key { k.ID[0] ^= 1; return k }
	admin, pod := byKey(w.admin), w.mint(t, w.podSession(t))
	second := w.mint(t, w.podSession(t))
	altered := func(s signer, edit func(*signer)) signer { edit(&s); return s }
	foreign := w.podSession(t)
	foreign.Account = two
	unborn := w.podSession(t)
	unborn.RoleID = "AROAAAAAAAAAAAAAAAAAA"
	expired := w.podSession(t)
	expired.Issued, expired.Expires = w.clock.now().Add(-time.Hour), w.clock.now()
	for _, test := range []struct {
		name   string
		signer signer
		want   fault.Kind
	}{
		{"a user", admin, accepted},
		{"a user with another secret", altered(admin, func(s *signer) { s.secret += "x" }), fault.BadSignature},
		{"an unknown key", altered(admin, func(s *signer) { s.keyID = "AKIAAAAAAAAAAAAAAAAA" }), fault.UnknownKey},
		{"a key of another form", altered(admin, func(s *signer) { s.keyID = "XKIA" + s.keyID[4:] }), fault.UnknownKey},
		{"a user with a session token", altered(admin, func(s *signer) { s.token = pod.token }), fault.UnknownKey},
		{"a session", pod, accepted},
		{"a session with another secret", altered(pod, func(s *signer) { s.secret = second.secret }), fault.BadSignature},
		{"a session with another's key id", altered(pod, func(s *signer) { s.keyID = second.keyID }), fault.UnknownKey},
		{"a session with another's token", altered(pod, func(s *signer) { s.token = second.token }), fault.UnknownKey},
		{"a session without token", altered(pod, func(s *signer) { s.token = "" }), fault.UnknownKey},
		{"a session with a user's key id", altered(pod, func(s *signer) { s.keyID = admin.keyID }), fault.UnknownKey},
		{"a token cut short", altered(pod, func(s *signer) { s.token = s.token[:len(s.token)-4] }), fault.UnknownKey},
		{"a token that is none", altered(pod, func(s *signer) { s.token = "FwoGZXIvYXdzE" }), fault.UnknownKey},
		{"a good seal and a wrong MAC", sealed(t, w.podSession(t), sealing, wrong(mac)), fault.UnknownKey},
		{"a good seal and the MAC of an unknown key", sealed(t, w.podSession(t), sealing, unknown(mac)), fault.UnknownKey},
		{"a good seal and the account's key as the server's", sealed(t, w.podSession(t), sealing, sealing), fault.UnknownKey},
		{"a good MAC and a wrong seal", sealed(t, w.podSession(t), wrong(sealing), mac), fault.UnknownKey},
		{"a good MAC and the seal of an unknown key", sealed(t, w.podSession(t), unknown(sealing), mac), fault.UnknownKey},
		{"a good MAC and the seal of another account", sealed(t, w.podSession(t), otherSealing, mac), fault.UnknownKey},
		{"a session of another account for this one's role", sealed(t, foreign, otherSealing, mac), fault.UnknownKey},
		{"a session of a role that does not exist", w.mint(t, unborn), fault.UnknownKey},
		{"an expired session", w.mint(t, expired), fault.ExpiredCredentials},
		{"an expired session with another secret", altered(w.mint(t, expired), func(s *signer) { s.secret += "x" }), fault.BadSignature},
		{"a cluster that joins", byActivation(waiting.Activation), accepted},
		{"a cluster that joins, with another code", altered(byActivation(waiting.Activation), func(s *signer) { s.secret = admin.secret }), fault.BadSignature},
		{"an unknown activation id", altered(byActivation(waiting.Activation), func(s *signer) { s.keyID = "ACTVAAAAAAAAAAAAAAAA" }), fault.UnknownKey},
		{"an activation id with a token", altered(byActivation(waiting.Activation), func(s *signer) { s.token = pod.token }), fault.UnknownKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := w.authenticate(t, test.signer)
			wants(t, "Authenticate", err, test.want)
			if named, want := p != nil, err == nil || fault.Is(err, fault.ExpiredCredentials); named != want {
				t.Errorf("a principal is named: got %v, want %v", named, want)
			}
			if test.want == fault.UnknownKey && fault.Message(err) != "The security token included in the request is invalid." {
				t.Errorf("message: got %q, want AWS's", fault.Message(err))
			}
		})
	}
}

func TestARequestIsRefusedOnceItIsChangedOrOutOfTime(t *testing.T) {
	w := fresh(t)
	pod := w.mint(t, w.podSession(t))
	now := w.clock.now()
	for _, test := range []struct {
		name string
		at   time.Duration // when it was signed
		want fault.Kind
	}{
		{"now", 0, accepted},
		{"15 min ago", -15 * time.Minute, accepted},
		{"more", -15*time.Minute - time.Second, fault.Skewed},
		{"in 15 min", 15 * time.Minute, accepted},
		{"in more", 15*time.Minute + time.Second, fault.Skewed},
	} {
		r, sig := signed(t, pod, now.Add(test.at))
		_, err := w.Authenticate(r, sig, emptyHash)
		wants(t, "signed "+test.name, err, test.want)
	}
	r, sig := signed(t, pod, now)
	r.URL.RawQuery = "maxResults=6"
	_, err := w.Authenticate(r, sig, emptyHash)
	wants(t, "a changed query", err, fault.BadSignature)
	r, sig = signed(t, pod, now)
	_, err = w.Authenticate(r, sig, strings.Repeat("0", 64))
	wants(t, "another body", err, fault.BadSignature)
}

// What ends a session ends it at the next request, and only its holder, who can sign, is told so.
func TestASessionEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(t *testing.T, w *world) error
		want fault.Kind
		heal func(t *testing.T, w *world) error // what makes it good again, if anything
	}{
		{
			name: "its time is over",
			end:  func(_ *testing.T, w *world) error { w.clock.pass(6 * time.Hour); return nil },
			want: fault.ExpiredCredentials,
		},
		{
			name: "it is revoked",
			end: func(t *testing.T, w *world) error {
				_, err := w.Registry.Revoke(t.Context(), one, "arn", registry.Target{Kind: registry.ByRole, Value: w.role.ID})
				return err
			},
			want: fault.ExpiredCredentials,
		},
		{
			name: "its association is deleted",
			end: func(t *testing.T, w *world) error {
				_, err := w.Registry.DeleteAssociation(t.Context(), one, "prod", w.association.ID)
				return err
			},
			want: fault.ExpiredCredentials,
			heal: func(t *testing.T, w *world) error {
				_, err := w.Registry.CreateAssociation(t.Context(), registry.NewAssociation{
					Account: one, Cluster: "prod", Namespace: "ns", ServiceAccount: "sa", Role: w.role.ARN().String(),
				})
				return err
			},
		},
		{
			name: "its cluster is deregistered",
			end: func(t *testing.T, w *world) error {
				_, err := w.Registry.DeregisterCluster(t.Context(), one, "prod")
				return err
			},
			want: fault.ExpiredCredentials,
		},
		{
			name: "its role is deleted, and another made of that name",
			end: func(t *testing.T, w *world) error {
				if err := w.Directory.DeleteRole(t.Context(), one, "app"); err != nil {
					return err
				}
				_, err := w.Directory.CreateRole(t.Context(), directory.NewRole{Account: one, Name: "app", Trust: podTrust})
				return err
			},
			want: fault.UnknownKey,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := fresh(t)
			pod := w.mint(t, w.podSession(t))
			_, err := w.authenticate(t, pod)
			wants(t, "before", err, accepted)
			must(t, test.end(t, w))
			p, err := w.authenticate(t, pod)
			wants(t, "after", err, test.want)
			if test.want == fault.ExpiredCredentials {
				if p == nil {
					t.Error("its holder is not named for the audit")
				}
				thief := pod
				thief.secret += "x"
				_, err = w.authenticate(t, thief)
				wants(t, "told to one who cannot sign", err, fault.BadSignature)
			}
			if test.heal != nil {
				must(t, test.heal(t, w))
				_, err = w.authenticate(t, pod)
				wants(t, "healed", err, accepted)
			}
		})
	}
}

func TestAnActivationPairIsGoodOnceAndForThreeDays(t *testing.T) {
	w := fresh(t)
	used, late := w.register(t, "used"), w.register(t, "late")
	_, err := w.authenticate(t, byActivation(used.Activation))
	wants(t, "before its use", err, accepted)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	_, err = w.Registry.ActivateCluster(t.Context(), used.Activation.ID, joining(private))
	must(t, err)
	_, err = w.authenticate(t, byActivation(used.Activation))
	wants(t, "after its use", err, fault.UnknownKey)

	w.clock.pass(72*time.Hour - time.Second)
	_, err = w.authenticate(t, byActivation(late.Activation))
	wants(t, "a second before three days", err, accepted)
	w.clock.pass(time.Second)
	_, err = w.authenticate(t, byActivation(late.Activation))
	wants(t, "three days", err, fault.UnknownKey)
}

// The fifth wrong signature ends a pair, and the right one comes too late. A pair made anew is another.
func TestAnActivationPairEndsWithFiveWrongSignatures(t *testing.T) {
	w := fresh(t)
	waiting := w.register(t, "waiting")
	guess := byActivation(waiting.Activation)
	guess.secret = "guessed"
	for range 4 {
		_, err := w.authenticate(t, guess)
		wants(t, "a guess", err, fault.BadSignature)
	}
	_, err := w.authenticate(t, byActivation(waiting.Activation))
	wants(t, "after four guesses", err, accepted)
	_, err = w.authenticate(t, guess)
	wants(t, "the fifth guess", err, fault.BadSignature)
	_, err = w.authenticate(t, byActivation(waiting.Activation))
	wants(t, "after five guesses", err, fault.UnknownKey)

	again, err := w.Registry.ReactivateCluster(t.Context(), waiting.Account, "waiting")
	must(t, err)
	_, err = w.authenticate(t, byActivation(again.Activation))
	wants(t, "the new pair", err, accepted)
	_, err = w.Registry.ReactivateCluster(t.Context(), waiting.Account, "waiting")
	must(t, err)
	_, err = w.authenticate(t, byActivation(again.Activation))
	wants(t, "a pair that was replaced", err, fault.UnknownKey)
}

// A key can be switched off; nothing writes that yet but a record can have it.
func TestAnInactiveKeyIsRefused(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	w := open(t, dir, master)
	w.fill(t)
	_, err := w.authenticate(t, byKey(w.admin))
	wants(t, "active", err, accepted)
	must(t, w.Store.Close())

	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: master})
	must(t, err)
	raw := store.NewTable(st, "accesskey", store.Codec[string]{
		Version: 1,
		Encode:  func(_ *store.Sealer, _ string, v string) ([]byte, error) { return []byte(v), nil },
		Decode:  func(_ *store.Sealer, _ string, _ int, data []byte) (string, error) { return string(data), nil },
	})
	must(t, st.Start(t.Context()))
	must(t, st.Update(t.Context(), func(tx *store.Tx) error {
		record, _, err := raw.Read(tx, w.admin.ID)
		if err != nil {
			return err
		}
		return raw.Put(tx, w.admin.ID, strings.Replace(record, `"active":true`, `"active":false`, 1))
	}))
	must(t, st.Close())

	again := open(t, dir, master)
	_, err = again.authenticate(t, byKey(w.admin))
	wants(t, "inactive", err, fault.UnknownKey)
}

func TestACopyThatIsTooOldDecidesNothing(t *testing.T) {
	for _, test := range []struct {
		name      string
		staleness time.Duration
		age       time.Duration
		want      fault.Kind
	}{
		{"five minutes", 0, 5 * time.Minute, accepted},
		{"more", 0, 5*time.Minute + time.Second, fault.Unavailable},
		{"what was configured", time.Minute, time.Minute, accepted},
		{"more than that", time.Minute, time.Minute + time.Second, fault.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := fresh(t)
			w.MaxStaleness = test.staleness
			pod := w.mint(t, w.podSession(t))
			must(t, w.Store.Close()) // cut off from its state
			w.clock.pass(test.age)
			for who, s := range map[string]signer{"a session": pod, "a user": byKey(w.admin)} {
				_, err := w.authenticate(t, s)
				wants(t, who, err, test.want)
			}
		})
	}
}

// A session that was minted by a server that knows more waits until the gateway knows as much.
func TestASessionOfALaterRevisionIsWaitedFor(t *testing.T) {
	w := fresh(t)
	w.mint(t, w.podSession(t)) // makes the keys, which are records too
	g := w.follow(t)
	later := w.podSession(t)
	later.Revision = w.Store.Revision() + 1
	pod := w.mint(t, later)
	_, err := g.authenticate(t, pod)
	wants(t, "nothing comes", err, fault.Unavailable)

	restored := w.podSession(t)
	restored.Revision, restored.Epoch = w.Store.Revision()+1000, "another history"
	_, err = g.authenticate(t, w.mint(t, restored))
	wants(t, "a revision of another epoch", err, accepted)

	answer := make(chan error, 1)
	r, sig := signed(t, pod, w.clock.now())
	go func() {
		var err error
		for range 20 { // a write may take a slow disk longer than is waited for
			began := time.Now()
			if _, err = g.Authenticate(r, sig, emptyHash); !fault.Is(err, fault.Unavailable) || time.Since(began) < catchUp {
				break
			}
		}
		answer <- err
	}()
	must(t, w.Directory.Tag(t.Context(), directory.Roles.Named(one, "app"), []directory.Tag{{Key: "a", Value: "b"}}))
	wants(t, "it comes", <-answer, accepted)
}

// Sessions that have seen what a server lost, whose folder was replaced by an earlier copy, are honoured again after a moment.
func TestARestoredServerHonoursSessions(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	w := open(t, dir, master)
	w.fill(t)
	w.mint(t, w.podSession(t)) // makes the keys, which are records too
	must(t, w.Store.Close())
	backup := folder(t)
	must(t, copyFolder(backup, dir))

	later := open(t, dir, master)
	later.cluster, later.role, later.association = w.cluster, w.role, w.association
	for i := range 10 {
		must(t, later.Directory.Tag(t.Context(), directory.Roles.Named(one, "app"), []directory.Tag{{Key: "a", Value: strconv.Itoa(i)}}))
	}
	pod, lost := later.mint(t, later.podSession(t)), later.Store.Revision()
	must(t, later.Store.Close())

	restored := open(t, backup, master)
	if restored.Store.Epoch() != later.Store.Epoch() {
		t.Error("the copy has another epoch already")
	}
	_, err := restored.authenticate(t, pod)
	wants(t, "at first", err, fault.Unavailable)
	for tick := time.NewTicker(time.Millisecond); restored.Store.Epoch() == later.Store.Epoch(); <-tick.C {
		if t.Context().Err() != nil {
			t.Fatal("the history of the copy has no other name")
		}
	}
	_, err = restored.authenticate(t, pod)
	wants(t, "then", err, accepted)
	if got := restored.Store.Revision(); got >= lost {
		t.Errorf("revision %d: what was lost at %d came back", got, lost)
	}
}
