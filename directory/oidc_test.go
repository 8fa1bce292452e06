package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// Of every issuer that is accepted there is one spelling, and each that is refused stands beside one that is not.
func TestParseIssuer(t *testing.T) {
	for _, text := range []string{
		"https://accounts.google.com", "https://oidc.eks.us-west-2.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
		"https://tenant.example.org/", "https://10.1.2.3", "https://a.b/c_d~e=f@g+h,i.j-k", "https://" + strings.Repeat("a", 243) + ".org",
	} {
		if got, err := ParseIssuer(text); err != nil || "https://"+got != text {
			t.Errorf("ParseIssuer(%q) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "accounts.google.com", "http://accounts.google.com", "HTTPS://accounts.google.com", "https:///accounts.google.com", "https://",
		"https://Accounts.google.com", "https://accounts.google.com:443", "https://accounts.google.com:", "https://a@accounts.google.com",
		"https://accounts.google.com?", "https://accounts.google.com/?a", "https://accounts.google.com#", "https://accounts.google.com/a//b",
		"https://accounts.google.com//", "https://accounts.google.com/./a", "https://accounts.google.com/a/..", "https://accounts.google.com/%61",
		"https://accounts.google.com/a:b", "https://accounts.google.com/*", "https://accounts.google.com/${aws:username}", "https://accounts.google.com/a b",
		"https://accounts..google.com", "https://accounts.google.com.", "https://-a.org", "https://[::1]", "https://a.org\n", "https://a.org/\x00",
		"https://аccounts.google.com", "https://" + strings.Repeat("a", 244) + ".org",
	} {
		if got, err := ParseIssuer(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseIssuer(%q) = %q, %v; want Invalid", text, got, err)
		}
	}
}

func TestOIDCProvidersSurviveARestart(t *testing.T) {
	dir, key := folder(t), store.NewMasterKey()
	w := open(t, dir, key)
	made, err := w.CreateOIDCProvider(t.Context(), NewOIDCProvider{
		Account: one, URL: "https://a.example.org/id/A", ClientIDs: []string{"x", "y", "x"},
		Thumbprints: []string{strings.Repeat("AB", 20), strings.Repeat("ab", 20)}, Tags: []Tag{{ClusterTag, "prod"}, {"a", "b"}},
	})
	must(t, err)
	want := &OIDCProvider{
		Account: one, Issuer: "a.example.org/id/A", ClientIDs: []string{"x", "y"}, Thumbprints: []string{strings.Repeat("ab", 20)},
		Tags: []Tag{{"a", "b"}, {ClusterTag, "prod"}}, Created: w.now(),
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	must(t, w.store.Close())
	got, err := open(t, dir, key).OIDCProvider(one, "a.example.org/id/A")
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	if got.Cluster() != "prod" || got.URL() != "https://a.example.org/id/A" || got.ARN().String() != "arn:aws:iam::111122223333:oidc-provider/a.example.org/id/A" {
		t.Errorf("got %s, %s, %s", got.Cluster(), got.URL(), got.ARN())
	}
}

func TestOIDCProvidersAreOfOneAccountAndBounded(t *testing.T) {
	w := fresh(t)
	for i := range maxProviders {
		_, err := w.CreateOIDCProvider(t.Context(), NewOIDCProvider{Account: one, URL: fmt.Sprintf("https://a%d.example.org", i)})
		must(t, err)
	}
	if _, err := w.CreateOIDCProvider(t.Context(), NewOIDCProvider{Account: one, URL: "https://b.example.org"}); !fault.Is(err, fault.Limit) {
		t.Errorf("one more than %d: got %v, want Limit", maxProviders, err)
	}
	if _, err := w.CreateOIDCProvider(t.Context(), NewOIDCProvider{Account: two, URL: "https://b.example.org"}); err != nil {
		t.Errorf("in another account: %v", err)
	}
	if _, err := w.OIDCProvider(two, "a1.example.org"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another account's provider: got %v, want NotFound", err)
	}
	for _, err := range []error{
		w.AddClientID(t.Context(), two, "a1.example.org", "x"), w.UpdateThumbprints(t.Context(), two, "a1.example.org", nil),
		w.TagOIDCProvider(t.Context(), two, "a1.example.org", []Tag{{"a", "b"}}),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("changing another account's provider: got %v, want NotFound", err)
		}
	}
	must(t, w.DeleteOIDCProvider(t.Context(), two, "a1.example.org"))
	if all, err := w.OIDCProviders(one); err != nil || len(all) != maxProviders {
		t.Errorf("got %d providers (%v), want %d", len(all), err, maxProviders)
	}
	for i := range maxClientIDs {
		must(t, w.AddClientID(t.Context(), one, "a1.example.org", fmt.Sprintf("client-%d", i)))
	}
	must(t, w.AddClientID(t.Context(), one, "a1.example.org", "client-1"))
	if err := w.AddClientID(t.Context(), one, "a1.example.org", "another"); !fault.Is(err, fault.Limit) {
		t.Errorf("one more than %d client ids: got %v, want Limit", maxClientIDs, err)
	}
}
