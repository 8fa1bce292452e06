package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tools is the folder where test/setup puts the clients.
func tools(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../.tools", name))
	if err == nil {
		_, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		t.Fatalf("%v: run `make compat`, or `test/setup compat` once", err)
	}
	return path
}

func javaArgv(t *testing.T) func(section string) []string {
	classes := tools(t, "java/classes") + ":" + tools(t, "java/lib/*")
	return func(section string) []string {
		return []string{"java", "-XX:TieredStopAtLevel=1", "-cp", classes, "Tried", section}
	}
}

func rustArgv(t *testing.T) func(section string) []string {
	program := tools(t, "rust/debug/lanyard-test-client")
	return func(section string) []string { return []string{program, section} }
}

func TestCompatJavaSDK(t *testing.T) { programs(t, java, javaArgv(t)) }

func TestCompatRustSDK(t *testing.T) { programs(t, rust, rustArgv(t)) }

// TestCompatTrustStores holds what COMPATIBILITY.md says of the SDKs that read neither variable: what they read instead.
func TestCompatTrustStores(t *testing.T) {
	t.Parallel()
	by := secured(t)
	folder := t.TempDir()
	output(t, by, "keytool", "-importcert", "-noprompt", "-alias", "lanyard", "-storepass", "changeit",
		"-keystore", folder+"/trust.p12", "-file", strings.TrimSpace(output(t, by, "sh", "-c", `echo "$AWS_CA_BUNDLE"`)))
	javaWith := append([]string{"java", "-Djavax.net.ssl.trustStore=" + folder + "/trust.p12", "-Djavax.net.ssl.trustStorePassword=changeit"}, javaArgv(t)("tls")[1:]...)
	rustWith := append([]string{"sh", "-c", `SSL_CERT_FILE="$AWS_CA_BUNDLE" exec "$0" "$@"`}, rustArgv(t)("tls")...)
	for client, argv := range map[string][]string{java: javaWith, rust: rustWith} {
		for _, line := range linesOf(t, by.run(t, argv...)) {
			if line.Error != nil {
				t.Errorf("%s: %s", client, *line.Error)
			}
			if line.Note != "" {
				t.Errorf("%s: %s, want it to trust the CA", client, line.Note)
			}
		}
	}
}
