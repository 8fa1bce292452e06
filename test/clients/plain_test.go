package clients

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// plainSpoken is a caller that is a pod without an association on a node where AWS's agent is in ours' place: it tells EKS
// Auth's refusal as a line of plain text, with the status that it got.
func plainSpoken(t *testing.T) caller {
	t.Helper()
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "[3f1f8d6e]: (ResourceNotFoundException): No pod identity association found for service account default/stranger., fault: client", http.StatusNotFound)
	}))
	t.Cleanup(agent.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	return caller(func(ctx context.Context, argv ...string) *exec.Cmd {
		return here.command(ctx, here.environment(), argv...)
	}).with(
		"AWS_CONTAINER_CREDENTIALS_FULL_URI="+agent.URL+"/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+token,
		"AWS_ENDPOINT_URL_S3="+here.endpoint, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
	)
}

var cliPlain = []cliCase{{"the reason as AWS's agent tells it", func(c cli) {
	got := c.as.run(c.t, "aws", "s3", "ls")
	if got.status == 0 {
		c.t.Error("a pod without an association got credentials")
	}
	c.contains("the CLI", got.errors, "(ResourceNotFoundException): No pod identity association found for service account default/stranger.")
}}}
