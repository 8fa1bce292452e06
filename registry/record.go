package registry

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/store"
)

// The stored forms, each with its version. A changed form is a new version with a new type; the old one stays readable.

type keyV1 struct {
	JWKS   json.RawMessage `json:"jwks"` // a set of one
	Leaves *time.Time      `json:"leaves,omitempty"`
}

type activationV1 struct {
	ID      string    `json:"id"`
	Secret  []byte    `json:"secret"` // sealed under the master key
	Expires time.Time `json:"expires"`
	Wrong   int       `json:"wrong,omitempty"` // since version 2 of clusters
}

// clusterV2 has, beyond version 1, the settings: a program that knows version 1 would accept tokens that live too long, and
// is not to read it.
type clusterV2 struct {
	ID           string            `json:"id"`
	Account      string            `json:"account"`
	Name         string            `json:"name"`
	Region       string            `json:"region"`
	Status       Status            `json:"status"`
	Provider     string            `json:"provider"`
	RoleARN      string            `json:"roleArn"`
	Endpoint     string            `json:"endpoint,omitempty"`
	CA           string            `json:"ca,omitempty"`
	Issuers      []string          `json:"issuers,omitempty"`
	Keys         []keyV1           `json:"keys,omitempty"`
	Generation   int64             `json:"generation"`
	Confirmed    time.Time         `json:"confirmed"`
	Practice     bool              `json:"practice,omitempty"`
	NodeBinding  bool              `json:"nodeBinding"`
	Tags         []directory.TagV1 `json:"tags,omitempty"`
	Created      time.Time         `json:"created"`
	RequestToken string            `json:"requestToken,omitempty"`
	Activation   *activationV1     `json:"activation,omitempty"`
	S3Endpoint   string            `json:"s3Endpoint,omitempty"`
	STSEndpoint  string            `json:"stsEndpoint,omitempty"`
	CABundle     string            `json:"caBundle,omitempty"`
	MaxToken     int64             `json:"maxTokenSeconds,omitempty"`
}

var clusterCodec = store.Codec[*Cluster]{
	Version: 2,
	Encode: func(s *store.Sealer, key string, c *Cluster) ([]byte, error) {
		r := clusterV2{
			ID: c.ID, Account: c.Account, Name: c.Name, Region: c.Region, Status: c.Status, Provider: c.Provider, RoleARN: c.RoleARN,
			Endpoint: c.Endpoint, CA: c.CA, Issuers: c.Issuers, Generation: c.Generation, Confirmed: c.Confirmed, Practice: c.Practice,
			NodeBinding: c.NodeBinding, Tags: directory.EncodeTags(c.Tags), Created: c.Created, RequestToken: c.RequestToken,
			S3Endpoint: c.S3Endpoint, STSEndpoint: c.STSEndpoint, CABundle: c.CABundle, MaxToken: int64(c.MaxToken / time.Second),
		}
		for _, k := range c.Keys {
			set, err := podtoken.MarshalKeys([]podtoken.Key{k.Key})
			if err != nil {
				return nil, err
			}
			stored := keyV1{JWKS: set}
			if !k.Leaves.IsZero() {
				stored.Leaves = &k.Leaves
			}
			r.Keys = append(r.Keys, stored)
		}
		if a := c.Activation; a != nil {
			r.Activation = &activationV1{a.ID, s.Seal("cluster/"+key+"/activation", []byte(a.Secret)), a.Expires, a.Wrong}
		}
		return json.Marshal(r)
	},
	Decode: func(s *store.Sealer, key string, _ int, data []byte) (*Cluster, error) {
		var r clusterV2
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		c := &Cluster{
			ID: r.ID, Account: r.Account, Name: r.Name, Region: r.Region, Status: r.Status, Provider: r.Provider, RoleARN: r.RoleARN,
			Endpoint: r.Endpoint, CA: r.CA, Issuers: r.Issuers, Generation: r.Generation, Confirmed: r.Confirmed, Practice: r.Practice,
			NodeBinding: r.NodeBinding, Tags: directory.DecodeTags(r.Tags), Created: r.Created, RequestToken: r.RequestToken,
			Settings: Settings{r.S3Endpoint, r.STSEndpoint, r.CABundle, time.Duration(r.MaxToken) * time.Second},
		}
		for _, k := range r.Keys {
			keys, err := podtoken.ParseKeys(k.JWKS)
			if err != nil {
				return nil, err
			}
			for _, key := range keys {
				stored := Key{Key: key}
				if k.Leaves != nil {
					stored.Leaves = *k.Leaves
				}
				c.Keys = append(c.Keys, stored)
			}
		}
		if a := r.Activation; a != nil {
			secret, err := s.Open("cluster/"+key+"/activation", a.Secret)
			if err != nil {
				return nil, err
			}
			c.Activation = &Activation{ID: a.ID, Secret: directory.Secret(secret), Expires: a.Expires, Wrong: a.Wrong}
		}
		return c.finished(), nil
	},
}

// associationV2 has, beyond version 1, the target role, the policy and the tag switch: a program that knows version 1 would
// not hold a pod to them, and is not to read it.
type associationV2 struct {
	ID             string            `json:"id"`
	ClusterID      string            `json:"clusterId"`
	Account        string            `json:"account"`
	Region         string            `json:"region"`
	Cluster        string            `json:"cluster"`
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	Role           string            `json:"role"`
	Target         string            `json:"targetRole,omitempty"`
	Policy         string            `json:"policy,omitempty"`
	DisableTags    bool              `json:"disableTags,omitempty"`
	Tags           []directory.TagV1 `json:"tags,omitempty"`
	Created        time.Time         `json:"created"`
	Modified       time.Time         `json:"modified"`
	RequestToken   string            `json:"requestToken,omitempty"`
	Owner          string            `json:"owner,omitempty"` // shown, and decided on by nothing that a pod asks: no new version
}

