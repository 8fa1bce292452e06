package connector

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/fault"
)

// Action is what shall become of an add-on.
type Action string

// The actions.
const (
	Apply    Action = "apply"
	Delete   Action = "delete"
	Preserve Action = "preserve" // forget it, and leave in the cluster what is there
)

// How conflicts with who changed an add-on's objects are resolved, in EKS's words.
const (
	resolveNone      = "NONE"      // they are told, and nothing is changed
	resolveOverwrite = "OVERWRITE" // what the add-on says holds
	resolvePreserve  = "PRESERVE"  // what others have said holds
)

// DesiredAddon is an add-on as the server wants it: a name, a version and values, never a manifest. Nothing of it is taken
// on trust.
type DesiredAddon struct {
	Name                string `json:"name"`
	Version             string `json:"version"`
	ConfigurationValues string `json:"configurationValues"` // JSON
	ResolveConflicts    string `json:"resolveConflicts"`    // NONE, OVERWRITE or PRESERVE; empty: NONE
	Action              Action `json:"action"`
	Generation          int64  `json:"generation"`
	PodIdentityRestart  string `json:"podIdentityRestart"` // another value restarts the add-on's pods
}

const maxAddons = 64 // that a server may name; there is one that we have

var (
	clusterID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	restartMark = regexp.MustCompile(`^[0-9A-Za-z:._+-]{0,64}$`)
)

// readAddons reads a line's add-ons: all of them, when one has changed. ok is false where the line says nothing of them.
func readAddons(raw json.RawMessage) (all []DesiredAddon, ok bool, err error) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, false, nil
	}
	if err := json.Unmarshal(raw, &all); err != nil || len(all) > maxAddons {
		return nil, false, fault.New(fault.Invalid, "the stream's add-ons cannot be read")
	}
	return all, true, nil
}

// check refuses what this connector does not have, with kind Unsupported: a server that was stolen can ask for nothing else
// than whoever built the connector has put in.
func (d *DesiredAddon) check() (*addon.Addon, error) {
	a, ok := addon.Find(d.Name)
	if !ok {
		return nil, fault.New(fault.Unsupported, "this connector has no add-on %.100q", d.Name)
	}
	switch d.Action {
	case Delete, Preserve:
		return a, nil
	case Apply:
	default:
		return nil, fault.New(fault.Unsupported, "this connector does not know the action %.100q", string(d.Action))
	}
	if !a.Accepts(d.Version) {
		return nil, fault.New(fault.Unsupported, "this connector has no version %.100q of %s: %s and newer are accepted", d.Version, a.Name, a.Oldest())
	}
	switch d.ResolveConflicts {
	case "", resolveNone, resolveOverwrite, resolvePreserve:
	default:
		return nil, fault.New(fault.Unsupported, "resolveConflicts %.100q: NONE, OVERWRITE and PRESERVE are accepted", d.ResolveConflicts)
	}
	if !restartMark.MatchString(d.PodIdentityRestart) {
		return nil, fault.New(fault.Unsupported, "podIdentityRestart %.100q: at most 64 letters, digits and signs of a moment are accepted", d.PodIdentityRestart)
	}
	if err := a.Check(d.ConfigurationValues); err != nil {
		return nil, fault.New(fault.Unsupported, "configurationValues: %w", err)
	}
	return a, nil
}
