package clients

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cli is the aws CLI under one case.
type cli struct {
	t  *testing.T
	as caller
}

type cliCase struct {
	name string
	try  func(c cli)
}

// TestAWSCLI starts one process a call, as a shell would.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	client := cliOfPath(t)
	sections := map[string][]cliCase{
		"pod": cliPod, "uploads": cliUploads, "plain": cliPlain, "tls": cliTLS, "stranger": {{"the agent's reason", cliStranger}}, "eks": cliEKS, "iam": cliIAM, "signing": cliSigning, "agent": cliAgent, "trail": cliTrail,
	}
	by := callers(awsCLI)
	by["plain"], by["tls"] = plainSpoken(t), secured(t)
	for section, as := range by {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			var names []string
			for _, step := range sections[section] {
				if slices.Contains(cannot[client][section], step.name) {
					continue
				}
				names = append(names, step.name)
				var text string
				passed := t.Run(step.name, func(t *testing.T) {
					step.try(cli{t, as})
					note, _ := cliNotes.Load(t.Name())
					text, _ = note.(string)
				})
				tell(client, section, step.name, passed, text)
			}
			account(t, client, section, names)
		})
	}
}

// ok runs `aws` with words, and args behind them, and returns what it prints, without the last newline.
func (c cli) ok(words string, args ...string) string {
	c.t.Helper()
	return strings.TrimSuffix(output(c.t, c.as, c.argv(words, args)...), "\n")
}

func (c cli) argv(words string, args []string) []string {
	return append(append([]string{"aws"}, strings.Fields(words)...), args...)
}

// refused wants the CLI to fail with an error code and a message that it prints.
func (c cli) refused(code, message, words string, args ...string) {
	c.t.Helper()
	argv := c.argv(words, args)
	got := c.as.run(c.t, argv...)
	if got.status == 0 || !strings.Contains(got.errors, "("+code+")") || !strings.Contains(got.errors, message) {
		c.t.Errorf("%q: status %d, %.600q, want to be refused with %s and %q", argv, got.status, got.errors, code, message)
	}
}

func (c cli) equal(what, got, want string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s: got %.400q, want %.400q", what, got, want)
	}
}

func (c cli) contains(what, got string, want ...string) {
	c.t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			c.t.Errorf("%s: got %.600q, want it to contain %q", what, got, w)
		}
	}
}

