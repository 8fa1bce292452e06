package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

func TestDeletingEndsASessionAndCreatingAgainHealsIt(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	role, second := w.role(t, one, "app"), w.role(t, one, "second")
	a := w.associate(t, c, "ns", "sa", role)
	s := w.podSession(t, a)
	elsewhere := w.podSession(t, w.associate(t, c, "ns", "sb", role))
	remove := func(a *Association) {
		t.Helper()
		_, err := w.DeleteAssociation(t.Context(), one, "prod", a.ID)
		must(t, err)
	}
	wants(t, "at first", w.Honours(s), accepted)
	remove(a)
	wants(t, "deleted", w.Honours(s), fault.ExpiredCredentials)
	wants(t, "another service account's", w.Honours(elsewhere), accepted)

	again := w.associate(t, c, "ns", "sa", role)
	wants(t, "created again", w.Honours(s), accepted)
	_, err := w.UpdateAssociation(t.Context(), one, "prod", again.ID, toRole(second))
	must(t, err)
	wants(t, "the new one changed to another role", w.Honours(s), fault.ExpiredCredentials)
	inFlight := w.podSession(t, again)
	inFlight.Origin.Digest = session.Digest("AROAFORMER", "", "", false)
	wants(t, "a session of the one that was changed", w.Honours(inFlight), accepted)
	remove(again)

	other := w.associate(t, c, "ns", "sa", second)
	wants(t, "created with another role", w.Honours(s), fault.ExpiredCredentials)
	remove(other)
	w.associate(t, c, "ns", "sa", role)
	wants(t, "and with the first role once more", w.Honours(s), accepted)

	must(t, w.directory.DeleteRole(t.Context(), one, "app"))
	wants(t, "its role deleted", w.Honours(s), fault.ExpiredCredentials)
	w.role(t, one, "app")
	wants(t, "a role of that name made again", w.Honours(s), fault.ExpiredCredentials)
}

func TestAnAssociationOfAnotherClusterHonoursNothing(t *testing.T) {
	w := fresh(t)
	prod, test := w.join(t, one, "prod"), w.join(t, one, "test")
	role := w.role(t, one, "app")
	a := w.associate(t, test, "ns", "sa", role)
	s := w.podSession(t, a)
	wants(t, "its own", w.Honours(s), accepted)
	s.Origin.Cluster = prod.ID
	wants(t, "of another cluster", w.Honours(s), fault.ExpiredCredentials)
	wants(t, "a session without origin", w.Honours(&session.Session{Account: one, RoleID: "AROA1", AccessKeyID: "ASIA1"}), accepted)
}

