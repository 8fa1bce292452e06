package eks

import (
	"context"
	"slices"
	"strconv"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
)

type versionsResponse struct {
	Addons    []addonInfo `json:"addons"`
	NextToken string      `json:"nextToken,omitempty"`
}

type addonInfo struct {
	Name             string         `json:"addonName"`
	Type             string         `json:"type"`
	Versions         []addonVersion `json:"addonVersions"`
	Publisher        string         `json:"publisher"`
	Owner            string         `json:"owner"`
	DefaultNamespace string         `json:"defaultNamespace"`
}

type addonVersion struct {
	Version       string          `json:"addonVersion"`
	Architecture  []string        `json:"architecture"`
	ComputeTypes  []string        `json:"computeTypes"`
	Compatible    []compatibility `json:"compatibilities"`
	Configuration bool            `json:"requiresConfiguration"`
	Permissions   bool            `json:"requiresIamPermissions"`
}

type compatibility struct {
	Cluster   string   `json:"clusterVersion"`
	Platforms []string `json:"platformVersions"`
	Default   bool     `json:"defaultVersion"`
}

// everything is what actions without a resource are asked about.
const everything = "*"

func (d *door) describeAddonVersions(_ context.Context, c *api.Call) (any, error) {
	query := c.Request.URL.Query()
	c.Event.RequestParameters = map[string]any{"addonName": query.Get("addonName"), "kubernetesVersion": query.Get("kubernetesVersion")}
	if err := c.Authorize("eks:DescribeAddonVersions", everything); err != nil {
		return nil, err
	}
	n, err := c.MaxResults()
	if err != nil {
		return nil, err
	}
	name := query.Get("addonName")
	if _, ok := addon.Find(name); name != "" && !ok {
		return nil, noSuchAddon(name)
	}
	var found []addonInfo
	for _, a := range addon.All() {
		wanted := (name == "" || name == a.Name) && a.For(query.Get("kubernetesVersion"))
		for member, value := range map[string]string{"types": a.Type, "publishers": a.Publisher, "owners": a.Owner} {
			wanted = wanted && (!query.Has(member) || slices.Contains(query[member], value))
		}
		if wanted {
			found = append(found, fromKind(a, query.Get("kubernetesVersion")))
		}
	}
	from, err := placeIn(c, len(found))
	if err != nil {
		return nil, err
	}
	out := versionsResponse{Addons: []addonInfo{}}
	out.Addons = append(out.Addons, found[from:min(from+n, len(found))]...)
	if from+n < len(found) {
		out.NextToken = token(strconv.Itoa(from + n))
	}
	return out, nil
}

func fromKind(a *addon.Addon, kubernetes string) addonInfo {
	info := addonInfo{Name: a.Name, Type: a.Type, Publisher: a.Publisher, Owner: a.Owner, DefaultNamespace: a.Namespace}
	for _, version := range a.Versions() {
		v := addonVersion{Version: version, Architecture: a.Architectures, ComputeTypes: []string{"ec2", "hybrid"}, Permissions: len(a.ServiceAccounts) > 0}
		for _, minor := range a.Kubernetes {
			if kubernetes == "" || kubernetes == minor {
				v.Compatible = append(v.Compatible, compatibility{minor, []string{"*"}, version == a.Default()})
			}
		}
		info.Versions = append(info.Versions, v)
	}
	return info
}

func noSuchAddon(name string) error {
	return fault.New(fault.NotFound, "Addon %.100s does not exist.", name)
}

type configurationResponse struct {
	Name          string               `json:"addonName"`
	Version       string               `json:"addonVersion"`
	Schema        string               `json:"configurationSchema"`
	Configuration []addonConfiguration `json:"podIdentityConfiguration"`
}

type addonConfiguration struct {
	ServiceAccount string   `json:"serviceAccount"`
	Policies       []string `json:"recommendedManagedPolicies"`
}

func (d *door) describeAddonConfiguration(_ context.Context, c *api.Call) (any, error) {
	query := c.Request.URL.Query()
	name, version := query.Get("addonName"), query.Get("addonVersion")
	c.Event.RequestParameters = map[string]any{"addonName": name, "addonVersion": version}
	if err := c.Authorize("eks:DescribeAddonConfiguration", everything); err != nil {
		return nil, err
	}
	if err := required("addonName", name, "addonVersion", version); err != nil {
		return nil, err
	}
	kind, ok := addon.Find(name)
	if !ok {
		return nil, noSuchAddon(name)
	}
	if !kind.Accepts(version) {
		return nil, fault.New(fault.NotFound, "Addon version %.100s of %s does not exist: %s and newer do.", version, name, kind.Oldest())
	}
	out := configurationResponse{Name: name, Version: version, Schema: kind.Schema, Configuration: []addonConfiguration{}}
	for _, account := range kind.ServiceAccounts {
		out.Configuration = append(out.Configuration, addonConfiguration{account, []string{}})
	}
	return out, nil
}
