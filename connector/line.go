package connector

import (
	"regexp"

	"github.com/openlanyard/lanyard/fault"
)

// Line is a line of the stream that a cluster's connector follows (api/lanyard/openapi.json, WatchConnector): what has
// changed up to a position of the server's history. One with neither changes nor questions is a heartbeat.
type Line struct {
	Epoch        string         `json:"epoch"`
	Revision     int64          `json:"revision"`
	Reset        bool           `json:"reset"` // everything follows, and what is not in it does not exist
	Settings     *Settings      `json:"settings"`
	Associations []Identity     `json:"associations"` // made or changed
	Removed      []Identity     `json:"removed"`      // without an id
	Addons       []DesiredAddon `json:"addons"`  // all of them, when one has changed; nil: as before
	RecheckKeys  bool           `json:"recheckKeys"` // a token came whose key the server does not know
}

// Identity is a service account with an association. What it may become is the server's business.
type Identity struct {
	ID             string `json:"id"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
}

// Settings are the cluster's, as the server has them: what the webhook tells pods beside their token.
type Settings struct {
	Account     string `json:"account"`
	Region      string `json:"region"`
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	S3Endpoint  string `json:"s3Endpoint"`
	STSEndpoint string `json:"stsEndpoint"`
	CABundle    string `json:"caBundle"` // PEM
}

// Action is what shall become of an add-on.
type Action string

// The actions.
const (
	Apply    Action = "apply"
	Delete   Action = "delete"
	Preserve Action = "preserve" // forget it, and leave in the cluster what is there
)

// DesiredAddon is an add-on as the server wants it: a name, a version and values, never a manifest.
type DesiredAddon struct {
	Name                string `json:"name"`
	Version             string `json:"version"`
	ConfigurationValues string `json:"configurationValues"` // YAML or JSON
	ResolveConflicts    string `json:"resolveConflicts"`    // NONE, OVERWRITE or PRESERVE
	Action              Action `json:"action"`
	Generation          int64  `json:"generation"`
	PodIdentityRestart  string `json:"podIdentityRestart"` // another value restarts the add-on's pods
}

var (
	clusterName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]{0,99}$`)
	clusterID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// check refuses a line that no server of ours sends.
func (l *Line) check() error {
	if l.Epoch == "" || l.Revision < 0 || l.Reset && l.Settings == nil {
		return fault.New(fault.Invalid, "a line of the stream cannot be read")
	}
	return nil
}
