package addon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// AgentValues are the configuration values of the agent. There is no image, command, volume, service account or security
// context among them, and nothing that says whom the agent trusts or asks: whoever holds the server cannot make of the
// agent what it is not.
type AgentValues struct {
	Agent             AgentOptions      `json:"agent"`
	Env               map[string]string `json:"env"`
	Resources         Resources         `json:"resources"`
	Tolerations       []Toleration      `json:"tolerations"` // nil: every taint
	NodeSelector      map[string]string `json:"nodeSelector"`
	Affinity          *Affinity         `json:"affinity"`
	PriorityClassName string            `json:"priorityClassName"` // "": system-node-critical
	PodAnnotations    map[string]string `json:"podAnnotations"`
	PodLabels         map[string]string `json:"podLabels"`
	UpdateStrategy    *UpdateStrategy   `json:"updateStrategy"`
}

// AgentOptions are what the agent's own flags say.
type AgentOptions struct {
	AdditionalArgs map[string]string `json:"additionalArgs"`
	ProbePort      int               `json:"probePort"` // 0: 2703

	// Each needs the Right of its name.
	VerifyPods         bool `json:"verifyPods"`
	RemoveStartupTaint bool `json:"removeStartupTaint"`
}

// Resources are the requests and limits of the agent's container.
type Resources struct {
	Requests map[string]string `json:"requests"`
	Limits   map[string]string `json:"limits"`
}

// Toleration is that of Kubernetes.
type Toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// Affinity is the part of that of Kubernetes which means something for one pod on each node.
type Affinity struct {
	NodeAffinity *NodeAffinity `json:"nodeAffinity,omitempty"`
}

