package registry

import (
	"encoding/json"
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
}

type clusterV1 struct {
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
}

var clusterCodec = store.Codec[*Cluster]{
	Version: 1,
	Encode: func(s *store.Sealer, key string, c *Cluster) ([]byte, error) {
		r := clusterV1{
			ID: c.ID, Account: c.Account, Name: c.Name, Region: c.Region, Status: c.Status, Provider: c.Provider, RoleARN: c.RoleARN,
			Endpoint: c.Endpoint, CA: c.CA, Issuers: c.Issuers, Generation: c.Generation, Confirmed: c.Confirmed, Practice: c.Practice,
			NodeBinding: c.NodeBinding, Tags: directory.EncodeTags(c.Tags), Created: c.Created, RequestToken: c.RequestToken,
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
			r.Activation = &activationV1{a.ID, s.Seal("cluster/"+key+"/activation", []byte(a.Secret)), a.Expires}
		}
		return json.Marshal(r)
	},
	Decode: func(s *store.Sealer, key string, _ int, data []byte) (*Cluster, error) {
		var r clusterV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		c := &Cluster{
			ID: r.ID, Account: r.Account, Name: r.Name, Region: r.Region, Status: r.Status, Provider: r.Provider, RoleARN: r.RoleARN,
			Endpoint: r.Endpoint, CA: r.CA, Issuers: r.Issuers, Generation: r.Generation, Confirmed: r.Confirmed, Practice: r.Practice,
			NodeBinding: r.NodeBinding, Tags: directory.DecodeTags(r.Tags), Created: r.Created, RequestToken: r.RequestToken,
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
			c.Activation = &Activation{ID: a.ID, Secret: directory.Secret(secret), Expires: a.Expires}
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
}

var associationCodec = store.Codec[*Association]{
	Version: 2,
	Encode: func(_ *store.Sealer, _ string, a *Association) ([]byte, error) {
		r := associationV2{
			ID: a.ID, ClusterID: a.ClusterID, Account: a.Account, Region: a.Region, Cluster: a.Cluster, Namespace: a.Namespace,
			ServiceAccount: a.ServiceAccount, Role: a.Role.String(), Policy: a.Policy, DisableTags: a.DisableTags,
			Tags: directory.EncodeTags(a.Tags), Created: a.Created, Modified: a.Modified, RequestToken: a.RequestToken,
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
			Tags: directory.DecodeTags(r.Tags), Created: r.Created, Modified: r.Modified, RequestToken: r.RequestToken,
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
