package api_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"html"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
)

var update = flag.Bool("update", false, "rewrite the answers in the golden files")

// goldenTime is when every golden request is made, so that the moments in the answers are always the same.
var goldenTime = time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC)

// TestGolden sends the requests in each door's testdata through the whole frame and compares the answers. A file is a
// story in an account of its own: NAME.request, NAME.response, and so on in order. A request is
//
//	CALLER METHOD PATH [SERVICE]
//	Header: value
//
//	body
//
// where CALLER is admin, other (another account's administrator), root (the management account's), agent (on node-1 of
// cluster dev), connector (of that cluster), pending (the activation pair of cluster joining), unsigned, session (whose credentials STS has answered last), or a role of the account. The body of a query
// service is one parameter a line unless there is a Content-Type. {names} stand for values that differ from run to run,
// in requests as in answers.
func TestGolden(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime)
	server := w.serve(t, w.config())
	n := 0
	var answers []answer
	for _, door := range w.doors() {
		folder := strings.ReplaceAll(door.Service, "-", "")
		files, err := filepath.Glob(filepath.Join(folder, "testdata", "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no golden files in %s/testdata (%v)", folder, err)
		}
		for _, file := range files {
			n++
			s := newStory(t, w, server, door.Service, fmt.Sprintf("100000000%03d", n))
			t.Run(strings.TrimSuffix(file, ".txtar"), func(t *testing.T) { s.play(t, file) })
			answers = append(answers, s.answers...)
		}
	}
	t.Run("limits", func(t *testing.T) { testLimits(t, w, server) })
	logged := w.outcomes(t)
	testModelledErrors(t, w, testCoverage(t, w, logged))
	testModelledAnswers(t, w, answers, logged)
}

// outcome is how an operation ended. The code is without the word Exception, which some models have and the wire has not.
type outcome struct{ Door, Operation, Code string }

// outcomes are what the log says, by request.
func (w *world) outcomes(tb testing.TB) map[string]outcome {
	tb.Helper()
	logged := map[string]outcome{}
	lines := bufio.NewScanner(strings.NewReader(w.log.String()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Request string
			outcome
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			tb.Fatalf("log line %s: %v", lines.Text(), err)
		}
		line.Code = strings.TrimSuffix(line.Code, "Exception")
		logged[line.Request] = line.outcome
	}
	return logged
}

// testCoverage holds the log against the doors' tables: each operation was allowed in some story, and denied in another.
func testCoverage(t *testing.T, w *world, logged map[string]outcome) (seen map[outcome]bool) {
	seen = map[outcome]bool{}
	for _, o := range logged {
		seen[o] = true
	}
	for _, door := range w.doors() {
		for _, op := range door.Operations {
			done := "" // or how it ends for who may ask, where there is nothing to answer
			for _, code := range []string{"NoSuchEntity", "InvalidInput"} {
				if unanswered[op.Name] && seen[outcome{door.Service, op.Name, code}] {
					done = code
				}
			}
			if !seen[outcome{door.Service, op.Name, done}] && !testedElsewhere[op.Name] {
				t.Errorf("%s %s: no golden case is allowed", door.Service, op.Name)
			}
			if !seen[outcome{door.Service, op.Name, "AccessDenied"}] && op.Name != "GetCallerIdentity" { // which nobody can be denied
				t.Errorf("%s %s: no golden case is denied", door.Service, op.Name)
			}
		}
	}
	return seen
}

// testedElsewhere are the operations whose answer has no end, which need an AWS, and which need a connector that follows.
var testedElsewhere = map[string]bool{
	"WatchFeed": true, "VerifyAccount": true, "ListServiceAccounts": true, "ReportServiceAccounts": true,
}

// unanswered are the operations that ask for what there is none of here.
var unanswered = map[string]bool{
	"CreateServiceLinkedRole": true, "DeleteServiceLinkedRole": true, "GetServiceLinkedRoleDeletionStatus": true,
	"GetInstanceProfile": true, "ListInstanceProfileTags": true, "GetLoginProfile": true,
}

