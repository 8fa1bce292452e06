package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/connector/install"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/registry"
)

// How old what a cluster tells may be before something is wrong there. A connector reports and confirms the keys several
// times in this.
const (
	silent    = 2 * time.Minute
	staleKeys = 15 * time.Minute
)

// connectorStatus is what the server knows of a cluster's connector and add-ons.
type connectorStatus struct {
	KeysAgeSeconds int64 // -1: none were told
	Replicas       []struct {
		Instance, Version string
		Leader            bool
		SeenAt            float64
		Webhook           struct {
			Ready   bool
			Message string
		}
	}
	Addons []addonStatus
}

type addonStatus struct {
	Name, Version, Status, Build string
	Issues                       []struct{ Code, Message string }
}

func (c *client) connector(ctx context.Context, name string) (*connectorStatus, error) {
	var told connectorStatus
	if err := c.call(ctx, "lanyard", http.MethodGet, "/lanyard/v1/clusters/"+url.PathEscape(name)+"/connector", nil, &told); err != nil {
		return nil, fmt.Errorf("asking for the connector of cluster %s: %w", name, err)
	}
	return &told, nil
}

// isReady reports whether a replica has reported that the webhook is.
func (s *connectorStatus) isReady() bool {
	for _, r := range s.Replicas {
		if r.Webhook.Ready {
			return true
		}
	}
	return false
}

// message is what the replica that was heard from last says of the webhook.
func (s *connectorStatus) message() string {
	message, latest := "", 0.0
	for _, r := range s.Replicas {
		if r.SeenAt >= latest {
			latest, message = r.SeenAt, r.Webhook.Message
		}
	}
	return firstOf(message, "it does not say why")
}

// step is one of those that a cluster goes until its pods have credentials.
type step struct {
	name, state string
	fix         string // empty where all is well
}

// clusterStatus shows a cluster's steps, and whether all are well. A practice cluster has none: its connector is `lanyard
// dev`.
func (c *client) clusterStatus(cmd *cobra.Command, name string) (well bool, err error) {
	found, err := c.cluster(cmd.Context(), name)
	if err != nil {
		return false, err
	}
	if err := printf(cmd, "cluster     %s is %s\n", name, found.Status); err != nil {
		return false, err
	}
	if strings.HasSuffix(found.ConnectorConfig.RoleARN, ":role/"+dev.PracticeRole) {
		return true, nil
	}
	told, err := c.connector(cmd.Context(), name)
	if isDenied(err) {
		return true, printf(cmd, "  connector   is not shown to who may not lanyard:DescribeConnector\n")
	}
	if err != nil {
		return false, err
	}
	well = true
	for _, s := range steps(name, found.Status, told, time.Now()) {
		line := fmt.Sprintf("  %-11s %s", s.name, s.state)
		if s.fix != "" {
			well = false
			line += "; " + s.fix
		}
		if err := printf(cmd, "%s\n", line); err != nil {
			return false, err
		}
	}
	return well, nil
}

// steps end at the first one without which the others cannot be.
func steps(name, status string, told *connectorStatus, now time.Time) []step {
	// With --reactivate also for a cluster that was registered elsewhere, and for one that is ACTIVE and tells its keys again.
	join := "`lanyard join --name " + name + " --reactivate`"
	const logs = "`kubectl -n " + install.Namespace + " logs deployment/" + install.Name + "` says why"
	if status != string(registry.Active) {
		return []step{{"activated", "no", join + " does it, or the chart with an activation pair (`lanyard cluster reactivate " + name + "` makes a new one)"}}
	}
	all := []step{{"activated", "yes", ""}}
	keys := step{"keys", "confirmed " + ago(time.Duration(told.KeysAgeSeconds)*time.Second), ""}
	switch {
	case told.KeysAgeSeconds < 0:
		keys = step{"keys", "were never told", join + " tells them"}
	case told.KeysAgeSeconds > int64(staleKeys/time.Second):
		keys.fix = "tokens that a newer key signed are refused: the connector confirms the list, " + logs
	}
	all = append(all, keys)
	if len(told.Replicas) == 0 {
		return append(all, step{
			"connector", "none was heard from in the last minutes",
			"`kubectl -n " + install.Namespace + " get pods` shows whether it runs, `lanyard join --name " + name + "` applies it again",
		})
	}
	latest, leader := 0.0, false
	for _, r := range told.Replicas {
		latest, leader = max(latest, r.SeenAt), leader || r.Leader
	}
	connector := step{"connector", fmt.Sprintf("%d replicas, %s, heard from %s", len(told.Replicas), firstOf(told.Replicas[0].Version, "no version"), ago(now.Sub(at(latest)))), ""}
	switch {
	case now.Sub(at(latest)) > silent:
		connector.fix = "it no longer reports: " + logs
	case !leader:
		connector.fix = "no replica leads: `kubectl -n " + install.Namespace + " get lease " + install.Lease + "` tells who did"
	}
	all = append(all, connector)
	webhook := step{"webhook", "ready", ""}
	if !told.isReady() {
		webhook = step{"webhook", "not ready: " + told.message(), "new pods get no credentials until it is; " + logs}
	}
	return append(all, webhook, agentStep(name, told))
}

func agentStep(name string, told *connectorStatus) step {
	for _, a := range told.Addons {
		if a.Name != install.Agent {
			continue
		}
		state := a.Status
		if a.Build != "" {
			state += ", build " + a.Build
		}
		s := step{"agent", state, ""}
		if len(a.Issues) > 0 {
			s.state += ": " + a.Issues[0].Code + ": " + a.Issues[0].Message
		}
		switch a.Status {
		case "ACTIVE":
		case "CREATING", "UPDATING":
			s.state += ", which takes a moment"
		default:
			s.fix = "`kubectl -n " + install.AgentNamespace + " describe daemonset/" + install.Agent + "` says more"
		}
		return s
	}
	return step{"agent", "not installed", "`aws eks create-addon --cluster-name " + name + " --addon-name " + install.Agent + "` installs it"}
}

func ago(d time.Duration) string { return max(d, 0).Round(time.Second).String() + " ago" }