var associationCodec = store.Codec[*Association]{
	Version: 2,
	Encode: func(_ *store.Sealer, _ string, a *Association) ([]byte, error) {
		r := associationV2{
			ID: a.ID, ClusterID: a.ClusterID, Account: a.Account, Region: a.Region, Cluster: a.Cluster, Namespace: a.Namespace,
			ServiceAccount: a.ServiceAccount, Role: a.Role.String(), Policy: a.Policy, DisableTags: a.DisableTags,
			Tags: directory.EncodeTags(a.Tags), Created: a.Created, Modified: a.Modified, RequestToken: a.RequestToken, Owner: a.Owner,
		}
		if a.Target != (arn.ARN{}) {
			r.Target = a.Target.String()
		}
		return json.Marshal(r)
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Association, error) {
		var r associationV2
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		role, err := arn.Parse(r.Role)
		if err != nil {
			return nil, err
		}
		target, err := targetRole(r.Target)
		return &Association{
			ID: r.ID, ClusterID: r.ClusterID, Account: r.Account, Region: r.Region, Cluster: r.Cluster, Namespace: r.Namespace,
			ServiceAccount: r.ServiceAccount, Role: role, Target: target, Policy: r.Policy, DisableTags: r.DisableTags,
			Tags: directory.DecodeTags(r.Tags), Created: r.Created, Modified: r.Modified, RequestToken: r.RequestToken, Owner: r.Owner,
		}, err
	},
}

type revocationV1 struct {
	Kind    TargetKind `json:"kind"`
	Value   string     `json:"value"`
	Account string     `json:"account"`
	By      string     `json:"by"`
	Before  time.Time  `json:"before"`
	// Of the store when it was revoked.
	Revision int64  `json:"revision"`
	Epoch    string `json:"epoch"`
}

var revocationCodec = store.Codec[*Revocation]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, r *Revocation) ([]byte, error) {
		return json.Marshal(revocationV1{r.Target.Kind, r.Target.Value, r.Account, r.By, r.Before, r.Revision, r.Epoch})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Revocation, error) {
		var r revocationV1
		err := json.Unmarshal(data, &r)
		return &Revocation{Target{r.Kind, r.Value}, r.Account, r.By, r.Before, r.Revision, r.Epoch}, err
	},
}

type deletedV1 struct {
	Account string    `json:"account"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	UIDs    []string  `json:"uids"`
}

var deletedCodec = store.Codec[*DeletedPods]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, d *DeletedPods) ([]byte, error) {
		return json.Marshal(deletedV1{d.Account, d.By, d.At, d.UIDs})
	},
	Decode: func(_ *store.Sealer, key string, _ int, data []byte) (*DeletedPods, error) {
		var r deletedV1
		err := json.Unmarshal(data, &r)
		cluster, _, _ := strings.Cut(key, "/")
		return &DeletedPods{cluster, r.Account, r.By, r.At, r.UIDs}, err
	},
}

type addonV1 struct {
	Account      string            `json:"account"`
	Region       string            `json:"region"`
	Cluster      string            `json:"cluster"`
	Name         string            `json:"name"`
	UID          string            `json:"uid"`
	Version      string            `json:"version"`
	Values       string            `json:"values,omitempty"`
	Conflicts    string            `json:"conflicts"`
	Action       string            `json:"action"`
	Generation   int64             `json:"generation"`
	Restart      string            `json:"restart,omitempty"`
	Status       AddonStatus       `json:"status"`
	Issues       []AddonIssue      `json:"issues,omitempty"`
	Build        string            `json:"build,omitempty"`
	Running      string            `json:"running,omitempty"`
	Tags         []directory.TagV1 `json:"tags,omitempty"`
	Created      time.Time         `json:"created"`
	Modified     time.Time         `json:"modified"`
	RequestToken string            `json:"requestToken,omitempty"`
	Updates      []AddonUpdate     `json:"updates,omitempty"`
}

var addonCodec = store.Codec[*Addon]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, a *Addon) ([]byte, error) {
		d := a.Desired
		return json.Marshal(addonV1{
			a.Account, a.Region, a.Cluster, a.Name, a.UID, d.Version, d.Values, d.Conflicts, d.Action, d.Generation, d.Restart,
			a.Status, a.Issues, a.Build, a.Running, directory.EncodeTags(a.Tags), a.Created, a.Modified, a.RequestToken, a.Updates,
		})
	},
	Decode: func(_ *store.Sealer, key string, _ int, data []byte) (*Addon, error) {
		var r addonV1
		err := json.Unmarshal(data, &r)
		cluster, _, _ := strings.Cut(key, "/")
		return &Addon{
			ClusterID: cluster, Account: r.Account, Region: r.Region, Cluster: r.Cluster, Name: r.Name, UID: r.UID,
			Desired: Desired{r.Version, r.Values, r.Conflicts, r.Action, r.Generation, r.Restart},
			Status:  r.Status, Issues: r.Issues, Build: r.Build, Running: r.Running, Tags: directory.DecodeTags(r.Tags),
			Created: r.Created, Modified: r.Modified, RequestToken: r.RequestToken, Updates: r.Updates,
		}, err
	},
}