// story plays one golden file.
type story struct {
	w                *world
	server           *httptest.Server
	service, account string
	callers          map[string]signer
	values           map[string]string // by {name}
	names            map[string]string // by value
	counts           map[string]int
	answers          []answer // as they came
}

func newStory(tb testing.TB, w *world, server *httptest.Server, service, account string) *story {
	tb.Helper()
	other := "2" + account[1:]
	s := &story{
		w: w, server: server, service: service, account: account,
		callers: map[string]signer{
			"admin": w.account(tb, account), "other": w.account(tb, other), "root": byKey(w.root), "unsigned": {},
		},
		values: map[string]string{}, names: map[string]string{}, counts: map[string]int{},
	}
	s.name("{account}", account)
	s.name("{other}", other)
	s.name("{management}", management)
	s.values["{admin key}"], s.values["{other key}"] = s.callers["admin"].id, s.callers["other"].id
	for name, owner := range map[string]string{"{dev}": account, "{other dev}": other} {
		cluster, err := w.registry.Cluster(owner, "dev")
		if err != nil {
			tb.Fatal(err)
		}
		s.name(name, cluster.ID)
	}
	now := w.clock()
	s.name("{epoch}", w.store.Epoch())
	s.values["{revision}"] = strconv.FormatInt(w.store.Revision(), 10) // of the story's beginning
	s.values["{big}"] = strings.Repeat("x", 600<<10)
	s.values["{long}"] = strings.Repeat("x", 3000)
	s.values["{agent role}"] = w.agentRole(tb, account)
	s.values["{agent token}"] = w.token(tb, agentToken(now))
	s.values["{token}"] = w.token(tb, podToken(now))
	s.values["{expired token}"] = w.token(tb, podToken(now.Add(-2*time.Hour)))
	s.values["{foreign token}"] = newClusterKey(tb, "key-1").sign(tb, podToken(now))
	irsa := podToken(now)
	irsa["aud"] = []string{registry.AgentAudience}
	s.values["{irsa token}"] = w.token(tb, irsa)
	s.values["{foreign irsa token}"] = newClusterKey(tb, "key-1").sign(tb, irsa)
	elsewhere := podToken(now)
	elsewhere["iss"], elsewhere["aud"] = "https://127.0.0.1", []string{registry.AgentAudience}
	s.values["{token of elsewhere}"] = w.token(tb, elsewhere)
	late := podToken(now.Add(-2 * time.Hour))
	late["aud"] = []string{registry.AgentAudience}
	s.values["{expired irsa token}"] = w.token(tb, late)
	stranger := podToken(now)
	stranger["kubernetes.io"].(map[string]any)["serviceaccount"] = map[string]any{"name": "stranger", "uid": "stranger-uid"}
	stranger["sub"] = "system:serviceaccount:default:stranger"
	s.values["{stranger token}"] = w.token(tb, stranger)
	moved := podToken(now)
	moved["kubernetes.io"].(map[string]any)["node"] = map[string]any{"name": "node-2", "uid": "node-2-uid"}
	s.values["{other node token}"] = w.token(tb, moved)
	s.values["{jwks}"] = jwks(tb, newClusterKey(tb, "key-of-joining").key)
	s.values["{dev jwks}"] = jwks(tb, w.signer.key, newClusterKey(tb, "key-2").key)
	authority := selfSigned(tb)
	s.name("{certificate data}", base64.StdEncoding.EncodeToString([]byte(authority)))
	certificate, err := json.Marshal(authority)
	if err != nil {
		tb.Fatal(err)
	}
	s.values["{certificate}"] = string(certificate)
	return s
}

