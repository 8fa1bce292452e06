package lanyard

import (
	"context"
	"regexp"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

type connectorRequest struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	Epoch    string `json:"epoch"` // with once: what is known already
	Revision int64  `json:"revision"`
	Once     bool   `json:"once"`
}

// connectorLine is what a cluster's connector has to know, up to a position. Members that are absent are as before.
type connectorLine struct {
	Epoch        string                 `json:"epoch"`
	Revision     int64                  `json:"revision"`
	Reset        bool                   `json:"reset,omitempty"` // forget what was told before
	Settings     *connectorSettings     `json:"settings,omitempty"`
	Associations []connectorAssociation `json:"associations,omitempty"`
	Removed      []serviceAccount       `json:"removed,omitempty"`
	Addons       *[]connectorAddon      `json:"addons,omitempty"` // all of them, where one has changed
	RecheckKeys  bool                   `json:"recheckKeys,omitempty"`
	Refused      []refusedPod           `json:"refused,omitempty"`
	Questions    []accountQuestion      `json:"serviceAccountQuestions,omitempty"`
}

// accountQuestion asks for the service accounts of a namespace, or of all: see ReportServiceAccounts.
type accountQuestion struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
}

// refusedPod is one that showed its own token and got no credentials, with the reason as it was told.
type refusedPod struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       string    `json:"uid"`
	Reason    string    `json:"reason"`
	At        api.Epoch `json:"at"`
}

type connectorSettings struct {
	Account     string `json:"account"`
	Region      string `json:"region"` // that pods are told
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	S3Endpoint  string `json:"s3Endpoint"`
	STSEndpoint string `json:"stsEndpoint"`
	CABundle    string `json:"caBundle"`
	RegionalSTS bool   `json:"regionalSts,omitempty"`
}

// settings are what pods of a cluster are given beside their credentials. Those of an account with AWS behind it talk to AWS
// itself: they get its region as EKS gives it, and no endpoint.
func (d *door) settings(k *registry.Cluster) (*connectorSettings, error) {
	backing, err := d.directory.Backing(k.Account)
	if err != nil {
		return nil, err
	}
	if backing != nil {
		return &connectorSettings{Account: k.Account, Region: backing.Region, ClusterID: k.ID, ClusterName: k.Name, RegionalSTS: true}, nil
	}
	return &connectorSettings{k.Account, k.Region, k.ID, k.Name, k.S3Endpoint, k.STSEndpoint, k.CABundle, false}, nil
}

