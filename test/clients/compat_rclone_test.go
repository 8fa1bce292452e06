package clients

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompatRclone is no SDK's own front end, though it has one inside: it is here for what it asks of S3 by itself, as
// when it looks whether a bucket is there before it puts an object.
func TestCompatRclone(t *testing.T) {
	t.Parallel()
	program, err := filepath.Abs("../debian13/rclone")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(output(t, here.asNobody, program, "version"), "\n")
	keep(t, rclone, strings.TrimSuffix(strings.TrimPrefix(first, "rclone v"), "-DEV"))
	output(t, here.asPod(rclone), "aws", "s3", "mb", "s3://pod-rclone")
	for section, cases := range map[string][]rcloneStep{"pod": rclonePod, "uploads": rcloneUploads, "stranger": {{"the agent's reason", rcloneStranger}}} {
		for _, step := range cases {
			note := ""
			passed := t.Run(step.name, func(t *testing.T) {
				as := rcloneAs(program, rclone)
				if section == "stranger" {
					as = rcloneAs(program, "stranger")
				}
				note = step.try(rcloneCase{cli{t, as}})
			})
			tell(rclone, section, step.name, passed, note)
		}
	}
}

// rcloneAs runs rclone as a pod. Of the endpoint variables it reads none, so it is told what they say.
func rcloneAs(program, serviceAccount string) caller {
	return func(ctx context.Context, argv ...string) *exec.Cmd {
		const told = `exec "$0" --retries 1 --low-level-retries 1 --s3-env-auth --s3-provider Other --s3-endpoint "$AWS_ENDPOINT_URL_S3" "$@"`
		return here.asPod(serviceAccount)(ctx, append([]string{"sh", "-c", told, program}, argv[1:]...)...)
	}
}

type rcloneCase struct{ cli }

type rcloneStep struct {
	name string
	try  func(r rcloneCase) (note string)
}

const rcloneBucket = ":s3:pod-rclone"

var rclonePod = []rcloneStep{
	{"credentials by the default chain", func(r rcloneCase) string {
		r.contains("buckets", r.ok("lsd :s3:"), "infra-lower-c65432gh", "eks-charts-manifest-67565rr")
		return "yes; `--s3-endpoint` has to be given"
	}},
	{"buckets and objects", func(r rcloneCase) string {
		from, to := r.t.TempDir(), r.t.TempDir()
		for _, name := range []string{"a.txt", "deep/two words.txt", "ünï.txt"} {
			r.write(filepath.Join(from, name), name)
		}
		r.write(filepath.Join(from, "large.bin"), large)
		r.ok("copy", from, rcloneBucket+"/tree")
		r.contains("keys", r.ok("lsf -R "+rcloneBucket+"/tree"), "a.txt", "deep/two words.txt", "ünï.txt", "large.bin")
		r.ok("copy", rcloneBucket+"/tree", to)
		r.equal("a.txt", r.got(filepath.Join(to, "a.txt")), "a.txt")
		r.equal("large.bin is what it was", r.got(filepath.Join(to, "large.bin")), large)
		r.ok("check", from, rcloneBucket+"/tree")
		r.ok("deletefile " + rcloneBucket + "/tree/a.txt")
		r.equal("after deletefile", r.ok("lsf --files-only "+rcloneBucket+"/tree --include a.txt"), "")
		return ""
	}},
	{"AccessDenied", func(r rcloneCase) string {
		// It asks for the head of the object first, whose refusal has no body to name an action in.
		r.fails("Forbidden", "status code: 403", "copyto", r.file("x", "x"), rcloneBucket+"/secret/x")
		r.fails("AccessDenied", "s3:ListBucket", "lsf", ":s3:infra-lower-c65432gh")
		return ""
	}},
}

var rcloneUploads = []rcloneStep{
	{"upload of a stream", func(r rcloneCase) string {
		cmd := r.as(r.t.Context(), "rclone", "rcat", rcloneBucket+"/stream")
		cmd.Stdin = strings.NewReader(small)
		if out, err := cmd.CombinedOutput(); err != nil {
			r.t.Fatalf("rcat: %v: %.600s", err, out)
		}
		r.equal("stream", r.ok("cat "+rcloneBucket+"/stream")+"\n", small)
		return ""
	}},
	{"multipart upload", func(r rcloneCase) string {
		parts := strings.Repeat(large, 3)
		r.ok("--s3-upload-cutoff=5M --s3-chunk-size=5M copyto", r.file("parts", parts), rcloneBucket+"/parts")
		to := r.file("down", "")
		r.ok("copyto", rcloneBucket+"/parts", to)
		r.equal("parts are what they were", r.got(to), parts)
		return ""
	}},
	{"presigned URL", func(r rcloneCase) string {
		output(r.t, here.asPod(rclone), "aws", "s3", "cp", r.file("small", small), "s3://pod-rclone/linked")
		_, text := fetch(r.t, r.ok("link "+rcloneBucket+"/linked"))
		r.equal("linked", text, small)
		return ""
	}},
}

func rcloneStranger(r rcloneCase) string {
	got := r.as.run(r.t, "rclone", "lsd", ":s3:")
	if got.status == 0 {
		r.t.Error("a pod without an association got credentials")
	}
	const reason = "No pod identity association found for service account default/stranger."
	r.contains("lanyard exec", got.errors, "lanyard: the agent refused default/stranger")
	if own, _, _ := strings.Cut(got.errors, "lanyard: the agent refused"); strings.Contains(own, reason) {
		return "shown"
	}
	return "lost by the SDK"
}

// ok runs rclone with words, and args behind them, and returns what it prints, without the last newline.
func (r rcloneCase) ok(words string, args ...string) string {
	r.t.Helper()
	return strings.TrimSuffix(output(r.t, r.as, r.argv(words, args)...), "\n")
}

func (r rcloneCase) argv(words string, args []string) []string {
	return append(append([]string{"rclone"}, strings.Fields(words)...), args...)
}

// fails wants rclone to end in an error with a code and a message of the gateway's.
func (r rcloneCase) fails(code, message string, args ...string) {
	r.t.Helper()
	got := r.as.run(r.t, append([]string{"rclone"}, args...)...)
	if got.status == 0 || !strings.Contains(got.errors, code) || !strings.Contains(got.errors, message) {
		r.t.Errorf("%q: status %d, %.600q, want to be refused with %s and %q", args, got.status, got.errors, code, message)
	}
}

func (r rcloneCase) write(path, text string) {
	r.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		r.t.Fatal(err)
	}
}
