package connector

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/openlanyard/lanyard/fault"
)

// addonStatus is where an add-on stands, in EKS's words and one of ours.
type addonStatus string

const (
	creating     addonStatus = "CREATING"
	updating     addonStatus = "UPDATING"
	active       addonStatus = "ACTIVE"
	degraded     addonStatus = "DEGRADED"
	createFailed addonStatus = "CREATE_FAILED"
	updateFailed addonStatus = "UPDATE_FAILED"
	deleteFailed addonStatus = "DELETE_FAILED"
	deleted      addonStatus = "DELETED" // or left to itself: it is ours no more
)

// addonReport is what the server is told of an add-on.
type addonReport struct {
	Name       string      `json:"name"`
	Generation int64       `json:"generation"`
	Version    string      `json:"version"`
	Status     addonStatus `json:"status"`
	Issues     []issue     `json:"issues"`
	Build      string      `json:"build"`
}

const (
	lookOften  = 2 * time.Second  // while something is under way
	lookSeldom = 30 * time.Second // so that what somebody deletes is put back
)

// addons makes the cluster have the add-ons that are wished for.
type addons struct {
	kube     kubernetes.Interface
	applier  applier
	settings *agentSettings
	log      *slog.Logger
	changed  chan struct{} // a wish has

	mu      sync.Mutex
	wishes  map[string]DesiredAddon
	told    map[string]addonReport
	pending map[string]pending
	done    map[string]int64 // generations that were deleted or left to themselves: not twice
}

// pending is since when an add-on is being rolled out, and what it was before.
type pending struct {
	generation int64
	since      time.Time
	as         addonStatus
}

func newAddons(kube kubernetes.Interface, applier applier, settings *agentSettings, log *slog.Logger) *addons {
	return &addons{
		kube: kube, applier: applier, settings: settings, log: log, changed: make(chan struct{}, 1),
		wishes: map[string]DesiredAddon{}, told: map[string]addonReport{}, pending: map[string]pending{}, done: map[string]int64{},
	}
}

// wish takes what the server wants. An add-on that is not among them any more is left as it is: only an action removes one.
func (a *addons) wish(all []DesiredAddon) {
	wishes := make(map[string]DesiredAddon, len(all))
	for _, d := range all {
		wishes[d.Name] = d
	}
	a.mu.Lock()
	a.wishes = wishes
	a.mu.Unlock()
	a.wake()
}

// wake has the add-ons looked at now.
func (a *addons) wake() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// reports returns where the add-ons stand, by name. What is empty has not been looked at by this replica.
func (a *addons) reports() []addonReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []addonReport{}
	for _, name := range slices.Sorted(maps.Keys(a.told)) {
		all = append(all, a.told[name])
	}
	return all
}

// run keeps the add-ons until ctx is done, and calls news when a status has changed.
func (a *addons) run(ctx context.Context, news func()) {
	for ctx.Err() == nil {
		busy := a.pass(ctx, news)
		wait := lookSeldom
		if busy {
			wait = lookOften
		}
		select {
		case <-time.After(wait):
		case <-a.changed:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.told) // another replica looks now
	clear(a.pending)
}

// pass looks at each add-on once. It reports whether one is under way.
func (a *addons) pass(ctx context.Context, news func()) (busy bool) {
	a.mu.Lock()
	wishes := maps.Clone(a.wishes)
	maps.DeleteFunc(a.told, func(name string, _ addonReport) bool { _, ok := wishes[name]; return !ok })
	maps.DeleteFunc(a.done, func(name string, _ int64) bool { _, ok := wishes[name]; return !ok })
	a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(wishes)) {
		d := wishes[name]
		report := a.reconcile(ctx, &d)
		if ctx.Err() != nil {
			return false
		}
		busy = busy || report.Status != active && report.Status != deleted
		a.mu.Lock()
		before, had := a.told[name]
		a.told[name] = report
		a.mu.Unlock()
		if had && reflect.DeepEqual(before, report) {
			continue
		}
		level := slog.LevelInfo
		if len(report.Issues) > 0 {
			level = slog.LevelWarn
		}
		a.log.LogAttrs(ctx, level, "an add-on has changed", slog.String("addon", oneLine(name)), slog.Int64("generation", report.Generation),
			slog.String("status", string(report.Status)), slog.Any("issues", report.Issues))
		news()
	}
	return busy
}

