// Package inject turns a pod into the JSON patch (RFC 6902) that gives its containers credentials, in the terms of EKS
// Pod Identity (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html).
//
// The patched pod equals the one that AWS's webhook makes, and holds Lanyard's endpoints beside. The patch has the
// added fields alone: the API server need not decode every container anew, and what this package does not know stays
// as it is.
package inject

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
)

// What pods and tools on other people's side know by name. They are AWS's.
const (
	Label     = "eks.amazonaws.com/pod-identity" // on an injected pod, with the value "enabled"
	Volume    = "eks-pod-identity-token"
	Audience  = "pods.eks.amazonaws.com"
	MountPath = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
	URI       = "http://169.254.170.23/v1/credentials"
	URI6      = "http://[fd00:ec2::23]/v1/credentials"

	SkipContainers = "eks.amazonaws.com/skip-containers"        // pod: names as a line of CSV, not trimmed
	Expiration     = "eks.amazonaws.com/token-expiration"       // pod, else service account: seconds
	RegionalSTS    = "eks.amazonaws.com/sts-regional-endpoints" // service account

	tokenFile = "eks-pod-identity-token"
)

// CAAnnotation carries the authority of Lanyard's endpoints into the pod: the downward API makes it a file beside the
// token, and neither a ConfigMap in every namespace nor a right to write there is needed.
const CAAnnotation = "lanyard.dev/ca-bundle"

const (
	caFile  = "ca.crt"
	caField = "metadata.annotations['" + CAAnnotation + "']"
)

// A token's lifetime in seconds. Pods that were created together would renew together, so the default is spread.
const (
	defaultSeconds = 86400
	spreadFrom     = 79200
	leastSeconds   = 600 // the API server accepts no less
)

// Settings are what a cluster injects. The zero value is AWS's own default.
type Settings struct {
	URI          string            // of the agent, as the pod sees it; empty: URI
	Region       string            // empty: no region is injected
	RegionalSTS  bool              // AWS_STS_REGIONAL_ENDPOINTS=regional, unless the service account says otherwise
	TokenSeconds int64             // 0: 22 to 24 hours
	S3Endpoint   string            // AWS_ENDPOINT_URL_S3; empty: none
	STSEndpoint  string            // AWS_ENDPOINT_URL_STS; empty: none
	CABundle     string            // PEM, where pods would not trust the endpoints otherwise; empty: none
	Int64N       func(int64) int64 // a random number in [0, n); nil: math/rand/v2's
}

// A Recipe is Settings made ready for many pods. It may be used concurrently.
type Recipe struct {
	Settings
	posix, windows variables
	ca             string // CABundle as JSON
}

// variables are the elements of env as JSON: what a path looks like depends on the node's system.
type variables struct {
	regional, defaultRegion, region, uri, token, s3, sts, bundle, node string
}

