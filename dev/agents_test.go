package dev

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The agents answer to the listener's address, with a port or, as AWS's common runtime writes it, without; to another name
// they do not.
func TestAgentsAnswerToTheirAddressAlone(t *testing.T) {
	agents := &Agents{Dir: Dir(t.TempDir())}
	for host, want := range map[string]int{
		"127.0.0.1:8723": http.StatusNotFound, "127.0.0.1": http.StatusNotFound, // the cluster is not there
		"localhost:8723": http.StatusForbidden, "rebound.example": http.StatusForbidden, "127.0.0.1.example:8723": http.StatusForbidden,
		"": http.StatusForbidden, "127.0.0.1:8723:1": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/missing/v1/credentials", http.NoBody)
		r.Host = host
		w := httptest.NewRecorder()
		if agents.ServeHTTP(w, r); w.Code != want {
			t.Errorf("Host %q: %d, want %d: %s", host, w.Code, want, w.Body)
		}
	}
}
