package addon

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

// Each value needs its right, and no other gives it.
func TestValuesNeedTheirRights(t *testing.T) {
	for member, right := range map[string]Right{
		"verifyPods": VerifyPods, "removeStartupTaint": StartupTaint,
	} {
		on, err := ParseAgent(`{"agent":{"` + member + `":true}}`)
		if err != nil {
			t.Fatal(err)
		}
		if err := on.Permit([]Right{right}); err != nil {
			t.Errorf("%s with its right: %v", member, err)
		}
		others := slices.DeleteFunc(slices.Clone(rights), func(r Right) bool { return r == right })
		if err := on.Permit(others); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), string(right)) {
			t.Errorf("%s with %q: got %v, want it refused for %s", member, others, err, right)
		}
		off, err := ParseAgent(`{"agent":{"` + member + `":false}}`)
		if err != nil {
			t.Fatal(err)
		}
		if err := off.Permit(nil); err != nil {
			t.Errorf("%s switched off: %v", member, err)
		}
	}
}

func TestRightsAreChecked(t *testing.T) {
	if err := CheckRights(rights); err != nil {
		t.Error(err)
	}
	if err := CheckRights(nil); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]Right{{"everything"}, {""}, {VerifyPods, VerifyPods}, {"Verify-Pods"}} {
		if err := CheckRights(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v, want Invalid", bad, err)
		}
	}
}
