package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// An account may have more clusters than one answer names.
func TestEveryClusterIsAskedFor(t *testing.T) {
	pages := map[string][]string{"": {"a", "b"}, "next=1": {"c"}, "next=2": {}}
	next := map[string]string{"": "next=1", "next=1": "next=2"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("nextToken")
		names, err := json.Marshal(pages[token])
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"clusters":%s,"nextToken":%q}`, names, next[token])
	}))
	defer server.Close()
	c := &client{endpoint: server.URL, keyID: "AKIA", secret: "s", region: "us-east-1", http: server.Client()}
	got, err := c.clusters(t.Context())
	if want := []string{"a", "b", "c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