func jwks(tb testing.TB, keys ...podtoken.Key) string {
	tb.Helper()
	text, err := podtoken.MarshalKeys(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// selfSigned is a certificate in PEM.
func selfSigned(tb testing.TB) string {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: goldenTime}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (s *story) name(name, value string) {
	s.values[name], s.names[value] = value, name
}

func (s *story) play(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var played []txtar.File
	for i, f := range archive.Files {
		title, ok := strings.CutSuffix(f.Name, ".request")
		if !ok {
			continue
		}
		got := s.exchange(t, title, string(f.Data))
		want := ""
		if i+1 < len(archive.Files) && archive.Files[i+1].Name == title+".response" {
			want = string(archive.Files[i+1].Data)
		}
		if diff := cmp.Diff(want, got); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
		played = append(played, f, txtar.File{Name: title + ".response", Data: []byte(got)})
	}
	if len(played) == 0 {
		t.Fatal("no requests in this file")
	}
	if *update {
		archive.Files = played
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// exchange sends one request and returns the answer as the golden file has it, after checking what holds for all answers.
func (s *story) exchange(t *testing.T, title, text string) string {
	t.Helper()
	before := s.w.store.Revision()
	in := s.read(t, text)
	got := s.w.send(t, s.server, in)
	s.answers = append(s.answers, got)
	if found := answered.FindStringSubmatch(got.body); found != nil {
		s.callers["session"] = signer{found[1], html.UnescapeString(found[2]), found[3]}
	}
	if got.status >= 400 && s.w.store.Revision() != before {
		t.Errorf("%s: refused with %d, and something was stored", title, got.status)
	}
	for _, name := range []string{"Date", "X-Amzn-Requestid"} {
		if got.header.Get(name) == "" {
			t.Errorf("%s: the answer has no %s", title, name)
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %s is %q, want %q", title, name, value, want)
		}
	}
	return s.normalised(got)
}

// read turns a golden request into one to send.
func (s *story) read(t *testing.T, text string) request {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	words := strings.Fields(s.filled(lines[0], true))
	if len(words) < 3 {
		t.Fatalf("%q: CALLER METHOD PATH [SERVICE] are needed", lines[0])
	}
	in := request{as: s.caller(t, words[0]), method: words[1], path: words[2], service: s.service, header: http.Header{}}
	if len(words) > 3 {
		in.service = words[3]
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		in.header.Set(name, s.filled(value, false))
	}
	in.body = s.filled(strings.TrimSuffix(body, "\n"), false)
	if isQuery(in.service) && in.header.Get("Content-Type") == "" {
		in.body = form(in.body)
	}
	return in
}

// form encodes parameters that are given one a line.
func form(lines string) string {
	var pairs []string
	for _, line := range strings.Split(lines, "\n") {
		name, value, _ := strings.Cut(line, "=")
		pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value))
	}
	return strings.Join(pairs, "&")
}

func (s *story) caller(t *testing.T, name string) signer {
	t.Helper()
	if known, ok := s.callers[name]; ok {
		return known
	}
	switch name {
	case "agent": // one session for the story, which a revocation in it may end
		s.callers[name] = s.w.agent(t, s.account)
		return s.callers[name]
	case "connector":
		s.callers[name] = s.w.connector(t, s.account)
		return s.callers[name]
	case "pending":
		cluster, err := s.w.registry.Cluster(s.account, "joining")
		if err != nil {
			t.Fatal(err)
		}
		if cluster.Activation != nil { // kept, for what comes after it is used up
			s.callers[name] = signer{id: cluster.Activation.ID, secret: string(cluster.Activation.Secret)}
		}
		return s.callers[name]
	}
	return s.w.role(t, s.account, name)
}

// filled puts the values in the places of their {names}; in a request line, spaces inside braces do not divide.
func (s *story) filled(text string, line bool) string {
	for name, value := range s.values {
		if line {
			value = strings.ReplaceAll(value, " ", "%20")
		}
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

var answered = regexp.MustCompile(`<AccessKeyId>(\w+)</AccessKeyId><SecretAccessKey>([^<]+)</SecretAccessKey><SessionToken>([^<]+)</SessionToken>`)

var (
	secrets = regexp.MustCompile(`("(?:secretAccessKey|sessionToken|activationCode|signingKey)":"|<(?:SecretAccessKey|SessionToken)>)[^"<]+`)
	places  = regexp.MustCompile(`("revision":)[1-9]\d*`)
	tokens  = regexp.MustCompile(`("NextToken":")[^"]+`)
	percent = regexp.MustCompile(`(<PackedPolicySize>|\\"packedPolicySize\\":)\d+`)
	uuids   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// ids have one name for each value, so that an answer's id can be used in later requests.
	ids = map[string]*regexp.Regexp{
		"association": regexp.MustCompile(`\ba-[a-z0-9]{17}\b`),
		"cluster":     regexp.MustCompile(`\b[0-9a-f]{32}\b`),
		"role":        regexp.MustCompile(`\bAROA[A-Z2-7]{17}\b`),
		"policy":      regexp.MustCompile(`\bANPA[A-Z2-7]{17}\b`),
		"group":       regexp.MustCompile(`\bAGPA[A-Z2-7]{17}\b`),
		"user":        regexp.MustCompile(`\bAIDA[A-Z2-7]{17}\b`),
		"key":         regexp.MustCompile(`\bAKIA[A-Z2-7]{16}\b`),
		"session":     regexp.MustCompile(`\bASIA[A-Z2-7]{16}\b`),
		"activation":  regexp.MustCompile(`\bACTV[A-Z0-9]{16}\b`),
	}
)

// normalised writes an answer with names in the places of what differs from run to run.
func (s *story) normalised(got answer) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d %s\nContent-Type: %s\n", got.status, http.StatusText(got.status), got.header.Get("Content-Type"))
	for _, name := range []string{"X-Amzn-Errortype"} {
		if value := got.header.Get(name); value != "" {
			fmt.Fprintf(&out, "%s: %s\n", textproto.CanonicalMIMEHeaderKey(name), value)
		}
	}
	body := strings.ReplaceAll(got.body, got.header.Get("X-Amzn-Requestid"), "{request}")
	body = secrets.ReplaceAllString(body, "${1}{secret}")
	body = places.ReplaceAllString(body, `${1}"{now}"`)
	body = tokens.ReplaceAllString(body, "${1}{token}")
	body = percent.ReplaceAllString(body, "${1}{percent}")
	body = updateIDs.ReplaceAllStringFunc(body, s.keepUpdate)
	body = uuids.ReplaceAllString(body, "{uuid}")
	for _, name := range []string{"{dev}", "{other dev}", "{account}", "{other}", "{management}", "{epoch}", "{certificate data}"} {
		body = strings.ReplaceAll(body, s.values[name], name)
	}
	for _, kind := range []string{"association", "cluster", "role", "policy", "group", "user", "key", "session", "activation"} {
		body = ids[kind].ReplaceAllStringFunc(body, func(value string) string {
			if s.names[value] == "" {
				s.counts[kind]++
				s.name(fmt.Sprintf("{%s%d}", kind, s.counts[kind]), value)
			}
			return s.names[value]
		})
	}
	out.WriteString("\n" + indented(body) + "\n")
	return out.String()
}

// updateIDs are the ids of updates, which unlike other uuids are asked for in later requests.
var updateIDs = regexp.MustCompile(`"update":{"id":"[0-9a-f-]{36}"`)

func (s *story) keepUpdate(text string) string {
	s.counts["update"]++
	s.values[fmt.Sprintf("{update%d}", s.counts["update"])] = uuids.FindString(text)
	return text
}

// indented breaks an answer into lines that can be compared.
func indented(body string) string {
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(body), "", "  ") == nil {
		return pretty.String()
	}
	return strings.ReplaceAll(body, "><", ">\n<")
}
