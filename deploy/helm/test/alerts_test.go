package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/openlanyard/lanyard/connector/install"
)

// metrics are the names in an expression, which must be one.
func metrics(expr string) (names []string, err error) {
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			names = append(names, v.Name)
		}
		return nil
	})
	return names, nil
}

// TestAlertsCanFire: each alert is what Prometheus's own parser takes, and asks for metrics of ours that there are.
func TestAlertsCanFire(t *testing.T) {
	text, err := render(t, install.Namespace, "alerts: {enabled: true}\nserver: {enabled: false}")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := install.Objects(text)
	if err != nil {
		t.Fatal(err)
	}
	source := ""
	for _, file := range cases(t, "../../../connector/*.go") {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	alerts, ours := 0, 0
	for _, o := range objects {
		if o.Kind() != "PrometheusRule" {
			continue
		}
		for _, g := range o["spec"].(map[string]any)["groups"].([]any) {
			for _, r := range g.(map[string]any)["rules"].([]any) {
				rule := r.(map[string]any)
				alerts++
				names, err := metrics(rule["expr"].(string))
				if err != nil || len(names) == 0 {
					t.Errorf("%v: %v asks for %q: %v", rule["alert"], rule["expr"], names, err)
				}
				if pause, err := time.ParseDuration(rule["for"].(string)); err != nil || pause <= 0 {
					t.Errorf("%v waits for %v: %v", rule["alert"], rule["for"], err)
				}
				for _, name := range names {
					if !strings.HasPrefix(name, "lanyard_") {
						continue // of the cluster's own
					}
					if ours++; !strings.Contains(source, `"`+name+`"`) {
						t.Errorf("%v: nothing has the metric %s", rule["alert"], name)
					}
				}
			}
		}
	}
	if alerts < 4 || ours < 2 {
		t.Errorf("there are %d alerts and %d metrics of ours: the test is broken", alerts, ours)
	}
	for _, wrong := range []string{"sum(rate(a[5m]) > 0", `a{b=c} > 0`, "time() - max(a) > > 900", ""} {
		if names, err := metrics(wrong); err == nil {
			t.Errorf("%q is taken, with %q", wrong, names)
		}
	}
}
