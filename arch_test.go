package lanyard_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/openlanyard/lanyard"

// A floor is where a room stands; imports go to lower floors only. Beside are the rooms of the node and the cluster,
// which stand on the words alone.
type floor int

const (
	papers    floor = iota // no code that another folder may import
	words                  // 1: what everything is named with
	mechanism              // 2: readable, testable, replaceable alone; knows no records
	records                // 3a: what operators have told us
	clusters               // 3b: the records that refer to other records
	decisions              // 4: who may become which role; who may make this request
	frame                  // 5: what every door does the same way
	doors                  // 6: one wire each
	practice               // 7: everything at once, on a laptop
	wiring                 // 8: programs
	beside                 // the node's and the cluster's side of the wire
)

func (f floor) String() string {
	return [...]string{"0", "1", "2", "3a", "3b", "4", "5", "6", "7", "8", "beside"}[f]
}

// A room may import the rooms of lower floors, unless only is set, and those named in also.
type room struct {
	floor floor
	only  []string // if not nil, these rooms and no others
	also  []string // beyond the lower floors
}

// rooms has a row for every folder with Go code.
var rooms = map[string]room{
	".":     {floor: papers},
	"arn":   {floor: words, also: []string{"fault"}}, // a name that does not parse is a fault
	"fault": {floor: words},
	"addon": {floor: words, also: []string{"fault"}}, // what may be configured is read on both sides of the wire

	"policy":   {floor: mechanism},
	"sigv4":    {floor: mechanism},
	"podtoken": {floor: mechanism},
	"oidc":     {floor: mechanism},
	"session":  {floor: mechanism},
	"audit":    {floor: mechanism},
	"store":    {floor: mechanism},
	"limit":    {floor: mechanism},
	"inject":   {floor: mechanism},
	"awssts":   {floor: mechanism},

	"directory": {floor: records},
	"keyring":   {floor: records},
	"trail":     {floor: records}, // of decisions: it reads the log and signs for the bucket
	"registry":  {floor: clusters},

	"broker": {floor: decisions},
	"access": {floor: decisions},

	"api": {floor: frame},

	"api/eks":        {floor: doors},
	"api/eksauth":    {floor: doors},
	"api/iam":        {floor: doors},
	"api/sts":        {floor: doors},
	"api/cloudtrail": {floor: doors},
	"api/lanyard":    {floor: doors},
	"gateway":        {floor: doors},
	"console":        {floor: doors},

	"dev": {floor: practice, also: []string{"agent"}},

	"agent":     {floor: beside, only: []string{"arn", "fault"}},
	"connector": {floor: beside, only: []string{"addon", "arn", "fault", "inject"}},
	// The manifests apart from the program: the CLI has them, and no Kubernetes libraries with them.
	"connector/install": {floor: beside, only: []string{"addon", "arn", "fault"}},

	"cmd/lanyard":           {floor: wiring, also: []string{"agent", "connector/install"}},
	"cmd/lanyard-agent":     {floor: wiring, only: []string{"agent", "arn", "fault"}},
	"cmd/lanyard-connector": {floor: wiring, only: []string{"connector", "arn", "fault"}},
	"bench":                 {floor: wiring, also: []string{"agent", "connector"}},
	"test/console":          {floor: wiring},
	"test/clients":          {floor: wiring, also: []string{"agent"}},
	"test/objects":          {floor: wiring},
	"test/policies":         {floor: wiring},
}

// besideRooms are the folders at the root that hold no room.
var besideRooms = []string{"api", "bench", "cmd", "deploy", "docs", "test", "tools"}

// emptyNames say nothing about what a folder decides or keeps.
var emptyNames = []string{"pkg", "internal", "util", "utils", "common", "types", "models", "helpers", "misc", "shared"}

// A library rule keeps a dependency where its weight or its power is wanted.
type libraryRule struct {
	prefix string
	in     []string // "cmd/" stands for every program
	why    string
}

var libraryRules = []libraryRule{
	{
		"go.etcd.io/",
		[]string{"store"},
		"the rooms above see typed records, never etcd",
	},
	{
		"k8s.io/",
		[]string{"connector", "cmd/"},
		"client-go would triple the agent and adds nothing to the control plane",
	},
	{
		"modernc.org/sqlite",
		[]string{"trail"},
		"the index is a cache of the audit, and no second place for state",
	},
	{
		"github.com/versity/",
		[]string{"dev"},
		"the embedded S3 server is a practice upstream, and has process-wide state",
	},
	{
		"github.com/aws/aws-sdk-go-v2/aws",
		[]string{"agent", "connector", "awssts", "dev", "cmd/", "bench", "test/"},
		"signatures are verified by our own code; the SDK is for those who call",
	},
	{
		"github.com/aws/",
		[]string{"connector", "awssts", "dev", "cmd/lanyard", "bench", "test/"},
		"service clients bring the default credential chain with them, which the agent must not have",
	},
}

