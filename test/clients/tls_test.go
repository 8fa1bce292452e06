package clients

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// secured is a caller that is the administrator of a server whose certificate is of its own CA, and whose clients know the
// CA by the variables that a pod gets: `lanyard server` is not on an address of 127.0.0.0/8 here, as it is not in a cluster.
func secured(t *testing.T) caller {
	t.Helper()
	runtime.LockOSThread() // the server ends with the thread
	if out, err := exec.Command("ip", "address", "replace", serverAddress+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("loopback does not take the address %s: %v: %s", serverAddress, err, bytes.TrimSpace(out))
	}
	dir := filepath.Join(t.TempDir(), "server")
	output(t, here.asNobody, "lanyard", "init", "--dir", dir, "--address", serverAddress)
	server, at := launch(t, "serving", "lanyard", "server", "--dir", dir, "--listen", serverAddress+":0")
	t.Cleanup(func() { server.terminate(t) })
	endpoint, ca := "https://"+at, filepath.Join(dir, "ca.pem")
	return caller(func(ctx context.Context, argv ...string) *exec.Cmd {
		sourced := []string{"bash", "-euc", `. "$0"; exec "$@"`, filepath.Join(dir, "administrator.env")}
		return here.command(ctx, here.environment(), append(sourced, argv...)...)
	}).with(
		"AWS_ENDPOINT_URL_STS="+endpoint, "AWS_CA_BUNDLE="+ca, "NODE_EXTRA_CA_CERTS="+ca,
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
	)
}

var cliTLS = []cliCase{{"own CA by the injected variables", func(c cli) {
	c.contains("arn", c.ok("sts get-caller-identity --query Arn --output text"), ":user/")
}}}