// Each kind ends the sessions that it names and no others, whatever is created again.
func TestEachRevocationEndsItsSessions(t *testing.T) {
	for _, test := range []struct {
		name   string
		target func(s *session.Session) Target
		other  func(s *session.Session) // turns the session into one that the revocation does not name
	}{
		{"session", func(s *session.Session) Target { return Target{BySession, s.Account + "/" + s.AccessKeyID} }, func(s *session.Session) { s.AccessKeyID = "ASIA2" }},
		{"session of another account", func(s *session.Session) Target { return Target{BySession, s.Account + "/" + s.AccessKeyID} }, func(s *session.Session) { s.Account = two }},
		{"role", func(s *session.Session) Target { return Target{ByRole, s.RoleID} }, func(s *session.Session) { s.RoleID = "AROA2" }},
		{"a role on the way", func(s *session.Session) Target { return Target{ByRole, s.Through[1]} }, func(s *session.Session) { s.Through = s.Through[:1] }},
		{"a session on the way", func(s *session.Session) Target { return Target{BySession, s.Through[2]} }, func(s *session.Session) { s.Through = s.Through[:2] }},
		{"association", func(s *session.Session) Target {
			return Target{ByAssociation, s.Origin.Cluster + "/" + s.Origin.Association}
		}, func(s *session.Session) { s.Origin.Association = "a-2" }}, // which heals, its digest being the same
		{"node", func(s *session.Session) Target { return Target{ByNode, s.Origin.Cluster + "/node"} }, func(s *session.Session) { s.Origin.NodeName = "node2" }},
		{"pod", func(s *session.Session) Target { return Target{ByPod, s.Origin.Cluster + "/ns/pod"} }, func(s *session.Session) { s.Origin.PodName = "pod2" }},
		{"cluster", func(s *session.Session) Target { return Target{ByCluster, s.Origin.Cluster} }, nil},
		{"service account", func(s *session.Session) Target { return Target{ByServiceAccount, s.Origin.Cluster + "/ns/sa"} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := fresh(t)
			c, elsewhere := w.join(t, one, "prod"), w.join(t, one, "test")
			role := w.role(t, one, "app")
			a := w.associate(t, c, "ns", "sa", role)
			revoked := w.podSession(t, a)
			other := w.podSession(t, a)
			switch {
			case test.other != nil:
				test.other(other)
			case test.name == "cluster":
				other = w.podSession(t, w.associate(t, elsewhere, "ns", "sa", role))
			default:
				other = w.podSession(t, w.associate(t, c, "ns", "sb", role))
			}
			wants(t, "before", w.Honours(revoked), accepted)
			rev, err := w.Revoke(t.Context(), one, "arn:aws:iam::111122223333:user/administrator", test.target(revoked))
			must(t, err)
			if !rev.Before.Equal(w.clock.now()) || rev.Account != one || rev.By == "" {
				t.Errorf("the revocation: got %+v", rev)
			}
			wants(t, "revoked", w.Honours(revoked), fault.ExpiredCredentials)
			wants(t, "not named", w.Honours(other), accepted)

			_, err = w.DeleteAssociation(t.Context(), one, "prod", a.ID)
			must(t, err)
			w.associate(t, c, "ns", "sa", role)
			wants(t, "created again", w.Honours(revoked), fault.ExpiredCredentials)

			w.clock.pass(time.Millisecond)
			later := *revoked
			later.Issued = w.clock.now()
			wants(t, "issued later", w.Honours(&later), accepted)
		})
	}
}

func TestRevokeWantsATarget(t *testing.T) {
	w := fresh(t)
	for _, test := range []struct {
		name   string
		target Target
		want   fault.Kind
	}{
		{"a role", Target{ByRole, "AROA1"}, accepted},
		{"no value", Target{ByRole, ""}, fault.Invalid},
		{"no kind", Target{"", "AROA1"}, fault.Invalid},
		{"an unknown kind", Target{"namespace", "c/ns"}, fault.Invalid},
	} {
		_, err := w.Revoke(t.Context(), one, "arn", test.target)
		wants(t, test.name, err, test.want)
	}
}

func TestARevocationNeverMovesBack(t *testing.T) {
	w := fresh(t)
	s := &session.Session{Account: one, RoleID: "AROA1", Issued: w.clock.now()}
	_, err := w.Revoke(t.Context(), one, "arn", Target{ByRole, "AROA1"})
	must(t, err)
	w.clock.pass(-time.Minute) // the clock of another replica
	_, err = w.Revoke(t.Context(), one, "arn", Target{ByRole, "AROA1"})
	must(t, err)
	wants(t, "revoked before", w.Honours(s), fault.ExpiredCredentials)
}

// TestSweepLooksThroughAllPages: the orphans stand between what is kept, and behind it.
func TestSweepLooksThroughAllPages(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	gone := [...]string{strings.Repeat("0", 32), strings.Repeat("f", 32)}
	const each = sweepPage * 3 / 4
	for _, id := range []string{gone[0], c.ID, gone[1]} {
		w.putAssociations(t, id, each)
	}
	count := func(when string, first, own, last int) {
		t.Helper()
		if diff := cmp.Diff([]int{first, own, last}, []int{
			w.associations.Count(gone[0] + "/"), w.associations.Count(c.ID + "/"), w.associations.Count(gone[1] + "/"),
		}); diff != "" {
			t.Errorf("%s: associations of each cluster (-want +got):\n%s", when, diff)
		}
	}
	must(t, w.Sweep(t.Context()))
	count("swept", 0, each, 0)

	w.putAssociations(t, gone[0], 1)
	_, err := w.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	count("one cluster is deregistered, and others are none of its business", 1, 0, 0)
}

