package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// oldest are the first versions of SDKs that know Pod Identity, as AWS's documentation lists them
// (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html): what they are pinned by, and how a pod runs them.
// That for JavaScript is listed with 3.458.0, whose default chain does not have it yet.
var oldest = []struct {
	client, version, pin string
	argv                 func(t *testing.T) []string
}{
	{"AWS SDK for Go v2", "config v1.25.0", "oldest/go/go.mod", func(t *testing.T) []string { return []string{tools(t, "oldest/go/client"), "2"} }},
	{"AWS SDK for Go v1", "v1.47.11", "oldest/go/go.mod", func(t *testing.T) []string { return []string{tools(t, "oldest/go/client"), "1"} }},
	{"boto3", "1.34.41", "oldest/boto.txt", func(t *testing.T) []string {
		return []string{tools(t, "oldest/boto/bin/python3"), beside(t, "oldest/boto.py")}
	}},
	{"aws CLI 1", "1.30.0", "oldest/cli.txt", func(t *testing.T) []string {
		return []string{"sh", "-c", `exec "$0" --endpoint-url "$AWS_ENDPOINT_URL_STS" sts get-caller-identity --query Arn --output text`, tools(t, "oldest/cli/bin/aws")}
	}},
	{"AWS SDK for JavaScript v3", "3.504.0", "oldest/js/package.json", node("v3.mjs")},
	{"AWS SDK for JavaScript v2", "2.1550.0", "oldest/js/package.json", node("v2.mjs")},
	{"AWS SDK for Java 2", "2.21.30", "oldest/java/pom.xml", oldestJava("2")},
	{"AWS SDK for Java 1", "1.12.746", "oldest/java/pom.xml", oldestJava("1")},
	{"AWS SDK for Rust", "aws-config 1.1.8", "oldest/rust/Cargo.toml", func(t *testing.T) []string {
		return []string{tools(t, "rust/oldest/debug/lanyard-oldest-client")}
	}},
}

func node(program string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		return []string{"node", "--preserve-symlinks", "--preserve-symlinks-main", tools(t, "oldest/js/client/"+program)}
	}
}

// oldestJava says by a property which addresses need no proxy: these versions read the proxy of the environment and not its
// exceptions.
func oldestJava(version string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		return []string{"java", "-XX:TieredStopAtLevel=1", "-Dhttp.nonProxyHosts=127.0.0.1", "-cp", tools(t, "oldest/java/classes") + ":" + tools(t, "oldest/java/lib/*"), "Oldest", version}
	}
}

// beside is a file of this folder, by its whole name.
func beside(t *testing.T, name string) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return folder + "/" + name
}

const (
	oldestBegins = "<!-- what the oldest clients of `make compat` saw; `make compat UPDATE=1` writes it -->\n"
	oldestEnds   = "<!-- end of what the oldest clients saw -->\n"
)

// TestCompatOldest runs each as a pod that has an association and as one that has none, and holds the table in
// docs/COMPATIBILITY.md to what was seen. The table's date is of its last change.
func TestCompatOldest(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	for _, c := range oldest {
		text, err := os.ReadFile(c.pin)
		if err != nil || !strings.Contains(string(text), c.version[strings.LastIndex(c.version, " ")+1:]) {
			t.Fatalf("%s is not pinned to %s in %s: %v", c.client, c.version, c.pin, err)
		}
		argv := c.argv(t)
		if got := output(t, here.asPod(golang), argv...); !strings.Contains(got, ":assumed-role/"+role+"/") {
			t.Errorf("%s: got %.300q, want to be %s", c.client, got, role)
		}
		refused := here.asPod("stranger").run(t, argv...)
		if refused.status == 0 || strings.Contains(refused.out, ":assumed-role/") {
			t.Errorf("%s: a pod without an association: status %d, %.300q", c.client, refused.status, refused.out)
		}
		fmt.Fprintf(&rows, "| %s %s | yes | yes |\n", c.client, c.version)
	}
	if t.Failed() {
		return
	}
	const papers = "../../docs/COMPATIBILITY.md"
	text, err := os.ReadFile(papers)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), oldestBegins)
	committed, after, ends := strings.Cut(rest, oldestEnds)
	_, seen, _ := strings.Cut(committed, "| --- | --- | --- |\n")
	switch {
	case !begins || !ends:
		t.Fatalf("%s has no place for the table, between %q and %q", papers, oldestBegins, oldestEnds)
	case strings.TrimSpace(seen) == strings.TrimSpace(rows.String()):
	case *update:
		table := "\n| oldest version, tried on " + time.Now().UTC().Format(time.DateOnly) + " | agent by the default chain | refused without an association |\n| --- | --- | --- |\n" + rows.String() + "\n"
		if err := os.WriteFile(papers, []byte(before+oldestBegins+table+oldestEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table in %s is not what this run saw; `make compat UPDATE=1` writes it. Committed:\n%s\nseen:\n%s", papers, seen, rows.String())
	}
}