// New makes a recipe.
func New(s Settings) *Recipe {
	if s.URI == "" {
		s.URI = URI
	}
	if s.TokenSeconds == 0 {
		s.TokenSeconds = defaultSeconds
	}
	if s.Int64N == nil {
		s.Int64N = rand.Int64N
	}
	windows := "C:" + strings.ReplaceAll(MountPath, "/", `\`) + `\`
	return &Recipe{Settings: s, posix: s.variables(MountPath + "/"), windows: s.variables(windows), ca: quote(s.CABundle)}
}

func (s *Settings) variables(folder string) variables {
	return variables{
		regional:      variable("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
		defaultRegion: variable("AWS_DEFAULT_REGION", s.Region),
		region:        variable("AWS_REGION", s.Region),
		uri:           variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URI),
		token:         variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", folder+tokenFile),
		s3:            variable("AWS_ENDPOINT_URL_S3", s.S3Endpoint),
		sts:           variable("AWS_ENDPOINT_URL_STS", s.STSEndpoint),
		bundle:        variable("AWS_CA_BUNDLE", folder+caFile),
		node:          variable("NODE_EXTRA_CA_CERTS", folder+caFile),
	}
}

func variable(name, value string) string {
	return `{"name":` + quote(name) + `,"value":` + quote(value) + `}`
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return string(text)
}

// Patch returns the JSON patch for a pod, or nil where nothing is to be added: injecting its result again adds nothing.
// The annotations are those of its service account. An error of kind fault.Malformed says that this is no pod that
// could be patched.
func (r *Recipe) Patch(pod string, serviceAccount map[string]string) ([]byte, error) {
	p, err := read(pod)
	if err != nil {
		return nil, err
	}
	w := writer{to: make([]byte, 0, 2048+len(r.ca))}
	carriesCA := r.CABundle != "" && (!p.hasVolume || p.volumeHasCA)
	r.mark(&w, &p, carriesCA)
	if !p.hasVolume {
		w.into("/spec/volumes", p.volumes, "0")
		w.value(r.volume(r.seconds(&p, serviceAccount), carriesCA))
		w.end()
	}
	env := &r.posix
	if p.windows {
		env = &r.windows
	}
	regional := r.RegionalSTS
	if said, err := strconv.ParseBool(serviceAccount[RegionalSTS]); err == nil {
		regional = said
	}
	for i := range p.containers {
		if c := &p.containers[i]; !p.skips(c.name) {
			r.container(&w, c, env, regional, carriesCA)
		}
	}
	return w.patch(), nil
}

// mark sets the label, and the annotation if containers are to trust it. Both names are ours to set: another value there
// is a copy from another pod, and an old authority would be one that nothing trusts.
func (r *Recipe) mark(w *writer, p *pod, carriesCA bool) {
	label := p.labelled != "enabled"
	annotation := carriesCA && p.ca != r.CABundle
	if !p.hasMetadata {
		w.op("/metadata")
		w.raw(`{}`)
		w.end()
	}
	if label {
		w.field("/metadata/labels", p.hasLabels, Label, `"enabled"`)
	}
	if annotation {
		w.field("/metadata/annotations", p.hasAnnotations, CAAnnotation, r.ca)
	}
}

func (r *Recipe) volume(seconds int64, carriesCA bool) string {
	text := `{"name":"` + Volume + `","projected":{"sources":[{"serviceAccountToken":{"audience":"` + Audience +
		`","expirationSeconds":` + strconv.FormatInt(seconds, 10) + `,"path":"` + tokenFile + `"}}`
	if carriesCA {
		text += `,{"downwardAPI":{"items":[{"path":"` + caFile + `","fieldRef":{"apiVersion":"v1","fieldPath":"` + caField + `"}}]}}`
	}
	return text + `]}}`
}

// seconds is the token's lifetime: the pod's word, else its service account's, else the cluster's.
func (r *Recipe) seconds(p *pod, serviceAccount map[string]string) int64 {
	n := r.TokenSeconds
	for _, said := range []string{serviceAccount[Expiration], p.expiration} {
		if v, err := strconv.ParseInt(said, 10, 64); err == nil {
			n = max(v, leastSeconds)
		}
	}
	if n == defaultSeconds {
		n = spreadFrom + r.Int64N(defaultSeconds-spreadFrom+1)
	}
	return n
}

// container appends variables and the mount. Appended variables lose against those of the same name, and each is left
// out where the container has its own.
func (r *Recipe) container(w *writer, c *container, env *variables, regional, carriesCA bool) {
	if c.has(credentials) && c.has(region) && c.has(regionalSTS) {
		return // left alone as a whole, as AWS's webhook does: its author has thought of everything
	}
	path, n := c.path+"/env", c.env
	add := func(wanted bool, variables ...string) {
		if !wanted {
			return
		}
		for _, v := range variables {
			w.into(path, n, "-")
			w.value(v)
			w.end()
			n++
		}
	}
	add(regional && !c.has(regionalSTS), env.regional)
	add(r.Region != "" && !c.has(region), env.defaultRegion, env.region)
	add(!c.has(credentials), env.uri, env.token)
	add(r.S3Endpoint != "" && !c.has(s3Endpoint) && !c.has(anyEndpoint), env.s3)
	add(r.STSEndpoint != "" && !c.has(stsEndpoint) && !c.has(anyEndpoint), env.sts)
	// A bundle that is not there would break every call of an SDK, so the file must be where the variable says.
	trusts := carriesCA && (!c.mounted || c.mountedHere)
	add(trusts && !c.has(caBundle), env.bundle)
	add(trusts && !c.has(nodeCA), env.node)
	if !c.mounted {
		w.into(c.path+"/volumeMounts", c.mounts, "-")
		w.value(`{"name":"` + Volume + `","readOnly":true,"mountPath":"` + MountPath + `"}`)
		w.end()
	}
}