// NodeAffinity is that of Kubernetes, without preferences.
type NodeAffinity struct {
	Required *NodeTerms `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// NodeTerms is a NodeSelector of Kubernetes.
type NodeTerms struct {
	Terms []NodeTerm `json:"nodeSelectorTerms"`
}

// NodeTerm is a NodeSelectorTerm of Kubernetes.
type NodeTerm struct {
	Expressions []Requirement `json:"matchExpressions,omitempty"`
	Fields      []Requirement `json:"matchFields,omitempty"`
}

// Requirement is a NodeSelectorRequirement of Kubernetes.
type Requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// UpdateStrategy is that of a DaemonSet. The agent's pods share their nodes' address, so that they may run side by side.
type UpdateStrategy struct {
	Type          string         `json:"type"`
	RollingUpdate *RollingUpdate `json:"rollingUpdate,omitempty"`
}

// RollingUpdate is that of a DaemonSet: numbers, or percentages in text.
type RollingUpdate struct {
	MaxUnavailable json.RawMessage `json:"maxUnavailable,omitempty"`
	MaxSurge       json.RawMessage `json:"maxSurge,omitempty"`
}

// maxValues bounds configuration values as text, and maxMembers each list and map of them.
const (
	maxValues  = 16 << 10
	maxMembers = 50
)

// ParseAgent reads the agent's configuration values, "" for none. What is unknown, named twice or not allowed is refused
// with kind Invalid.
func ParseAgent(text string) (*AgentValues, error) {
	v := &AgentValues{}
	if text == "" {
		return v, nil
	}
	if len(text) > maxValues {
		return nil, fault.New(fault.Invalid, "at most %d bytes are accepted, got %d", maxValues, len(text))
	}
	if err := unambiguous(text); err != nil {
		return nil, fault.New(fault.Invalid, "%s", err)
	}
	in := json.NewDecoder(strings.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(v); err != nil {
		return nil, fault.New(fault.Invalid, "JSON that DescribeAddonConfiguration's schema describes is accepted: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	for _, check := range []func() error{v.checkOptions, v.checkPlacing, v.checkPods, v.checkUpdate} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// unambiguous refuses what two readers could take for two things: a member named twice, or in another case than the
// schema's, null in place of nothing, and text behind the object.
func unambiguous(text string) error {
	in := json.NewDecoder(strings.NewReader(text))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return errors.New("a JSON object is accepted")
	}
	if err := object(in, true, false); err != nil {
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("one JSON object is accepted, and nothing behind it")
	}
	return nil
}

// object reads an object behind its brace; free are those whose members are names of the cluster's and not of the schema.
func object(in *json.Decoder, top, free bool) error {
	seen := map[string]bool{}
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if seen[name] {
			return errors.New("the member " + strconv.Quote(name) + " is named twice")
		}
		if seen[name] = true; len(seen) > maxMembers {
			return errors.New("an object has more than " + strconv.Itoa(maxMembers) + " members")
		}
		if top && !slices.Contains(agentMembers, name) {
			return errors.New("the member " + strconv.Quote(name) + " is not accepted: " + strings.Join(agentMembers, ", ") + " are")
		}
		if known, ok := memberNames[strings.ToLower(name)]; ok && known != name && !free {
			return errors.New("the member " + strconv.Quote(name) + " is not accepted: " + known + " is")
		}
		if err := value(in, free || top && slices.Contains(freeMembers, name)); err != nil {
			return err
		}
	}
	_, err := in.Token()
	return err
}

func value(in *json.Decoder, free bool) error {
	t, err := in.Token()
	switch {
	case err != nil:
		return err
	case t == nil:
		return errors.New("null is not accepted: leave the member out")
	case t == json.Delim('{'):
		return object(in, false, free)
	case t == json.Delim('['):
		n := 0
		for ; in.More(); n++ {
			if err := value(in, free); err != nil {
				return err
			}
		}
		if n > maxMembers {
			return errors.New("a list has more than " + strconv.Itoa(maxMembers) + " members")
		}
		_, err = in.Token()
	}
	return err
}

var agentMembers = []string{
	"agent", "env", "resources", "tolerations", "nodeSelector", "affinity", "priorityClassName", "podAnnotations", "podLabels",
	"updateStrategy",
}

var freeMembers = []string{"nodeSelector", "podAnnotations", "podLabels"}

// memberNames are the names of the schema by their lower case, for encoding/json takes any.
var memberNames = func() map[string]string {
	names := map[string]string{}
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names[strings.ToLower(name)] = name
			add(t.Field(i).Type)
		}
	}
	add(reflect.TypeFor[AgentValues]())
	return names
}()

// The allow-lists. Nothing in them names an endpoint, an authority, a proxy or an identity.
var (
	agentArgs = map[string]*regexp.Regexp{
		"-b":           bindHosts,
		"--bind-hosts": bindHosts,
		"-v":           logLevel,
		"--verbosity":  logLevel,

		"--max-credential-retention-before-renewal": regexp.MustCompile(`^(0|[1-9][0-9]{0,4}(s|m|h))$`),
		"--max-cache-size":                          regexp.MustCompile(`^(0|[1-9][0-9]{0,5})$`),
		"--max-service-qps":                         regexp.MustCompile(`^[1-9][0-9]{0,2}$`),
	}
	bindHosts = regexp.MustCompile(`^(169\.254\.170\.23|\[?fd00:ec2::23\]?|169\.254\.170\.23,\[?fd00:ec2::23\]?)$`)
	logLevel  = regexp.MustCompile(`^(panic|fatal|error|warn|info|debug|trace)$`)

	agentEnv = map[string]*regexp.Regexp{
		"GOMEMLIMIT": regexp.MustCompile(`^[1-9][0-9]{0,11}([KMGT]i)?B?$`),
		"GOMAXPROCS": regexp.MustCompile(`^[1-9][0-9]{0,2}$`),
		"GOGC":       regexp.MustCompile(`^([1-9][0-9]{0,3}|off)$`),
	}

	quantities = map[string]*regexp.Regexp{
		"cpu":               regexp.MustCompile(`^([1-9][0-9]{0,5}m|[0-9]{1,3}(\.[0-9]{1,3})?)$`),
		"memory":            byteQuantity,
		"ephemeral-storage": byteQuantity,
	}
	byteQuantity = regexp.MustCompile(`^[1-9][0-9]{0,14}([kMGT]|[KMGT]i)?$`)
)

func (v *AgentValues) checkOptions() error {
	if err := listed("agent.additionalArgs", v.Agent.AdditionalArgs, agentArgs); err != nil {
		return err
	}
	if p := v.Agent.ProbePort; p != 0 && (p < 1024 || p > 65535) {
		return fault.New(fault.Invalid, "agent.probePort: 1024 to 65535 are accepted, got %d", p)
	}
	if err := listed("env", v.Env, agentEnv); err != nil {
		return err
	}
	if err := listed("resources.requests", v.Resources.Requests, quantities); err != nil {
		return err
	}
	return listed("resources.limits", v.Resources.Limits, quantities)
}

// listed holds a map against an allow-list of names, each with the form of its values.
func listed(member string, values map[string]string, allowed map[string]*regexp.Regexp) error {
	for name, text := range values {
		form, ok := allowed[name]
		if !ok {
			return fault.New(fault.Invalid, "%s: %.100q is not accepted", member, name)
		}
		if !form.MatchString(text) {
			return fault.New(fault.Invalid, "%s: %.100q is not a value of %s", member, text, name)
		}
	}
	return nil
}

var (
	labelKey   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
	objectName = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$`)
	// Annotations with a prefix make controllers act: on sidecars, on what confines a container. Only those that tell where
	// metrics are, and whether a node may go, are accepted.
	podAnnotation = regexp.MustCompile(`^(prometheus\.io/[a-z]{1,20}|cluster-autoscaler\.kubernetes\.io/[a-z-]{1,40}|[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$`)
	podLabel      = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

