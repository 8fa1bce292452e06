package clients

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// cliOfPath says which CLI `aws` is, and keeps its outcome.
func cliOfPath(t *testing.T) (client string) {
	t.Helper()
	text := output(t, here.asNobody, "aws", "--version")
	name, _, _ := strings.Cut(text, " ")
	version, ok := strings.CutPrefix(name, "aws-cli/")
	if !ok {
		t.Fatalf("`aws --version` prints %q", text)
	}
	client = awsCLI
	if strings.HasPrefix(version, "2.") {
		client = awsCLI2
	}
	testedCLI = client
	keep(t, client, version)
	return client
}

// testedCLI is the one that `aws` is in this run.
var testedCLI string

// cliNotes has what a case tells the table beyond yes, by the name of its test: two sections may have a case of one name.
var cliNotes sync.Map

const cliUploadBucket = "pod-uploads-cli"

var cliUploads = []cliCase{
	{"upload of a stream", func(c cli) {
		c.ok("s3 mb s3://" + cliUploadBucket)
		cmd := c.as(c.t.Context(), "aws", "s3", "cp", "-", "s3://"+cliUploadBucket+"/stream")
		cmd.Stdin = strings.NewReader(small)
		if out, err := cmd.CombinedOutput(); err != nil {
			c.t.Fatalf("aws s3 cp -: %v\n%s", err, out)
		}
		c.equal("stream", c.ok("s3 cp s3://"+cliUploadBucket+"/stream -")+"\n", small)
	}},
	{"multipart upload", func(c cli) {
		parts := large + large + large // above the CLI's threshold
		c.ok("s3 cp --no-progress " + c.file("large", parts) + " s3://" + cliUploadBucket + "/parts")
		to := c.file("down", "")
		c.ok("s3 cp --no-progress s3://"+cliUploadBucket+"/parts", to)
		if c.got(to) != parts {
			c.t.Error("the bytes differ")
		}
	}},
	{"presigned URL", func(c cli) {
		status, text := fetch(c.t, c.ok("s3 presign s3://"+cliUploadBucket+"/stream"))
		if strings.Contains(text, "version 4") && status == http.StatusNotImplemented { // the first CLI's default
			cliNotes.Store(c.t.Name(), "refused by name, with the setting to use")
			return
		}
		c.equal("the object", text, small)
	}},
}
