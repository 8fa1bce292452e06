package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A client that says Expect and does not wait reads the refusal whole, every time, however much it had to say.
func TestRefusalReachesClientThatDoesNotWait(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, "id", bodyMismatch.refusal())
		linger(w, r)
	}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}} // ExpectContinueTimeout of zero: it does not wait
	for range 50 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/pay/a", strings.NewReader(strings.Repeat("x", 3<<20)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Expect", "100-continue")
		resp, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "</Error>") {
			t.Errorf("status %d, %q, %v, want the refusal", resp.StatusCode, text, err)
		}
	}
}