// reconcile brings one add-on nearer to what is wished for, and says where it stands.
func (a *addons) reconcile(ctx context.Context, d *DesiredAddon) addonReport {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	report := addonReport{Name: cut(d.Name, 253), Generation: d.Generation, Version: cut(d.Version, 253), Issues: []issue{}, Build: a.settings.Build}
	var err error
	switch _, err = d.check(); {
	case err != nil:
	case d.Action == Apply:
		err = a.apply(ctx, d, &report)
	default:
		err = a.end(ctx, d, &report)
	}
	if err == nil {
		return report
	}
	told := new(problem)
	if !errors.As(err, &told) {
		told = &problem{issue{internalFailure, cut(err.Error(), 1024), []string{}}}
		if fault.Is(err, fault.Unsupported) || fault.Is(err, fault.Invalid) {
			told.Code = unsupportedAddon
		}
	}
	report.Issues = append(report.Issues, told.issue)
	if report.Status == "" {
		report.Status = a.failed(ctx, d)
	}
	return report
}

// failed names the failure by whether there was something before.
func (a *addons) failed(ctx context.Context, d *DesiredAddon) addonStatus {
	if d.Action != Apply {
		return deleteFailed
	}
	if d.Name == agentName {
		if set, err := daemonSet(ctx, a.kube, systemNamespace, agentName); err == nil && set != nil {
			return updateFailed
		}
	}
	return createFailed
}

func (a *addons) apply(ctx context.Context, d *DesiredAddon, report *addonReport) error {
	r, err := a.settings.renderAgent(d)
	if err != nil {
		return err
	}
	set, err := daemonSet(ctx, a.kube, systemNamespace, agentName)
	if err != nil {
		return err
	}
	p := a.underway(d, set != nil)
	// What was applied is not applied again: a person's later change to it is theirs until the next wish.
	if set == nil || set.Annotations[appliedMark] != r.applied {
		if err := a.applier.apply(ctx, r, d.ResolveConflicts); err != nil {
			return err
		}
		if set, err = daemonSet(ctx, a.kube, systemNamespace, agentName); err != nil {
			return err
		}
	}
	switch {
	case set != nil && isRolledOut(set):
		report.Status = active
		a.settled(d.Name)
		return nil
	case time.Since(p.since) > rolloutPatience:
		report.Status = degraded
	default:
		report.Status = p.as
	}
	if set != nil && set.Status.ObservedGeneration >= set.Generation {
		report.Issues = append(report.Issues, replicas(ctx, a.kube, set))
	}
	return nil
}

// underway returns since when this generation is being rolled out.
func (a *addons) underway(d *DesiredAddon, existed bool) pending {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.pending[d.Name]
	if !ok || p.generation != d.Generation {
		p = pending{generation: d.Generation, since: time.Now(), as: creating}
		if existed {
			p.as = updating
		}
		a.pending[d.Name] = p
	}
	return p
}

func (a *addons) settled(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.pending, name)
}

// end removes an add-on, or leaves it to itself, once: what comes under its name later is somebody else's.
func (a *addons) end(ctx context.Context, d *DesiredAddon, report *addonReport) error {
	a.mu.Lock()
	done := a.done[d.Name] == d.Generation && d.Generation != 0
	a.mu.Unlock()
	if !done && d.Action == Delete {
		none := DesiredAddon{Name: d.Name, Version: d.Version, Action: Apply}
		r, err := a.settings.renderAgent(&none)
		if err != nil {
			return err
		}
		if err := a.applier.remove(ctx, r); err != nil {
			return err
		}
	}
	report.Status = deleted
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done[d.Name] = d.Generation
	return nil
}
