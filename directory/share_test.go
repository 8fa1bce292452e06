package directory

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// TestATiedRoleIsKnownByNameAlone follows as account two, to which one role of account one is tied.
func TestATiedRoleIsKnownByNameAlone(t *testing.T) {
	const one, two = "111122223333", "444455556666"
	source, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(t.TempDir(), "store"), MasterKey: store.NewMasterKey()})
	if err != nil {
		t.Fatal(err)
	}
	d := New(source, nil)
	d.ShareTied(func(viewer string, role arn.ARN) bool {
		return viewer == two && role.String() == arn.Role(one, "/", "tied").String()
	})
	if err := source.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	for _, name := range []string{"tied", "untied"} {
		if _, err := d.CreateRole(t.Context(), NewRole{Account: one, Name: name, Description: "secret project", Trust: text}); err != nil {
			t.Fatal(err)
		}
		if err := d.PutPolicy(t.Context(), Who{Roles, one, name}, "p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`); err != nil {
			t.Fatal(err)
		}
	}
	follower, err := store.Open(t.Context(), store.Config{Feed: func(ctx context.Context, _ store.Position) (io.ReadCloser, error) {
		read, write := io.Pipe()
		go func() {
			_ = write.CloseWithError(source.Feed(ctx, two, store.Position{}, write, func() error { return nil })) // never fails
		}()
		return read, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	f := New(follower, nil)
	if err := follower.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range []*store.Store{follower, source} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	want, err := d.Role(one, "tied")
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Role(one, "tied")
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != want.ID || got.ARN() != want.ARN() {
		t.Errorf("got %s %s, want %s %s", got.ID, got.ARN(), want.ID, want.ARN())
	}
	pods := policy.Principal{Kind: policy.Service, Names: []string{"pods.eks.amazonaws.com"}}
	if got.Description != "" || len(got.Inline) != 0 || len(got.Attached) != 0 || got.Trust.Names(pods, "sts:AssumeRole") {
		t.Errorf("got %+v, want a role that may do nothing and trusts nobody", got)
	}
	if _, err := f.Role(one, "untied"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the other role: got %v, want NotFound", err)
	}
}
