package addon

import (
	"encoding/json"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

func TestAcceptedVersions(t *testing.T) {
	agent, ok := Find(Agent)
	if !ok {
		t.Fatal("there is no agent")
	}
	for version, want := range map[string]bool{
		"v1.3.2-eksbuild.2": true, "v1.3.2-eksbuild.3": true, "v1.3.10-eksbuild.1": true, "v1.4.0-eksbuild.1": true,
		"v1.3.2-eksbuild.1": false, "v1.3.1-eksbuild.9": false, "v0.9.9-eksbuild.9": false, "v2.0.0-eksbuild.1": false,
		"v1.3.2": false, "1.3.2-eksbuild.2": false, "v1.03.2-eksbuild.2": false, "v1.3.2-eksbuild.2 ": false, "": false, "latest": false,
	} {
		if got := agent.Accepts(version); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
	for _, shown := range agent.Versions() {
		if !agent.Accepts(shown) {
			t.Errorf("%s is shown and not accepted", shown)
		}
	}
	if _, ok := Find("vpc-cni"); ok {
		t.Error("vpc-cni is found")
	}
	if !agent.For("1.33") || !agent.For("1.33.4") || !agent.For("") || agent.For("1.3") || agent.For("1.29") {
		t.Error("the agent is for other Kubernetes versions than it says")
	}
}

var accepted = []string{
	`{}`,
	`{"agent":{"additionalArgs":{"-b":"169.254.170.23"}}}`,
	`{"agent":{"additionalArgs":{"--verbosity":"debug","--max-cache-size":"0"},"probePort":2704}}`,
	`{"agent":{"verifyPods":true,"removeStartupTaint":true}}`,
	`{"env":{"GOMEMLIMIT":"64MiB"}}`,
	`{"resources":{"requests":{"cpu":"10m","memory":"20Mi"},"limits":{"memory":"64Mi"}}}`,
	`{"tolerations":[{"operator":"Exists"},{"key":"a/b","value":"c","effect":"NoExecute","tolerationSeconds":5}]}`,
	`{"nodeSelector":{"Agent":"x","kubernetes.io/os":"linux"}}`,
	`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"NotIn","values":["b"]},{"key":"c","operator":"Exists"}]}]}}}}`,
	`{"priorityClassName":"system-node-critical"}`,
	`{"podAnnotations":{"prometheus.io/scrape":"true","note":"x"},"podLabels":{"team":"a"}}`,
	`{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"10%","maxSurge":0}}}`,
	`{"updateStrategy":{"type":"OnDelete"}}`,
}

// refused are values that the schema has not; textual is what no schema can see.
var (
	refused = []string{
		`[]`, `{"image":{"tag":"x"}}`, `{"command":["sh"]}`, `{"volumes":[]}`, `{"serviceAccount":{"name":"x"}}`, `{"securityContext":{}}`,
		`{"agent":{"command":["sh"]}}`, `{"agent":{"additionalArgs":{"--endpoint":"https://evil"}}}`, `{"agent":{"additionalArgs":{"--ca-file":"/x"}}}`,
		`{"agent":{"additionalArgs":{"-b":"0.0.0.0"}}}`, `{"agent":{"probePort":80}}`, `{"agent":{"verifyPods":"true"}}`, `{"agent":{"verifypods":true}}`, `{"agent":{"privileged":true}}`, `{"agent":{"AdditionalArgs":{}}}`,
		`{"env":{"HTTPS_PROXY":"x"}}`, `{"env":{"AWS_CA_BUNDLE":"x"}}`, `{"env":{"AWS_ROLE_ARN":"x"}}`, `{"env":{"GOMAXPROCS":"0"}}`,
		`{"resources":{"limits":{"nvidia.com/gpu":"1"}}}`, `{"resources":{"limits":{"memory":"lots"}}}`, `{"resources":{"claims":[]}}`,
		`{"tolerations":[{}]}`, `{"tolerations":[{"operator":"Exists","value":"x"}]}`, `{"tolerations":[{"key":"a","tolerationSeconds":5}]}`,
		`{"nodeSelector":{"a b":"x"}}`, `{"affinity":{"podAffinity":{}}}`,
		`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[]}}}}`,
		`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"a","operator":"In"}]}]}}}}`,
		`{"priorityClassName":"A b"}`, `{"podAnnotations":{"container.apparmor.security.beta.kubernetes.io/agent":"unconfined"}}`,
		`{"podAnnotations":{"sidecar.istio.io/inject":"true"}}`, `{"podLabels":{"app.kubernetes.io/name":"x"}}`,
		`{"updateStrategy":{}}`, `{"updateStrategy":{"type":"OnDelete","rollingUpdate":{}}}`,
		`{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":0,"maxSurge":"0%"}}}`,
		`{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"101%"}}}`, `{"env":null}`,
	}
	textual = []string{`{} {}`, `{"env":{},"env":{}}`, `{`, `x`, ` `}
)

func TestAgentValues(t *testing.T) {
	for _, text := range append([]string{""}, accepted...) {
		if _, err := ParseAgent(text); err != nil {
			t.Errorf("%s: got %v, want it accepted", text, err)
		}
	}
	for _, text := range append(append([]string{}, refused...), textual...) {
		if v, err := ParseAgent(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %+v and %v, want Invalid", text, v, err)
		}
	}
	v, err := ParseAgent(accepted[1])
	if err != nil || v.Agent.AdditionalArgs["-b"] != "169.254.170.23" {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestSchemaHasTheSameMembers holds the schema's members against the decoder's, and that nothing else is accepted by it.
func TestSchemaHasTheSameMembers(t *testing.T) {
	var schema struct {
		Properties           map[string]json.RawMessage
		AdditionalProperties bool
	}
	if err := json.Unmarshal([]byte(agentSchema), &schema); err != nil {
		t.Fatal(err)
	}
	for _, name := range agentMembers {
		if schema.Properties[name] == nil {
			t.Errorf("the schema lacks %s", name)
		}
	}
	if len(schema.Properties) != len(agentMembers) || schema.AdditionalProperties {
		t.Errorf("the schema has %d members and additional ones: %v; want %d and none", len(schema.Properties), schema.AdditionalProperties, len(agentMembers))
	}
}