// putAssociations stores n associations of a cluster, which need not be there.
func (w *world) putAssociations(t *testing.T, clusterID string, n int) {
	t.Helper()
	for from := 0; from < n; from += 100 {
		must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
			for i := from; i < min(n, from+100); i++ {
				a := &Association{
					ID: fmt.Sprintf("a-%s-%d", clusterID, i), ClusterID: clusterID, Account: one, Region: region,
					Namespace: "ns", ServiceAccount: fmt.Sprintf("sa-%d", i), Role: arn.Role(one, "/", "app"),
				}
				if err := w.associations.Put(tx, associationKey(clusterID, a.Namespace, a.ServiceAccount), a); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

func TestSweepRemovesWhatHasOutlivedItsUse(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	role := w.role(t, one, "app")
	kept := w.associate(t, c, "ns", "sa", role)
	orphan := *kept
	orphan.ID, orphan.ClusterID = "a-orphan", "00000000000000000000000000000000"
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
		return w.associations.Put(tx, associationKey(orphan.ClusterID, "ns", "sa"), &orphan)
	}))
	for _, id := range []string{"AROA1", "AROA2"} {
		_, err := w.Revoke(t.Context(), one, "arn", Target{ByRole, id})
		must(t, err)
	}
	w.clock.pass(keepRevocations)
	must(t, w.Sweep(t.Context()))
	if got := w.revocations.Count(""); got != 2 {
		t.Errorf("37 h later: got %d revocations, want both", got)
	}
	_, err := w.Revoke(t.Context(), one, "arn", Target{ByRole, "AROA2"}) // renewed
	must(t, err)
	w.clock.pass(time.Second)
	must(t, w.Sweep(t.Context()))
	_, first, err := w.revocations.Get("role/AROA1")
	must(t, err)
	_, second, err := w.revocations.Get("role/AROA2")
	must(t, err)
	if first || !second {
		t.Errorf("and a second: got %v and %v, want only the renewed one", first, second)
	}
	if _, err := w.Association(orphan.ClusterID, "ns", "sa"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an association without cluster: got %v, want NotFound", err)
	}
	if _, err := w.Association(c.ID, "ns", "sa"); err != nil {
		t.Errorf("an association with its cluster: got %v", err)
	}
}

func TestDigestFollowsTheRole(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	a := w.associate(t, c, "ns", "sa", w.role(t, one, "app"))
	b := w.associate(t, c, "ns", "sb", a.Role.String())
	other := w.associate(t, c, "ns", "sc", w.role(t, one, "other"))
	digest := func(a *Association) [32]byte {
		d, err := w.Digest(a)
		must(t, err)
		return d
	}
	if digest(a) != digest(b) || digest(a) == digest(other) {
		t.Error("digests: want equal ones for one role, and another for another")
	}
	must(t, w.directory.Tag(t.Context(), directory.Roles.Named(one, "app"), []directory.Tag{{Key: "a", Value: "b"}}))
	if digest(a) != digest(b) {
		t.Error("a tag of the role changed the digest")
	}
	must(t, w.directory.DeleteRole(t.Context(), one, "app"))
	if _, err := w.Digest(a); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a role that is gone: got %v, want NotFound", err)
	}
}

// A clock that is ahead when a session is minted must not carry it past a revocation, nor may one that is behind end a
// session that came after.
func TestARevocationDoesNotDependOnClocks(t *testing.T) {
	w := fresh(t)
	a := w.associate(t, w.join(t, one, "prod"), "ns", "sa", w.role(t, one, "app"))
	mint := func(issued time.Duration) *session.Session {
		s := w.podSession(t, a)
		s.Issued = w.now().Add(issued)
		s.Revision, s.Epoch = w.store.Revision(), w.store.Epoch()
		return s
	}
	ahead, elsewhere := mint(time.Hour), mint(-time.Hour)
	elsewhere.Epoch = "of a store that was restored since"
	_, err := w.Revoke(t.Context(), one, "me", Target{ByAssociation, a.ClusterID + "/" + a.ID})
	must(t, err)
	behind := mint(-time.Hour)
	wants(t, "minted before, by a clock ahead", w.Honours(ahead), fault.ExpiredCredentials)
	wants(t, "minted before, in another epoch", w.Honours(elsewhere), fault.ExpiredCredentials)
	wants(t, "minted after, by a clock behind", w.Honours(behind), accepted)
}
