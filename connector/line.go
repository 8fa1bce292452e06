package connector

import "encoding/json"

// A Line is one line of the server's stream, as JSON.
type Line struct {
	Epoch        string        `json:"epoch"` // changes when revisions start anew
	Revision     int64         `json:"revision"`
	Reset        bool          `json:"reset"` // associations are all there are, instead of those that came
	Settings     *Settings     `json:"settings,omitempty"`
	Associations []Association `json:"associations,omitempty"`
	Removed      []Identity    `json:"removed,omitempty"`
	// Addons are told apart where they are applied.
	Addons      json.RawMessage `json:"addons,omitempty"`
	RecheckKeys bool            `json:"recheckKeys,omitempty"`
	Refused     []RefusedPod    `json:"refused,omitempty"`
	Questions   []Question      `json:"serviceAccountQuestions,omitempty"`
}

// A RefusedPod is one that asked with its own token and got no credentials, as the server says.
type RefusedPod struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	UID       string  `json:"uid"`
	Reason    string  `json:"reason"`
	At        float64 `json:"at"` // seconds since 1970; it tells refusals apart, no more
}

// Settings are what the server knows of this cluster. Empty endpoints are not injected.
type Settings struct {
	Account     string `json:"account"`
	Region      string `json:"region"`
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	S3Endpoint  string `json:"s3Endpoint"`
	STSEndpoint string `json:"stsEndpoint"`
	CABundle    string `json:"caBundle"`    // PEM; empty where the endpoints are publicly trusted
	RegionalSTS bool   `json:"regionalSts"` // whatever the connector was told
}

// An Identity is what a pod runs as.
type Identity struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
}

// An Association says that pods of an identity have a role. Which one is for the server to know.
type Association struct {
	ID string `json:"id"`
	Identity
}

// A Position is how far a copy has come. Positions of two epochs cannot be compared.
type Position struct {
	Epoch    string
	Revision int64
}