type connectorAssociation struct {
	ID             string `json:"id"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
}

type serviceAccount struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
}

// connectorAddon is the wish for an add-on: names and values, never what is to be applied.
type connectorAddon struct {
	Name                string `json:"name"`
	Version             string `json:"version"`
	ConfigurationValues string `json:"configurationValues"` // JSON in text; "" is none
	ResolveConflicts    string `json:"resolveConflicts"`
	Action              string `json:"action"`
	Generation          int64  `json:"generation"`
	PodIdentityRestart  string `json:"podIdentityRestart"`
}

func (d *door) fromChange(c *registry.ConnectorChange) (connectorLine, error) {
	line := connectorLine{Epoch: c.Epoch, Revision: c.Revision, Reset: c.Reset, RecheckKeys: c.RecheckKeys}
	if k := c.Cluster; k != nil {
		var err error
		if line.Settings, err = d.settings(k); err != nil {
			return connectorLine{}, err
		}
	}
	for _, a := range c.Associations {
		line.Associations = append(line.Associations, connectorAssociation{a.ID, a.Namespace, a.ServiceAccount})
	}
	for _, a := range c.Removed {
		line.Removed = append(line.Removed, serviceAccount{a.Namespace, a.ServiceAccount})
	}
	if c.HasAddons {
		all := make([]connectorAddon, len(c.Addons))
		for i, a := range c.Addons {
			d := a.Desired
			all[i] = connectorAddon{a.Name, d.Version, d.Values, d.Conflicts, d.Action, d.Generation, d.Restart}
		}
		line.Addons = &all
	}
	for _, p := range c.Refused {
		line.Refused = append(line.Refused, refusedPod{p.Namespace, p.Name, p.UID, p.Reason, api.Epoch(p.At)})
	}
	for _, q := range c.Questions {
		line.Questions = append(line.Questions, accountQuestion(q))
	}
	return line, nil
}

// watchConnector tells a cluster's connector what to inject and what to run.
func (d *door) watchConnector(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[connectorRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "instance": in.Instance, "version": in.Version, "once": in.Once}
	resource := arn.Cluster(c.Region(), c.Caller.Account, name).String()
	if err := c.Authorize("lanyard:WatchConnector", resource); err != nil {
		return nil, err
	}
	if err := checkInstance(in.Instance, in.Version); err != nil {
		return nil, err
	}
	if in.Once {
		if err := d.store.Barrier(ctx); err != nil {
			return nil, err
		}
	}
	cluster, err := d.registry.Cluster(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	if in.Once {
		since, err := d.registry.ConnectorSince(cluster, registry.Position{Epoch: in.Epoch, Revision: in.Revision})
		if err != nil {
			return nil, err
		}
		return d.fromChange(since)
	}
	return api.Streaming(func(ctx context.Context, out *api.Lines) error {
		follower := d.registry.Follow(cluster)
		defer follower.Close()
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		s := connectorStream{d, follower, out.Line, func() error { return c.Again("lanyard:WatchConnector", resource) }}
		return s.follow(ctx, tick.C)
	}), nil
}

// connectorStream is one connector's answer.
type connectorStream struct {
	door     *door
	follower *registry.Follower
	write    func(any) error
	may      func() error // whether the caller may still be told
}

// follow writes until the follower is cut off, the caller may not be told any more, or ctx ends. A beat is what has
// changed, which is nothing most of the time.
func (s *connectorStream) follow(ctx context.Context, beats <-chan time.Time) error {
	for {
		change, err := s.follower.Next()
		if err != nil {
			return err
		}
		line, err := s.door.fromChange(change)
		if err != nil {
			return err
		}
		if err := s.write(line); err != nil {
			return err
		}
		open := true
		select {
		case <-ctx.Done():
			return nil
		case _, open = <-s.follower.Woken:
		case <-beats:
		}
		if !open || s.may() != nil {
			return nil
		}
	}
}

// instancePattern is what a replica may be called: a pod's name is.
var instancePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

const maxVersion = 64

func checkInstance(instance, version string) error {
	if !instancePattern.MatchString(instance) {
		return fault.New(fault.Invalid, "instance %.100q: 1 to 253 letters, digits, dots, dashes and underscores are accepted", instance)
	}
	if len(version) > maxVersion {
		return fault.New(fault.Invalid, "version: at most %d characters are accepted, got %d", maxVersion, len(version))
	}
	return nil
}

type reportConnectorRequest struct {
	Instance string        `json:"instance"`
	Version  string        `json:"version"`
	Leader   bool          `json:"leader"`
	Webhook  webhookState  `json:"webhook"`
	Addons   []addonReport `json:"addons"`
}

type webhookState struct {
	Ready   bool   `json:"ready"`
	Message string `json:"message"`
}

type addonReport struct {
	Name       string                `json:"name"`
	Generation int64                 `json:"generation"`
	Version    string                `json:"version"`
	Status     registry.AddonStatus  `json:"status"`
	Issues     []registry.AddonIssue `json:"issues"`
	Build      string                `json:"build"`
}

// nothing is an answer without members.
type nothing struct{}

const (
	maxReported = 50
	maxMessage  = 1024
)

// reportConnector takes where a connector and its add-ons stand.
func (d *door) reportConnector(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[reportConnectorRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "instance": in.Instance, "version": in.Version, "leader": in.Leader}
	if err := onCluster(c, "lanyard:ReportConnector", name); err != nil {
		return nil, err
	}
	if err := checkInstance(in.Instance, in.Version); err != nil {
		return nil, err
	}
	if len(in.Addons) > maxReported || len(in.Webhook.Message) > maxMessage {
		return nil, fault.New(fault.Invalid, "at most %d add-ons, and %d bytes of the webhook's message, are accepted", maxReported, maxMessage)
	}
	reports := make([]registry.AddonReport, len(in.Addons))
	for i, a := range in.Addons {
		reports[i] = registry.AddonReport(a)
	}
	return nothing{}, d.registry.ReportConnector(ctx, c.Caller.Account, name, registry.Connector{
		Instance: in.Instance, Version: in.Version, Leader: in.Leader, WebhookReady: in.Webhook.Ready, WebhookMessage: in.Webhook.Message,
	}, reports)
}

type describeConnectorResponse struct {
	ClusterName     string          `json:"clusterName"`
	Status          registry.Status `json:"status"`
	KeysConfirmedAt api.Epoch       `json:"keysConfirmedAt"` // before 1970 when no key was told yet
	KeysAgeSeconds  int64           `json:"keysAgeSeconds"`  // -1 when no key was told yet
	Streams         int64           `json:"streams"`
	Replicas        []replica       `json:"replicas"`
	Addons          []addonState    `json:"addons"`
}

type replica struct {
	Instance string       `json:"instance"`
	Version  string       `json:"version"`
	Leader   bool         `json:"leader"`
	SeenAt   api.Epoch    `json:"seenAt"`
	Webhook  webhookState `json:"webhook"`
}

type addonState struct {
	Name       string                `json:"name"`
	Version    string                `json:"version"`
	Generation int64                 `json:"generation"`
	Status     registry.AddonStatus  `json:"status"`
	Issues     []registry.AddonIssue `json:"issues"`
	Build      string                `json:"build"`
}

// describeConnector says what an administrator looks at when a cluster does not work.
func (d *door) describeConnector(_ context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{"name": name}
	if err := onCluster(c, "lanyard:DescribeConnector", name); err != nil {
		return nil, err
	}
	cluster, err := d.registry.Cluster(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	addons, err := d.registry.AddonsOf(cluster.ID)
	if err != nil {
		return nil, err
	}
	out := describeConnectorResponse{
		ClusterName: cluster.Name, Status: cluster.Status, KeysAgeSeconds: -1, Streams: int64(d.registry.Following(cluster.ID)),
		Replicas: []replica{}, Addons: []addonState{}, KeysConfirmedAt: api.Epoch(time.Unix(0, 0)),
	}
	if !cluster.Confirmed.IsZero() {
		out.KeysConfirmedAt = api.Epoch(cluster.Confirmed)
		out.KeysAgeSeconds = max(0, int64(c.Started.Sub(cluster.Confirmed)/time.Second))
	}
	for _, k := range d.registry.Connectors(cluster.ID) {
		out.Replicas = append(out.Replicas, replica{
			k.Instance, k.Version, k.Leader, api.Epoch(k.Seen), webhookState{k.WebhookReady, k.WebhookMessage},
		})
	}
	for _, a := range addons {
		issues := a.Issues
		if issues == nil {
			issues = []registry.AddonIssue{}
		}
		out.Addons = append(out.Addons, addonState{a.Name, a.Desired.Version, a.Desired.Generation, a.Status, issues, a.Build})
	}
	return out, nil
}

type deletedPodsRequest struct {
	Pods []deletedPod `json:"pods"`
}

type deletedPod struct {
	UID            string `json:"uid"`
	Namespace      string `json:"namespace"`
	Name           string `json:"name"`
	ServiceAccount string `json:"serviceAccount"`
}

type deletedPodsResponse struct {
	Revoked int64 `json:"revoked"` // how many were not known as deleted before
}

// reportDeletedPods ends the tokens and sessions of pods that are gone.
func (d *door) reportDeletedPods(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[deletedPodsRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "pods": in.Pods}
	if err := onCluster(c, "lanyard:ReportDeletedPods", name); err != nil {
		return nil, err
	}
	pods := make([]registry.DeletedPod, len(in.Pods))
	for i, p := range in.Pods {
		pods[i] = registry.DeletedPod(p)
	}
	revoked, err := d.registry.DeletePods(ctx, c.Caller.Account, name, c.Caller.ARN, pods)
	if err != nil {
		return nil, err
	}
	return deletedPodsResponse{int64(revoked)}, nil
}

type reactivateResponse struct {
	Name             string    `json:"name"`
	ID               string    `json:"id"`
	ActivationID     string    `json:"activationId"`
	ActivationCode   string    `json:"activationCode"`
	ActivationExpiry api.Epoch `json:"activationExpiry"`
}

// reactivateCluster answers a new activation pair, this once. What the cluster has stays.
func (d *door) reactivateCluster(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{"name": name}
	if err := onCluster(c, "lanyard:ReactivateCluster", name); err != nil {
		return nil, err
	}
	changed, err := d.registry.ReactivateCluster(ctx, c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	a := changed.Activation
	c.Event.ResponseElements = map[string]any{"activationId": a.ID}
	return reactivateResponse{changed.Name, changed.ID, a.ID, string(a.Secret), api.Epoch(a.Expires)}, nil
}
