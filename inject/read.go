package inject

import (
	"encoding/csv"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/openlanyard/lanyard/fault"
)

// A pod is what decides about its patch. A list that is null or empty counts as one that does not exist: an element
// cannot be added to null.
type pod struct {
	hasMetadata, hasLabels, hasAnnotations bool

	labelled   string // value of Label
	ca         string // value of CAAnnotation
	expiration string // value of Expiration
	skipped    []string

	volumes     int
	hasVolume   bool // ours, by its name
	volumeHasCA bool
	windows     bool
	containers  []container // init containers too; ephemeral ones cannot have volumes that the pod has not
}

type container struct {
	path   string // as a JSON pointer
	name   string
	env    int // how many there are
	mounts int
	sets   setting

	mounted     bool // the token's volume, by its name
	mountedHere bool // and where we would mount it
}

// setting is a group of variables of which one is enough to say that the container has its own.
type setting uint16

const (
	credentials setting = 1 << iota
	region
	regionalSTS
	anyEndpoint // the global endpoint: one for S3 alone would win over it, and the author wants this one
	s3Endpoint
	stsEndpoint
	caBundle
	nodeCA
)

var settings = map[string]setting{
	"AWS_CONTAINER_CREDENTIALS_FULL_URI":     credentials,
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": credentials,
	"AWS_DEFAULT_REGION":                     region,
	"AWS_REGION":                             region,
	"AWS_STS_REGIONAL_ENDPOINTS":             regionalSTS,
	"AWS_ENDPOINT_URL":                       anyEndpoint,
	"AWS_ENDPOINT_URL_S3":                    s3Endpoint,
	"AWS_ENDPOINT_URL_STS":                   stsEndpoint,
	"AWS_CA_BUNDLE":                          caBundle,
	"NODE_EXTRA_CA_CERTS":                    nodeCA,
}

func (c *container) has(s setting) bool { return c.sets&s != 0 }

func (p *pod) skips(name string) bool { return slices.Contains(p.skipped, name) }

// read finds in a pod what is asked for and steps over the rest: most of it is managed fields. Of a name that comes
// twice in an object the last counts, as it does for who applies the patch.
func read(text string) (pod, error) {
	var p pod
	if !gjson.Valid(text) {
		return p, fault.New(fault.Malformed, "the pod is not JSON")
	}
	whole := gjson.Parse(text)
	if !whole.IsObject() {
		return p, fault.New(fault.Malformed, "the pod is not a JSON object")
	}
	var metadata, spec gjson.Result
	whole.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "metadata":
			metadata = v
		case "spec":
			spec = v
		}
		return true
	})
	if !spec.IsObject() {
		return p, fault.New(fault.Malformed, "spec is not an object")
	}
	if err := p.readMetadata(metadata); err != nil {
		return p, err
	}
	return p, p.readSpec(spec)
}

func (p *pod) readMetadata(metadata gjson.Result) error {
	var labels, annotations gjson.Result
	var err error
	if p.hasMetadata, err = isThere(metadata, "metadata"); !p.hasMetadata {
		return err
	}
	metadata.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "labels":
			labels = v
		case "annotations":
			annotations = v
		}
		return true
	})
	if p.hasLabels, err = isThere(labels, "metadata.labels"); err != nil {
		return err
	}
	if p.hasAnnotations, err = isThere(annotations, "metadata.annotations"); err != nil {
		return err
	}
	if p.hasLabels {
		labels.ForEach(func(k, v gjson.Result) bool {
			if k.Str == Label {
				p.labelled = v.Str
			}
			return true
		})
	}
	if p.hasAnnotations {
		annotations.ForEach(func(k, v gjson.Result) bool {
			switch k.Str {
			case CAAnnotation:
				p.ca = v.Str
			case Expiration:
				p.expiration = v.Str
			case SkipContainers:
				// An error leaves nothing out: a pod with credentials too many is better off than one without any.
				p.skipped, _ = csv.NewReader(strings.NewReader(v.Str)).Read()
			}
			return true
		})
	}
	return nil
}

func (p *pod) readSpec(spec gjson.Result) error {
	var volumes, selector, containers, init gjson.Result
	spec.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "volumes":
			volumes = v
		case "nodeSelector":
			selector = v
		case "containers":
			containers = v
		case "initContainers":
			init = v
		}
		return true
	})
	err := each(volumes, "spec.volumes", func(v gjson.Result) error {
		p.volumes++
		p.readVolume(v)
		return nil
	})
	if err != nil {
		return err
	}
	if selector.IsObject() {
		selector.ForEach(func(k, v gjson.Result) bool {
			if k.Str == "kubernetes.io/os" || k.Str == "beta.kubernetes.io/os" {
				p.windows = p.windows || v.Str == "windows"
			}
			return true
		})
	}
	if err := p.readContainers(containers, "containers"); err != nil {
		return err
	}
	return p.readContainers(init, "initContainers")
}

func (p *pod) readVolume(v gjson.Result) {
	if !v.IsObject() || member(v, "name").Str != Volume {
		return
	}
	p.hasVolume = true
	for _, source := range member(member(v, "projected"), "sources").Array() {
		for _, item := range member(member(source, "downwardAPI"), "items").Array() {
			if member(item, "path").Str == caFile && member(member(item, "fieldRef"), "fieldPath").Str == caField {
				p.volumeHasCA = true
			}
		}
	}
}

func (p *pod) readContainers(list gjson.Result, name string) error {
	i := 0
	return each(list, "spec."+name, func(v gjson.Result) error {
		c := container{path: "/spec/" + name + "/" + strconv.Itoa(i)}
		i++
		if !v.IsObject() {
			return fault.New(fault.Malformed, "an element of spec.%s is not an object", name)
		}
		if err := c.read(v); err != nil {
			return err
		}
		p.containers = append(p.containers, c)
		return nil
	})
}

func (c *container) read(v gjson.Result) error {
	var env, mounts gjson.Result
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "name":
			c.name = v.Str
		case "env":
			env = v
		case "volumeMounts":
			mounts = v
		}
		return true
	})
	err := each(env, "env", func(v gjson.Result) error {
		c.env++
		c.sets |= settings[member(v, "name").Str]
		return nil
	})
	if err != nil {
		return err
	}
	return each(mounts, "volumeMounts", func(v gjson.Result) error {
		c.mounts++
		if member(v, "name").Str == Volume {
			c.mounted = true
			if path.Clean(member(v, "mountPath").Str) == MountPath && member(v, "subPath").Str == "" && member(v, "subPathExpr").Str == "" {
				c.mountedHere = true
			}
		}
		return nil
	})
}

// member returns the last member of that name, or nothing where v is no object.
func member(v gjson.Result, name string) (found gjson.Result) {
	if v.IsObject() {
		v.ForEach(func(k, v gjson.Result) bool {
			if k.Str == name {
				found = v
			}
			return true
		})
	}
	return found
}

// isThere says whether v is an object that a member can be added to: null and nothing are not.
func isThere(v gjson.Result, name string) (bool, error) {
	if v.Type == gjson.Null {
		return false, nil
	}
	if !v.IsObject() {
		return false, fault.New(fault.Malformed, "%s is not an object", name)
	}
	return true, nil
}

// each calls f for every element of a list, which may be missing.
func each(list gjson.Result, name string, f func(gjson.Result) error) (err error) {
	if list.Type == gjson.Null {
		return nil
	}
	if !list.IsArray() {
		return fault.New(fault.Malformed, "%s is not a list", name)
	}
	list.ForEach(func(_, v gjson.Result) bool {
		err = f(v)
		return err == nil
	})
	return err
}
