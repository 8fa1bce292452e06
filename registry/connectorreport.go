package registry

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

const (
	// connectorGone is after how long without a report a replica of a connector is forgotten.
	connectorGone = 10 * time.Minute
	// maxConnectors is how many replicas are remembered of a cluster: those that went away count until they are forgotten.
	maxConnectors = 16
	// unreachable is after how long without a report an add-on's health says so.
	unreachable = 2 * time.Minute
)

// Connector is what a replica of a cluster's connector last told of itself.
type Connector struct {
	Instance, Version string
	Leader            bool
	WebhookReady      bool
	WebhookMessage    string
	Seen              time.Time
}

// connectors remembers who reports, in memory: each reports again within seconds, to whichever replica it reaches.
type connectors struct {
	mu      sync.Mutex
	started time.Time
	seen    map[string][]Connector // by cluster id
}

func (k *connectors) saw(cluster string, c Connector) {
	k.mu.Lock()
	defer k.mu.Unlock()
	others := slices.DeleteFunc(k.seen[cluster], func(o Connector) bool {
		return o.Instance == c.Instance || c.Seen.Sub(o.Seen) >= connectorGone
	})
	if len(others) >= maxConnectors {
		others = others[1:]
	}
	k.seen[cluster] = append(others, c) // the latest last
}

func (k *connectors) of(cluster string, now time.Time) []Connector {
	k.mu.Lock()
	defer k.mu.Unlock()
	live := slices.DeleteFunc(slices.Clone(k.seen[cluster]), func(c Connector) bool { return now.Sub(c.Seen) >= connectorGone })
	slices.SortFunc(live, func(a, b Connector) int { return cmp.Compare(a.Instance, b.Instance) })
	return live
}

// silent reports whether nobody has reported of the cluster for so long that something is wrong.
func (k *connectors) silent(cluster string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.started
	if own := k.seen[cluster]; len(own) > 0 {
		last = own[len(own)-1].Seen
	}
	return now.Sub(last) > unreachable
}

// forget drops clusters that nobody has reported of for long.
func (k *connectors) forget(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for cluster, own := range k.seen {
		if now.Sub(own[len(own)-1].Seen) >= connectorGone {
			delete(k.seen, cluster)
		}
	}
}

// Connectors returns the replicas of the cluster's connector that have reported in the last ten minutes.
func (r *Registry) Connectors(clusterID string) []Connector {
	return r.connectors.of(clusterID, r.now())
}

// AddonReport is where an add-on stands in the cluster, as its connector sees it.
type AddonReport struct {
	Name       string
	Generation int64 // of the desired state that it speaks of
	Version    string
	Status     AddonStatus // or Deleted
	Issues     []AddonIssue
	Build      string
}

// ReportConnector takes what a replica of a cluster's connector tells. Only the leader's add-ons count, and only what is
// new is stored.
func (r *Registry) ReportConnector(ctx context.Context, account, name string, c Connector, addons []AddonReport) error {
	cluster, err := r.Cluster(account, name)
	if err != nil {
		return err
	}
	for _, report := range addons {
		if err := report.check(); err != nil {
			return err
		}
	}
	c.Seen = r.now()
	r.connectors.saw(cluster.ID, c)
	if !c.Leader {
		return nil
	}
	for _, report := range addons {
		present, ok, err := r.addons.Get(addonKey(cluster.ID, report.Name))
		if err != nil {
			return err
		}
		if !ok || !present.differs(report) {
			continue
		}
		if err := r.applyReport(ctx, cluster.ID, report); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) applyReport(ctx context.Context, clusterID string, report AddonReport) error {
	return r.store.Update(ctx, func(tx *store.Tx) error {
		key := addonKey(clusterID, report.Name)
		former, ok, err := r.addons.Read(tx, key)
		if err != nil || !ok || !former.differs(report) {
			return err
		}
		if report.Status == Deleted {
			if former.Desired.Action == ActionApply {
				return nil // somebody deleted it there; the connector applies it again
			}
			return r.addons.Delete(tx, key)
		}
		a := *former
		a.Status, a.Issues, a.Build, a.Running = report.Status, report.Issues, report.Build, report.Version
		if a.Desired.Action != ActionApply && report.Status != DeleteFailed {
			a.Status = Deleting
		}
		a.Modified = r.now()
		a.Updates = settle(a.Updates, report)
		return r.addons.Put(tx, key, &a)
	})
}

// settle ends the update that the report speaks of, and those before it.
func settle(updates []AddonUpdate, report AddonReport) []AddonUpdate {
	var status UpdateStatus
	switch report.Status {
	case AddonActive:
		status = UpdateSuccessful
	case CreateFailed, UpdateFailed:
		status = UpdateFailedStatus
	default:
		return updates
	}
	out := slices.Clone(updates)
	for i := range out {
		if out[i].Status != UpdateInProgress || out[i].Generation > report.Generation {
			continue
		}
		out[i].Status = status
		if status == UpdateFailedStatus {
			out[i].Errors = report.Issues
		}
	}
	return out
}

func (report AddonReport) check() error {
	if !slices.Contains(reportedStatuses, report.Status) {
		return fault.New(fault.Invalid, "status %.100q of add-on %.100q: one of %q is accepted", report.Status, report.Name, reportedStatuses)
	}
	if len(report.Issues) > maxIssues || len(report.Version) > maxWord || len(report.Build) > maxWord {
		return fault.New(fault.Invalid, "add-on %.100q: at most %d issues, and %d characters of version and build, are accepted", report.Name, maxIssues, maxWord)
	}
	for _, i := range report.Issues {
		if !slices.Contains(issueCodes, i.Code) {
			return fault.New(fault.Invalid, "issue code %.100q: one of %q is accepted", i.Code, issueCodes)
		}
		if len(i.Message) > maxIssueMessage || len(i.Resources) > maxIssueResources {
			return fault.New(fault.Invalid, "issue %s: at most %d bytes of message and %d resources are accepted", i.Code, maxIssueMessage, maxIssueResources)
		}
		for _, id := range i.Resources {
			if len(id) > maxWord {
				return fault.New(fault.Invalid, "issue %s: at most %d characters of a resource id are accepted", i.Code, maxWord)
			}
		}
	}
	return nil
}

// Bounds of what a connector may have stored of an add-on.
const (
	maxIssues         = 20
	maxIssueMessage   = 1024
	maxIssueResources = 20
	maxWord           = 253
)

// The connector's own words are those of EKS, and Deleted.
var (
	reportedStatuses = []AddonStatus{
		AddonCreating, AddonActive, AddonUpdating, Degraded, CreateFailed, UpdateFailed, DeleteFailed, Deleted,
	}
	issueCodes = []string{
		"AccessDenied", "InternalFailure", "ClusterUnreachable", "InsufficientNumberOfReplicas", "ConfigurationConflict",
		"AdmissionRequestDenied", "UnsupportedAddonModification", "K8sResourceNotFound", "AddonSubscriptionNeeded",
		"AddonPermissionFailure",
	}
)