// mayAnswerHTTP reports whether a room may write an HTTP answer. Below those a failure is an error with a kind.
func mayAnswerHTTP(name string) bool {
	return rooms[name].floor >= frame
}

// source is one Go file, parsed.
type source struct {
	path string // slash-separated, from the root
	dir  string // "." at the root
	test bool
	text string
	file *ast.File
	set  *token.FileSet
}

func (s source) line(p token.Pos) int { return s.set.Position(p).Line }

// tree lists the files of this module, as slash-separated paths: no build output, no clients, no module of its own.
func tree(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		if !d.IsDir() {
			if d.Type().IsRegular() {
				files = append(files, p)
			}
			return nil
		}
		if p == "." || p == ".ci" {
			return nil
		}
		if strings.HasPrefix(d.Name(), ".") || p == "bin" || p == "dist" || d.Name() == "node_modules" {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatalf("walking the module: %v", err)
	}
	return files
}

// sources parses every Go file of this module.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	files := tree(t)
	for _, p := range files {
		if !strings.HasSuffix(p, ".go") || inTestdata(p) || inOtherModule(p, files) {
			continue
		}
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parsing: %v", err)
			continue
		}
		all = append(all, source{
			path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), text: string(text), file: file, set: set,
		})
	}
	if len(all) < 3 {
		t.Fatalf("found %d Go files: the walk is broken", len(all))
	}
	return all
}

func inTestdata(p string) bool { return slices.Contains(strings.Split(p, "/"), "testdata") }

func inOtherModule(p string, files []string) bool {
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if slices.Contains(files, d+"/go.mod") {
			return true
		}
	}
	return false
}

// imports gives the paths that a file imports, each with its line.
func (s source) imports(yield func(importPath string, line int) bool) {
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil && !yield(p, s.line(spec.Pos())) {
			return
		}
	}
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for p, line := range s.imports {
			to, ours := strings.CutPrefix(p, module+"/")
			if !ours {
				continue
			}
			if why := refuses(s.dir, to); why != "" {
				t.Errorf("%s:%d: %s (floor %s) imports %s (floor %s): %s",
					s.path, line, s.dir, rooms[s.dir].floor, to, rooms[to].floor, why)
			}
		}
	}
}

// refuses says why a room may not import another one, or "".
func refuses(from, to string) string {
	a, b := rooms[from], rooms[to]
	switch {
	case slices.Contains(a.also, to):
		return ""
	case a.only != nil && slices.Contains(a.only, to):
		return ""
	case a.only != nil:
		return "of our rooms it may import " + strings.Join(a.only, ", ") + " alone"
	case b.floor == papers || b.floor == wiring:
		return "programs, and folders without a floor, are imported by nobody"
	case b.floor == beside:
		return "the control plane and the node's and cluster's side meet on the wire alone"
	case a.floor == b.floor:
		return "rooms of one floor do not know each other"
	case a.floor < b.floor:
		return "imports go down"
	}
	return ""
}

// TestRefuses holds the rule itself: for each import that is allowed, one like it that is not.
func TestRefuses(t *testing.T) {
	tests := []struct{ from, allowed, refused string }{
		{"arn", "fault", "policy"},
		{"policy", "arn", "sigv4"},
		{"directory", "store", "keyring"},
		{"keyring", "store", "registry"},
		{"registry", "directory", "broker"},
		{"broker", "registry", "access"},
		{"access", "directory", "broker"},
		{"api", "access", "api/eks"},
		{"api/eks", "api", "gateway"},
		{"gateway", "api", "api/sts"},
		{"dev", "agent", "connector"},
		{"agent", "fault", "sigv4"},
		{"connector", "inject", "agent"},
		{"cmd/lanyard", "dev", "cmd/lanyard-agent"},
		{"cmd/lanyard-agent", "agent", "dev"},
	}
	for _, tt := range tests {
		if why := refuses(tt.from, tt.allowed); why != "" {
			t.Errorf("%s importing %s is refused: %s", tt.from, tt.allowed, why)
		}
		if why := refuses(tt.from, tt.refused); why == "" {
			t.Errorf("%s importing %s is allowed", tt.from, tt.refused)
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for p, line := range s.imports {
			i := slices.IndexFunc(libraryRules, func(r libraryRule) bool {
				return p == r.prefix || strings.HasPrefix(p, strings.TrimSuffix(r.prefix, "/")+"/")
			})
			if i < 0 {
				continue
			}
			r := libraryRules[i]
			if !slices.ContainsFunc(r.in, func(in string) bool {
				return s.dir == in || strings.HasSuffix(in, "/") && strings.HasPrefix(s.dir, in)
			}) {
				t.Errorf("%s:%d: %s (floor %s) imports %s, which belongs in %s: %s",
					s.path, line, s.dir, rooms[s.dir].floor, p, strings.Join(r.in, ", "), r.why)
			}
		}
	}
}

func TestOnlyDoorsAnswerHTTP(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || mayAnswerHTTP(s.dir) {
			continue
		}
		local := ""
		for _, spec := range s.file.Imports {
			if spec.Path.Value == `"net/http"` {
				local = "http"
				if spec.Name != nil {
					local = spec.Name.Name
				}
			}
		}
		if local == "." {
			t.Errorf("%s: imports net/http with a dot, which hides who answers", s.path)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "ResponseWriter" {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && local != "" && x.Name == local {
				t.Errorf("%s:%d: %s (floor %s) sees an http.ResponseWriter: floors 5 and above, agent and connector answer; "+
					"the rooms below return errors", s.path, s.line(sel.Pos()), s.dir, rooms[s.dir].floor)
			}
			return true
		})
	}
}

