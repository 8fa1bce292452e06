package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shell runs a script in a folder of its own, as a reader of the guide would in a second terminal.
func shell(t *testing.T, script string, args ...string) ran {
	t.Helper()
	return caller(here.asNobody).run(t, append([]string{"bash", "-euc", script, "bash"}, args...)...)
}

// The commands that the first start says to try, as they are printed, from another working directory: they name the state
// folder by its absolute path although the server was given a relative one.
func TestCommandsToTryNext(t *testing.T) {
	t.Parallel()
	got := shell(t, "cd \"$1\"\n"+strings.Join(here.next, "\n"), t.TempDir())
	if got.status != 0 {
		t.Fatalf("%q: status %d\n%s%s", here.next, got.status, got.out, got.errors)
	}
	for _, want := range []string{`"serviceAccount": "ec2-restart-sa"`, " infra-lower-c65432gh\n", " eks-charts-manifest-67565rr\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q print %q, want them to contain %q", here.next, got.out, want)
		}
	}
	refused := shell(t, "cd \"$1\"\n"+strings.Replace(here.next[2], "ec2-restart-sa", "another-sa", 1), t.TempDir())
	if refused.status == 0 || !strings.Contains(refused.errors, "No pod identity association found for service account default/another-sa.") {
		t.Errorf("another service account: status %d, %q, want the agent's reason", refused.status, refused.errors)
	}
}

// Steps 1, 3 and 4 of the guide with its own commands; step 2, the agent, is there in a practice cluster.
func TestGuide(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"trust-policy.json": trust,
		"s3-policy.json":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pod := `cd "$1"; lanyard exec --dir "$2" --namespace guide --service-account ec2-restart-sa --pod eks-pod-id-check -- aws s3 ls`
	before := shell(t, pod, folder, here.state)
	if want := "No pod identity association found for service account guide/ec2-restart-sa."; before.status == 0 || !strings.Contains(before.errors, want) {
		t.Errorf("before the association: status %d, %q, want %q", before.status, before.errors, want)
	}
	administrator := shell(t, `cd "$1"; eval "$(lanyard env --dir "$2")"
		aws iam create-role --role-name guide-role --assume-role-policy-document file://trust-policy.json
		aws iam put-role-policy --role-name guide-role --policy-name list-buckets --policy-document file://s3-policy.json
		aws eks create-pod-identity-association --cluster-name dev --namespace guide --service-account ec2-restart-sa \
			--role-arn arn:aws:iam::111122223333:role/guide-role`, folder, here.state)
	if administrator.status != 0 {
		t.Fatalf("steps 1 and 3: status %d\n%s%s", administrator.status, administrator.out, administrator.errors)
	}
	after := shell(t, pod, folder, here.state)
	if after.status != 0 || !strings.Contains(after.out, " infra-lower-c65432gh\n") || !strings.Contains(after.out, " eks-charts-manifest-67565rr\n") {
		t.Errorf("step 4: status %d, %q, want the two buckets\n%s", after.status, after.out, after.errors)
	}
}
