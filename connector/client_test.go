package connector

import (
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

// TestEndpoints holds where a connector may send its session.
func TestEndpoints(t *testing.T) {
	for _, accepted := range []string{"https://lanyard.example", "https://10.0.0.1:8780/", "http://127.0.0.1:8780", "http://[::1]:8780"} {
		if err := checkEndpoint(&accepted); err != nil {
			t.Error(err)
		}
	}
	for _, refused := range []string{
		"http://10.0.0.1:8780", "http://[fe80::1]", "http://localhost:8780", "http://lanyard.example", "ftp://127.0.0.1",
		"https://a@lanyard.example", "https://lanyard.example?x=y", "https://lanyard.example#x", "lanyard.example", "",
	} {
		if err := checkEndpoint(&refused); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want it refused as invalid", refused, err)
		}
	}
}