// file writes a file that the CLI is to read or to write over.
func (c cli) file(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// got reads a file that the CLI wrote.
func (c cli) got(path string) string {
	c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

const cliBucket = "pod-" + awsCLI

var cliPod = []cliCase{
	{"fetch by the default chain", func(c cli) {
		for line := range strings.Lines(c.ok("configure list")) {
			if fields := strings.Fields(line); len(fields) > 2 && strings.HasSuffix(fields[0], "_key") {
				c.equal("source of "+fields[0], fields[2], "container-role")
			}
		}
		c.contains("sources", c.ok("configure list"), "container-role")
	}},
	{"GetCallerIdentity", func(c cli) {
		c.contains("arn", c.ok("sts get-caller-identity --query Arn --output text"), ":assumed-role/"+role+"/eks-dev-aws-cli-")
	}},
	{"ListBuckets", func(c cli) {
		c.contains("aws s3 ls", c.ok("s3 ls"), "infra-lower-c65432gh", "eks-charts-manifest-67565rr")
		c.contains("names", c.ok("s3api list-buckets --query Buckets[].Name"), "infra-lower-c65432gh")
	}},
	{"CreateBucket", func(c cli) {
		c.contains("aws s3 mb", c.ok("s3 mb s3://"+cliBucket), "make_bucket: "+cliBucket)
		c.refused("BucketAlreadyOwnedByYou", "", "s3api create-bucket --bucket "+cliBucket)
	}},
	{"HeadBucket", func(c cli) {
		c.ok("s3api head-bucket --bucket " + cliBucket)
		c.refused("404", "", "s3api head-bucket --bucket pod-missing")
	}},
	{"PutObject, small", func(c cli) {
		c.ok("s3 cp --no-progress --content-type text/plain --metadata team=pay", c.file("small.txt", small), "s3://"+cliBucket+"/small.txt")
	}},
	{"PutObject, 3 MB with 100-continue", func(c cli) {
		argv := c.argv("s3api put-object --debug --bucket "+cliBucket+" --key large.bin --body", []string{c.file("large.bin", large)})
		got := c.as.run(c.t, argv...)
		wait := "100 Continue response seen, now sending request body"
		if testedCLI == awsCLI2 {
			wait = "Adding expect 100 continue header to request" // under its urllib3 it does not wait for the answer
		}
		c.contains("the log", got.errors, wait)
		if got.status != 0 {
			c.t.Errorf("status %d, want 0", got.status)
		}
	}},
	{"GetObject", func(c cli) {
		to := c.file("down", "")
		c.ok("s3 cp --no-progress s3://"+cliBucket+"/small.txt", to)
		c.equal("small.txt", c.got(to), small)
		c.ok("s3api get-object --bucket "+cliBucket+" --key large.bin", to)
		if c.got(to) != large {
			c.t.Error("large.bin: the bytes differ")
		}
	}},
	{"HeadObject", func(c cli) {
		c.equal("head", c.ok("s3api head-object --bucket "+cliBucket+" --key small.txt --output text --query [ContentLength,ContentType,Metadata.team]"), "17\ttext/plain\tpay")
		c.refused("404", "", "s3api head-object --bucket "+cliBucket+" --key missing")
	}},
	{"GetObject, range", func(c cli) {
		to := c.file("part", "")
		c.ok("s3api get-object --bucket "+cliBucket+" --key large.bin --range bytes=1000000-1000099", to)
		c.equal("bytes", c.got(to), large[1000000:1000100])
		c.refused("InvalidRange", "", "s3api get-object --bucket "+cliBucket+" --key small.txt --range bytes=1000-", to)
	}},
	{"GetObject, If-None-Match", func(c cli) {
		tag := c.ok("s3api head-object --bucket " + cliBucket + " --key small.txt --query ETag --output text")
		c.refused("304", "", "s3api get-object --bucket "+cliBucket+" --key small.txt --if-none-match", tag, c.file("none", ""))
		c.refused("PreconditionFailed", "", "s3api get-object --bucket "+cliBucket+" --key small.txt --if-match", `"other"`, c.file("none", ""))
	}},
	{"PutObject, If-None-Match", func(c cli) {
		c.refused("PreconditionFailed", "", "s3api put-object --bucket "+cliBucket+" --key small.txt --if-none-match *")
	}},
	{"odd keys", cliOddKeys},
	{"keys that the store would change", func(c cli) {
		before := c.ok("s3 ls --recursive s3://" + cliBucket)
		for _, key := range badKeys[:2] { // the other clients try them all; a process each is dear
			c.refused("InvalidURI", "", "s3api put-object --bucket "+cliBucket+" --key", key)
		}
		c.equal("keys", c.ok("s3 ls --recursive s3://"+cliBucket), before)
	}},
	{"ListObjects", func(c cli) {
		from := c.t.TempDir()
		for _, name := range []string{"0", "1", "2", "deep/er"} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700), os.WriteFile(filepath.Join(from, name), nil, 0o600)); err != nil {
				c.t.Fatal(err)
			}
		}
		c.ok("s3 sync --no-progress", from, "s3://"+cliBucket+"/list")
		cliList(c, "list-objects")
	}},
	{"ListObjectsV2", func(c cli) {
		cliList(c, "list-objects-v2")
		c.contains("aws s3 ls", c.ok("s3 ls --page-size 2 s3://"+cliBucket+"/list/"), "PRE deep/", " 0\n", " 1\n")
	}},
	{"AccessDenied", func(c cli) {
		c.refused("AccessDenied", "s3:PutObject", "s3 cp --no-progress", c.file("large", large), "s3://"+cliBucket+"/secret/x")
		c.refused("AccessDenied", "s3:GetObject", "s3api get-object --bucket "+cliBucket+" --key secret/x", c.file("none", ""))
		c.refused("403", "", "s3 cp --no-progress s3://"+cliBucket+"/secret/x", c.file("none", ""))
		c.refused("AccessDenied", "s3:CreateBucket", "s3 mb s3://not-ours")
		c.refused("AccessDenied", "s3:ListBucket", "s3 ls s3://infra-lower-c65432gh")
		c.refused("AccessDenied", "s3:DeleteObject", "s3 rm s3://infra-lower-c65432gh/x")
	}},
	{"copies, tags, versions, batches", cliMore},
	{"operations not served", cliNotServed},
	{"EKS and IAM are denied to a pod", func(c cli) {
		c.refused("AccessDeniedException", "eks:ListClusters", "eks list-clusters --endpoint-url "+here.endpoint)
		c.refused("AccessDenied", "iam:GetRole", "iam get-role --role-name "+role+" --endpoint-url "+here.endpoint)
	}},
	{"DeleteObject", func(c cli) {
		c.contains("aws s3 rm", c.ok("s3 rm s3://"+cliBucket+"/small.txt"), "delete: s3://"+cliBucket+"/small.txt")
		c.refused("NoSuchKey", "", "s3api get-object --bucket "+cliBucket+" --key small.txt", c.file("none", ""))
		c.ok("s3api delete-object --bucket " + cliBucket + " --key small.txt")
	}},
	{"DeleteBucket", func(c cli) {
		c.refused("BucketNotEmpty", "", "s3 rb s3://"+cliBucket)
		c.contains("aws s3 rb --force", c.ok("s3 rb --force s3://"+cliBucket), "remove_bucket: "+cliBucket)
		c.refused("NoSuchBucket", "", "s3 ls s3://"+cliBucket)
	}},
}

