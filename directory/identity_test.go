package directory

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// user and group make one, which must succeed.
func (w *world) user(t testing.TB, name string) *User {
	t.Helper()
	u, err := w.CreateUser(t.Context(), NewUser{Account: one, Name: name})
	must(t, err)
	return u
}

func (w *world) group(t testing.TB, name string) *Group {
	t.Helper()
	g, err := w.CreateGroup(t.Context(), one, "", name)
	must(t, err)
	return g
}

// may evaluates what a user may now, by a principal made anew.
func (w *world) may(t testing.TB, name string) policy.Effect {
	t.Helper()
	u, err := w.User(one, name)
	must(t, err)
	p, err := w.UserPrincipal(u, "AKIAX")
	must(t, err)
	return p.Layers.Evaluate(&policy.Question{Action: "s3:ListAllMyBuckets", Resource: "*"}).Effect
}

func TestAGroupsPoliciesAreItsUsers(t *testing.T) {
	w := fresh(t)
	w.user(t, "ann")
	w.group(t, "ops")
	allow, deny := w.managed(t, "allow", listAll), w.managed(t, "deny", denyAll)
	ops := Who{Groups, one, "ops"}
	for _, step := range []struct {
		name string
		do   func() error
		want policy.Effect
	}{
		{"at first", func() error { return nil }, policy.ImplicitDeny},
		{"a policy for the group", func() error { return w.PutPolicy(t.Context(), ops, "list", listAll) }, policy.ImplicitDeny},
		{"joined", func() error { return w.Join(t.Context(), one, "OPS", "ANN") }, policy.Allow},
		{"a Deny attached to the group", func() error { return w.Attach(t.Context(), ops, deny) }, policy.Deny},
		{"detached", func() error { return w.Detach(t.Context(), ops, deny) }, policy.Allow},
		{"the group renamed", func() error {
			name := "operators"
			return w.MoveGroup(t.Context(), one, "ops", Move{Name: &name})
		}, policy.Allow},
		{"the policy deleted", func() error { return w.DeletePolicy(t.Context(), Who{Groups, one, "operators"}, "list") }, policy.ImplicitDeny},
		{"one attached", func() error { return w.Attach(t.Context(), Who{Groups, one, "operators"}, allow) }, policy.Allow},
		{"its version put out of force", func() error {
			_, _, err := w.CreatePolicyVersion(t.Context(), one, allow, denyAll, true)
			return err
		}, policy.Deny},
		{"left", func() error { return w.Leave(t.Context(), one, "operators", "ann") }, policy.ImplicitDeny},
	} {
		must(t, step.do())
		if got := w.may(t, "ann"); got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}

// A group that cannot be read may have a Deny.
func TestAGroupThatCannotBeReadIsNotLeftOut(t *testing.T) {
	w := fresh(t)
	_, err := w.UserPrincipal(&User{Identity: Identity{Account: one, Name: "ann"}, Groups: []string{"AGPAX"}}, "AKIAX")
	wants(t, "UserPrincipal", err, fault.Unavailable)
	_, err = w.UserPrincipal(&User{Identity: Identity{Account: one, Name: "ann", Boundary: "ANPAX"}}, "AKIAX")
	wants(t, "UserPrincipal with a boundary that is gone", err, fault.Unavailable)
}

func TestQuotasOfUsers(t *testing.T) {
	w := fresh(t)
	u := w.user(t, "ann")
	for i := range maxGroups {
		w.group(t, fmt.Sprintf("g%d", i))
		must(t, w.Join(t.Context(), one, fmt.Sprintf("g%d", i), "ann"))
	}
	w.group(t, "more")
	wants(t, "one group too many", w.Join(t.Context(), one, "more", "ann"), fault.Limit)
	wants(t, "a group that it is in", w.Join(t.Context(), one, "g0", "ann"), accepted)
	var made sync.WaitGroup
	for range 6 {
		made.Go(func() { _, _ = w.CreateAccessKey(t.Context(), one, "ann") }) // all but two fail
	}
	made.Wait()
	if n := len(w.AccessKeys(u)); n != maxAccessKeys {
		t.Errorf("got %d keys of six that were asked for at once, want %d", n, maxAccessKeys)
	}
}

// Whichever comes first, no user is left in a group that is gone.
func TestJoiningAndDeletingAtOnce(t *testing.T) {
	w := fresh(t)
	w.user(t, "ann")
	for i := range 20 {
		name := fmt.Sprintf("g%d", i)
		w.group(t, name)
		var joined, deleted error
		var both sync.WaitGroup
		both.Go(func() { joined = w.Join(t.Context(), one, name, "ann") })
		both.Go(func() { deleted = w.DeleteGroup(t.Context(), one, name) })
		both.Wait()
		u, err := w.User(one, "ann")
		must(t, err)
		if _, err := w.GroupsOf(u); (joined == nil) == (deleted == nil) || err != nil {
			t.Errorf("joined: %v, deleted: %v, the groups: %v", joined, deleted, err)
		}
		if joined == nil {
			must(t, w.Leave(t.Context(), one, name, "ann"))
		}
	}
}

func TestARenamedUserKeepsItsKeysAndGroups(t *testing.T) {
	w := fresh(t)
	u := w.user(t, "ann")
	w.group(t, "ops")
	must(t, w.Join(t.Context(), one, "ops", "ann"))
	key, err := w.CreateAccessKey(t.Context(), one, "ann")
	must(t, err)
	w.user(t, "bob")
	path, name, taken := "/team/", "anna", "BOB"
	wants(t, "to a name that is taken", w.MoveUser(t.Context(), one, "ann", Move{Name: &taken}), fault.Exists)
	must(t, w.MoveUser(t.Context(), one, "ann", Move{&path, &name}))
	k, moved, err := w.AccessKey(key.ID)
	must(t, err)
	if k.User != "anna" || moved.ID != u.ID || moved.ARN().String() != "arn:aws:iam::"+one+":user/team/anna" || len(moved.Groups) != 1 || k.Secret != key.Secret {
		t.Errorf("got key %+v of %+v", k, moved)
	}
	_, err = w.User(one, "ann")
	wants(t, "the old name", err, fault.NotFound)
	wants(t, "the key by the old name", w.DeleteAccessKey(t.Context(), one, "ann", key.ID), fault.NotFound)
	wants(t, "the key by another's name", w.DeleteAccessKey(t.Context(), one, "bob", key.ID), fault.NotFound)
	wants(t, "the key", w.DeleteAccessKey(t.Context(), one, "anna", key.ID), accepted)
}

func TestABoundaryIsInForceAtTheNextUse(t *testing.T) {
	w := fresh(t)
	w.user(t, "ann")
	w.create(t, NewRole{Account: one, Name: "app"})
	const getAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	wide, narrow := w.managed(t, "wide", listAll), w.managed(t, "narrow", getAll)
	ann, app := Who{Users, one, "ann"}, Who{Roles, one, "app"}
	for _, who := range []Who{ann, app} {
		must(t, w.PutPolicy(t.Context(), who, "list", listAll))
	}
	both := func(do func(who Who) error) func() error {
		return func() error {
			if err := do(ann); err != nil {
				return err
			}
			return do(app)
		}
	}
	question := &policy.Question{Action: "s3:ListAllMyBuckets", Resource: "*"}
	var last *Principal
	for _, step := range []struct {
		name string
		do   func() error
		want policy.Effect
	}{
		{"without", func() error { return nil }, policy.Allow},
		{"one that allows", both(func(who Who) error { return w.PutBoundary(t.Context(), who, wide) }), policy.Allow},
		{"one that does not", both(func(who Who) error { return w.PutBoundary(t.Context(), who, narrow) }), policy.ImplicitDeny},
		{"its new version does", func() error {
			_, _, err := w.CreatePolicyVersion(t.Context(), one, narrow, listAll, true)
			return err
		}, policy.Allow},
		{"its new version denies", func() error {
			_, _, err := w.CreatePolicyVersion(t.Context(), one, narrow, denyAll, true)
			return err
		}, policy.Deny},
		{"one of every account's", both(func(who Who) error { return w.PutBoundary(t.Context(), who, AWSPolicies+"IAMFullAccess") }), policy.ImplicitDeny},
		{"one that gives more", both(func(who Who) error { return w.PutBoundary(t.Context(), who, AWSPolicies+"AdministratorAccess") }), policy.Allow},
		{"taken away", both(func(who Who) error { return w.DeleteBoundary(t.Context(), who) }), policy.Allow},
	} {
		must(t, step.do())
		if got := w.may(t, "ann"); got != step.want {
			t.Errorf("%s: a user: got %v, want %v", step.name, got, step.want)
		}
		role, err := w.Role(one, "app")
		must(t, err)
		if last == nil || !w.IsCurrent(last, role) {
			last, err = w.SessionPrincipal(role, &session.Session{Account: one, Name: "s"})
			must(t, err)
		}
		if got := last.Layers.Evaluate(question).Effect; got != step.want {
			t.Errorf("%s: a session: got %v, want %v", step.name, got, step.want)
		}
	}
	// A boundary alone gives nothing.
	w.user(t, "bob")
	must(t, w.PutBoundary(t.Context(), Who{Users, one, "bob"}, wide))
	if got := w.may(t, "bob"); got != policy.ImplicitDeny {
		t.Errorf("a user with a boundary alone: got %v, want ImplicitDeny", got)
	}
	wants(t, "the boundary deleted", w.DeleteManagedPolicy(t.Context(), one, wide), fault.InUse)
	w.group(t, "ops")
	wants(t, "a group's boundary", w.PutBoundary(t.Context(), Who{Groups, one, "ops"}, wide), fault.Invalid)
	_, err := w.CreateRole(t.Context(), NewRole{Account: one, Name: "x", Trust: podTrust, Boundary: policyARN("none")})
	wants(t, "a role with a boundary that is not there", err, fault.NotFound)
}

// The policies that every account has are those of AWS by name, and none changes them.
func TestAWSPolicies(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	app := Who{Roles, one, "app"}
	for _, test := range []struct {
		name, allowed, not string
	}{
		{"AdministratorAccess", "iam:CreateUser", ""},
		{"AmazonEKSWorkerNodeMinimalPolicy", "eks-auth:AssumeRoleForPodIdentity", "eks:DescribeCluster"},
		{"AmazonEKSWorkerNodePolicy", "eks:DescribeCluster", "eks:DeleteCluster"},
		{"AmazonS3FullAccess", "s3:DeleteBucket", "iam:GetUser"},
		{"AmazonS3ReadOnlyAccess", "s3:GetObject", "s3:PutObject"},
		{"IAMFullAccess", "iam:CreateUser", "s3:GetObject"},
		{"IAMReadOnlyAccess", "iam:ListUsers", "iam:CreateUser"},
		{"ReadOnlyAccess", "eks:ListClusters", "lanyard:GetSigningKey"},
	} {
		must(t, w.Attach(t.Context(), app, AWSPolicies+test.name))
		role, err := w.Role(one, "app")
		must(t, err)
		for action, want := range map[string]policy.Effect{test.allowed: policy.Allow, test.not: policy.ImplicitDeny} {
			if action == "" {
				continue
			}
			if got := policy.Evaluate(&policy.Question{Action: action, Resource: "*"}, w.roleMay(t, role)).Effect; got != want {
				t.Errorf("%s: %s: got %v, want %v", test.name, action, got, want)
			}
		}
		must(t, w.Detach(t.Context(), app, AWSPolicies+test.name))
		wants(t, test.name+" changed", w.SetDefaultPolicyVersion(t.Context(), one, AWSPolicies+test.name, 1), fault.Denied)
		wants(t, test.name+" deleted", w.DeleteManagedPolicy(t.Context(), one, AWSPolicies+test.name), fault.Denied)
	}
	all := w.AWSManagedPolicies("", 0, func(*ManagedPolicy) bool { return true })
	ids := map[string]bool{}
	for i, p := range all {
		if ids[p.ID] || i > 0 && all[i-1].Name >= p.Name {
			t.Errorf("%s: its id is another's, or it comes before %s", p.Name, all[max(0, i-1)].Name)
		}
		ids[p.ID] = true
	}
	wants(t, "one that is not here", w.Attach(t.Context(), app, AWSPolicies+"PowerUserAccess"), fault.NotFound)
}

func TestAnAccountHasOneAlias(t *testing.T) {
	w := fresh(t)
	w.account(t, one)
	w.account(t, two)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := w.CreateAlias(t.Context(), one, fmt.Sprintf("alias-%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	mine := w.Alias(one)
	if mine == "" || w.aliases.Count("") != 1 {
		t.Errorf("got alias %q and %d in all, want one", mine, w.aliases.Count(""))
	}
	wants(t, "another account's", w.CreateAlias(t.Context(), two, mine), fault.Exists)
	wants(t, "another account deletes it", w.DeleteAlias(t.Context(), two, mine), fault.NotFound)
	must(t, w.DeleteAlias(t.Context(), one, mine))
	wants(t, "another account takes it", w.CreateAlias(t.Context(), two, mine), accepted)
}

// A use is told at once, and written at most each quarter of an hour.
func TestUsageIsWrittenNowAndThen(t *testing.T) {
	dir, key := folder(t), store.NewMasterKey()
	w := open(t, dir, key)
	now := made
	w.now = func() time.Time { return now }
	role := w.create(t, NewRole{Account: one, Name: "app"})
	w.user(t, "ann")
	k, err := w.CreateAccessKey(t.Context(), one, "ann")
	must(t, err)
	if seen, err := w.Usage(role.ID); seen != nil || err != nil {
		t.Errorf("before any use: got %v, %v", seen, err)
	}
	w.Used(role.ID, "s3", strings.Repeat("x", 100))
	w.Used(k.ID, "iam", "us-east-1")
	w.Used("AROAGONEGONEGONEGONE0", "s3", "r")
	before := w.store.Revision()
	if seen, err := w.Usage(k.ID); err != nil || seen == nil || seen.Service != "iam" || !seen.At.Equal(now.Truncate(time.Minute)) {
		t.Errorf("a use, not yet written: got %+v, %v", seen, err)
	}
	must(t, w.WriteUsage(t.Context()))
	if w.store.Revision() == before {
		t.Error("the first use was not written")
	}
	if _, still := w.used.Load("AROAGONEGONEGONEGONE0"); still {
		t.Error("what is gone is remembered")
	}
	for _, step := range []struct {
		after   time.Duration
		written bool
	}{{30 * time.Second, false}, {14 * time.Minute, false}, {time.Minute, true}, {time.Minute, false}} {
		now = now.Add(step.after)
		before = w.store.Revision()
		w.Used(role.ID, "eks", "r")
		must(t, w.WriteUsage(t.Context()))
		if written := w.store.Revision() != before; written != step.written {
			t.Errorf("a use %s later was written: %v, want %v", step.after, written, step.written)
		}
	}
	must(t, w.store.Close())
	again := open(t, dir, key)
	if seen, err := again.Usage(role.ID); err != nil || seen == nil || seen.Service != "eks" || seen.Region != "r" {
		t.Errorf("after a restart: got %+v, %v", seen, err)
	}
	must(t, again.DeleteRole(t.Context(), one, "app"))
	must(t, again.DeleteAccessKey(t.Context(), one, "ann", k.ID))
	if n := again.usage.Count(""); n != 0 {
		t.Errorf("%d uses are kept of what is gone", n)
	}
	if n := testing.AllocsPerRun(100, func() { again.Used(role.ID, "s3", "r") }); n > 1 {
		t.Errorf("noting a use costs %v allocations, want those of a look-up", n)
	}
}

// followMany is a directory that was fed the role `x` of the account under many names, which is quicker than making them.
func followMany(t *testing.T, many map[string]int) *world {
	t.Helper()
	source := fresh(t)
	made := source.create(t, NewRole{Account: one, Name: "x"})
	told, write := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_ = write.CloseWithError(source.store.Feed(ctx, one, store.Position{}, write, func() error { return nil })) // ends with ctx
	}()
	feed := func(context.Context, store.Position) (io.ReadCloser, error) {
		read, fed := io.Pipe()
		go func() {
			defer stop()
			lines := bufio.NewScanner(told)
			for lines.Scan() {
				var l map[string]any
				err := json.Unmarshal(lines.Bytes(), &l)
				if err == nil && l["table"] == roleTable {
					err = multiply(fed, l, made, many)
				} else if err == nil {
					_, err = fed.Write(append(lines.Bytes(), '\n'))
				}
				if err != nil {
					_ = fed.CloseWithError(err) // never fails
					return
				}
			}
		}()
		return read, nil
	}
	st, err := store.Open(ctx, store.Config{Feed: feed})
	must(t, err)
	w := &world{New(st, nil), st}
	must(t, st.Start(t.Context()))
	t.Cleanup(func() {
		stop()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// multiply writes a line of the feed for each of the many roles of each account.
func multiply(to io.Writer, line map[string]any, made *Role, many map[string]int) error {
	value, err := base64.StdEncoding.DecodeString(line["value"].(string))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(to)
	for account, n := range many {
		for i := range n {
			name := fmt.Sprintf("role-%06d", i)
			renamed := strings.NewReplacer(`"account":"`+one, `"account":"`+account, `"name":"x"`, `"name":"`+name+`"`, made.ID, fmt.Sprintf("AROA%s%06d", account[:11], i))
			line["key"], line["value"] = nameKey(account, name), []byte(renamed.Replace(string(value)))
			if err := json.NewEncoder(out).Encode(line); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// A page of a long list costs what its own entries cost.
func TestAPageOfManyRolesCostsAsMuchAsOneOfFew(t *testing.T) {
	const many = 100_000
	w := followMany(t, map[string]int{one: many, two: 200})
	cost := func(account, after string) uint64 {
		var before, behind runtime.MemStats
		runtime.ReadMemStats(&before)
		page, err := w.Directory.Roles(account, "/", after, 101)
		runtime.ReadMemStats(&behind)
		must(t, err)
		if len(page) != 101 {
			t.Fatalf("a page of %s after %q: got %d roles, want 101", account, after, len(page))
		}
		return behind.TotalAlloc - before.TotalAlloc
	}
	few := cost(two, "role-000050")
	for _, after := range []string{"", "role-000050", "role-050000", "role-099800"} {
		if got := cost(one, after); got > 2*few+4096 {
			t.Errorf("a page of %d roles after %q: %d bytes, one of 200 roles: %d bytes", many, after, got, few)
		}
	}
	n, after := 0, ""
	for {
		page, err := w.Directory.Roles(one, "/", after, 1000)
		must(t, err)
		if len(page) == 0 {
			break
		}
		n, after = n+len(page), page[len(page)-1].Name
	}
	if n != many {
		t.Errorf("all pages: got %d roles, want %d", n, many)
	}
}
