package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

func TestKindSurvivesWrapping(t *testing.T) {
	err := fmt.Errorf("reading the role: %w", fault.New(fault.NotFound, "no role %q", "x"))
	if got := fault.Of(err); got != fault.NotFound {
		t.Errorf("Of(%v) = %v, want NotFound", err, got)
	}
	if got, want := fault.Message(err), `no role "x"`; got != want {
		t.Errorf("Message(%v) = %q, want %q", err, got, want)
	}
}

func TestAnErrorWithoutKindIsOursAndSilent(t *testing.T) {
	for _, err := range []error{io.ErrUnexpectedEOF, fault.New(fault.Internal, "the disk at /x broke")} {
		if got := fault.Of(err); got != fault.Internal {
			t.Errorf("Of(%v) = %v, want Internal", err, got)
		}
		if got := fault.Message(err); got != "" {
			t.Errorf("Message(%v) = %q: text of ours must not leave the process", err, got)
		}
	}
}

func TestHiddenCauseIsLoggedButNotShown(t *testing.T) {
	err := fault.Hide(fault.Unavailable, io.EOF, "try again")
	if got, want := fault.Message(err), "try again"; got != want {
		t.Errorf("Message = %q, want %q", got, want)
	}
	if got, want := err.Error(), "try again: EOF"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the cause is lost")
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range fault.Kinds() {
		if seen[k.String()] {
			t.Errorf("kind name %q stands twice", k)
		}
		seen[k.String()] = true
	}
	if got := fault.Kind(200).String(); got != "Kind(200)" {
		t.Errorf("String of an unknown kind = %q", got)
	}
	if got := fault.Unavailable.String(); got != "Unavailable" {
		t.Errorf("the name table is out of step: Unavailable prints as %q", got)
	}
}