func TestEveryFolderIsInTheTable(t *testing.T) {
	for _, s := range sources(t) {
		if _, ok := rooms[s.dir]; !ok {
			t.Errorf("%s: folder %s has no floor: give it a row in arch_test.go, or its code to the room that owns it",
				s.path, s.dir)
		}
	}
	for _, p := range tree(t) {
		for _, name := range strings.Split(path.Dir(p), "/") {
			if slices.Contains(emptyNames, name) && !inTestdata(p) {
				t.Errorf("%s: a folder called %q says nothing about what it decides or keeps", p, name)
			}
		}
		if top, _, deep := strings.Cut(p, "/"); deep && top != ".ci" {
			if _, ok := rooms[top]; !ok && !slices.Contains(besideRooms, top) {
				t.Errorf("%s: the root is the architecture, and %s is in neither of its tables", p, top)
			}
		}
	}
}

func TestEveryRoomSaysWhatItIs(t *testing.T) {
	comments, names := map[string]string{}, map[string]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		names[s.dir] = s.file.Name.Name
		if s.file.Doc != nil {
			comments[s.dir] += s.file.Doc.Text()
		}
	}
	for dir, name := range names {
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		if got := comments[dir]; !strings.HasPrefix(got, want) {
			t.Errorf("%s: package comment %q: want one that begins with %q", dir, firstLine(got), want)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// TestFilesAndFunctionsAreShort asks for a reason, in a comment that begins "Long:", where something is not.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	const fileLines, funcLines, reason = 500, 100, "// Long: "
	for _, s := range sources(t) {
		if ast.IsGenerated(s.file) {
			continue
		}
		if n := strings.Count(s.text, "\n"); n > fileLines && !strings.Contains(s.text, reason) {
			t.Errorf("%s has %d lines, over %d: divide it, or say why in a comment %q", s.path, n, fileLines, reason)
		}
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			start := fn.Pos()
			if fn.Doc != nil {
				start = fn.Doc.Pos()
			}
			n := s.line(fn.End()) - s.line(fn.Pos()) + 1
			text := s.text[s.set.Position(start).Offset:s.set.Position(fn.End()).Offset]
			if n > funcLines && !strings.Contains(text, reason) {
				t.Errorf("%s:%d: %s has %d lines, over %d: divide it, or say why in a comment %q",
					s.path, s.line(fn.Pos()), fn.Name.Name, n, funcLines, reason)
			}
		}
	}
}

// TestNothingNamesAMachine keeps out what is true on one machine only. The needles are put together here so that this
// file does not contain them.
func TestNothingNamesAMachine(t *testing.T) {
	needles := map[string][]string{ // needle -> files that may contain it
		"/wo" + "rk/":             nil,
		"../sha" + "red":          {".ci/run"},
		"proxy.gol" + "ang.org":   nil,
		"py" + "pi.org":           nil,
		"registry.np" + "mjs.org": nil,
		"repo1.mav" + "en.org":    nil,
		"deb.deb" + "ian.org":     nil,
	}
	files := tree(t)
	for _, p := range files {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for needle, in := range needles {
			if strings.Contains(string(text), needle) && !slices.Contains(in, p) {
				t.Errorf("%s contains %q, which another machine may not have", p, needle)
			}
		}
	}
	if !slices.Contains(files, ".ci/run") {
		t.Error("the walk did not see .ci/run")
	}
}