func (v *AgentValues) checkPlacing() error {
	for _, t := range v.Tolerations {
		if t.Key != "" && !labelKey.MatchString(t.Key) || !labelValue.MatchString(t.Value) ||
			!slices.Contains([]string{"", "Exists", "Equal"}, t.Operator) ||
			!slices.Contains([]string{"", "NoSchedule", "PreferNoSchedule", "NoExecute"}, t.Effect) ||
			t.Key == "" && t.Operator != "Exists" || t.Operator == "Exists" && t.Value != "" ||
			t.TolerationSeconds != nil && t.Effect != "NoExecute" {
			return fault.New(fault.Invalid, "tolerations: those of Kubernetes are accepted, got key %.100q, operator %.100q, effect %.100q", t.Key, t.Operator, t.Effect)
		}
	}
	for key, text := range v.NodeSelector {
		if !labelKey.MatchString(key) || !labelValue.MatchString(text) {
			return fault.New(fault.Invalid, "nodeSelector: labels of nodes are accepted, got %.100q: %.100q", key, text)
		}
	}
	if !objectName.MatchString(v.PriorityClassName) {
		return fault.New(fault.Invalid, "priorityClassName: the name of a priority class is accepted, got %.100q", v.PriorityClassName)
	}
	if v.Affinity == nil || v.Affinity.NodeAffinity == nil || v.Affinity.NodeAffinity.Required == nil {
		return nil
	}
	terms := v.Affinity.NodeAffinity.Required.Terms
	if len(terms) == 0 {
		return fault.New(fault.Invalid, "affinity: at least one of nodeSelectorTerms is needed")
	}
	for _, term := range terms {
		for _, r := range slices.Concat(term.Expressions, term.Fields) {
			if err := r.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r Requirement) check() error {
	ok := labelKey.MatchString(r.Key)
	switch r.Operator {
	case "In", "NotIn":
		ok = ok && len(r.Values) > 0
	case "Exists", "DoesNotExist":
		ok = ok && len(r.Values) == 0
	case "Gt", "Lt":
		ok = ok && len(r.Values) == 1
	default:
		ok = false
	}
	for _, text := range r.Values {
		ok = ok && labelValue.MatchString(text)
	}
	if !ok {
		return fault.New(fault.Invalid, "affinity: requirements of Kubernetes are accepted, got key %.100q, operator %.100q, %d values", r.Key, r.Operator, len(r.Values))
	}
	return nil
}

func (v *AgentValues) checkPods() error {
	for key, text := range v.PodAnnotations {
		if !podAnnotation.MatchString(key) || len(text) > 1024 {
			return fault.New(fault.Invalid, "podAnnotations: %.100q is not accepted: names without a prefix, of prometheus.io and of cluster-autoscaler.kubernetes.io are, with at most 1024 bytes", key)
		}
	}
	for key, text := range v.PodLabels {
		if !podLabel.MatchString(key) || !labelValue.MatchString(text) {
			return fault.New(fault.Invalid, "podLabels: %.100q is not accepted: labels without a prefix are", key)
		}
	}
	return nil
}

var percent = regexp.MustCompile(`^("(100|[0-9]{1,2})%"|[0-9]{1,5})$`)

func (v *AgentValues) checkUpdate() error {
	u := v.UpdateStrategy
	if u == nil {
		return nil
	}
	if u.Type != "RollingUpdate" && u.Type != "OnDelete" || u.Type == "OnDelete" && u.RollingUpdate != nil {
		return fault.New(fault.Invalid, "updateStrategy.type: RollingUpdate, or OnDelete alone, is accepted, got %.100q", u.Type)
	}
	if u.RollingUpdate == nil {
		return nil
	}
	zero := 0
	for _, n := range []json.RawMessage{u.RollingUpdate.MaxUnavailable, u.RollingUpdate.MaxSurge} {
		if len(n) > 0 && !percent.Match(bytes.TrimSpace(n)) {
			return fault.New(fault.Invalid, "updateStrategy.rollingUpdate: numbers and percentages are accepted, got %.100s", n)
		}
		if text := strings.Trim(string(n), `"%`); text != "" && strings.Trim(text, "0") == "" {
			zero++
		}
	}
	if zero == 2 {
		return fault.New(fault.Invalid, "updateStrategy.rollingUpdate: maxUnavailable and maxSurge cannot both be 0")
	}
	return nil
}