// cliOddKeys takes the way of files, which `aws s3 sync` does in one process each way, and lists with s3api.
func cliOddKeys(c cli) {
	up, down := c.t.TempDir(), c.t.TempDir()
	var want []string
	for _, key := range oddKeys {
		path := filepath.Join(up, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
			c.t.Fatal(err)
		}
		// The store keeps whole seconds: a file of the same second would count as newer than its copy.
		if old := time.Now().Add(-time.Hour); os.Chtimes(path, old, old) != nil {
			c.t.Fatalf("the time of %q cannot be set", path)
		}
		want = append(want, "odd/"+key)
	}
	c.ok("s3 sync --no-progress", up, "s3://"+cliBucket+"/odd")
	for _, operation := range []string{"list-objects", "list-objects-v2"} {
		var got []string
		if err := json.Unmarshal([]byte(c.ok("s3api "+operation+" --bucket "+cliBucket+" --prefix odd/ --query Contents[].Key")), &got); err != nil {
			c.t.Fatal(err)
		}
		sameNames(c.t, operation, got, want)
	}
	c.ok("s3 sync --no-progress s3://"+cliBucket+"/odd", down)
	for _, key := range oddKeys {
		c.equal(key, c.got(filepath.Join(down, key)), key)
	}
	c.equal("a second sync", c.ok("s3 sync --no-progress", up, "s3://"+cliBucket+"/odd"), "")
	c.ok("s3 rm --recursive s3://" + cliBucket + "/odd")
	c.equal("left over", c.ok("s3api list-objects-v2 --bucket "+cliBucket+" --prefix odd/ --query Contents --output text"), "None")
}

func cliList(c cli, operation string) {
	at := "s3api " + operation + " --bucket " + cliBucket + " --prefix list/ --delimiter / --page-size 2"
	got := c.ok(at+" --query", "[Contents[].Key, CommonPrefixes[].Prefix]")
	c.equal(operation, strings.Join(strings.Fields(got), ""), `[["list/0","list/1","list/2"],["list/deep/"]]`)
}

func cliMore(c cli) {
	at := "--bucket " + cliBucket
	c.ok("s3 cp --no-progress s3://" + cliBucket + "/small.txt s3://" + cliBucket + "/copies/one")
	c.ok("s3 mv --no-progress s3://" + cliBucket + "/copies/one s3://" + cliBucket + "/copies/two")
	c.equal("copies", c.ok("s3api list-objects-v2 --prefix copies/ --query Contents[].Key --output text "+at), "copies/two")
	c.ok("s3api put-object-tagging --key copies/two --tagging TagSet=[{Key=team,Value=pay}] " + at)
	c.equal("tags", c.ok("s3api get-object-tagging --key copies/two --query TagSet[0].Value --output text "+at), "pay")
	c.equal("location", c.ok("s3api get-bucket-location --query LocationConstraint --output text "+at), "None")
	c.contains("batch", c.ok("s3api delete-objects --delete Objects=[{Key=copies/two},{Key=secret/x}] "+at), `"Key": "copies/two"`, `"Code": "AccessDenied"`)
	c.refused("AccessDenied", "s3:GetObject", "s3api copy-object --key stolen --copy-source infra-lower-c65432gh/x "+at)
}

func cliNotServed(c cli) {
	at := " --bucket " + cliBucket
	for _, words := range []string{
		"s3api put-bucket-policy --policy {}" + at,
		"s3api put-object --key small.txt --acl public-read" + at,
	} {
		c.refused("NotImplemented", "", words)
	}
	to := c.file("small", "")
	c.ok("s3 cp --no-progress s3://"+cliBucket+"/small.txt", to)
	c.equal("small.txt", c.got(to), small)
}

// cliStranger has no association; `lanyard exec` says the reason once more, for some SDKs lose it.
func cliStranger(c cli) {
	const reason = "No pod identity association found for service account default/stranger."
	got := c.as.run(c.t, "aws", "s3", "ls")
	if got.status == 0 {
		c.t.Error("a pod without an association got credentials")
	}
	c.contains("the CLI", got.errors, reason, "lanyard: the agent refused default/stranger in cluster dev: ResourceNotFoundException: "+reason)
}
