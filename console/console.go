// Package console serves the console: files that are the same for everybody and hold nothing, since the page signs its
// calls of the public API in the browser (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html).
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Prefix is the path of everything here.
const Prefix = "/console/"

// built is what console/build made, each file gzipped; without a build it holds a .gitignore.
//
//go:embed all:assets
var built embed.FS

// policy lets the page load and call what is on its own address and nothing else. The components have their fonts in
// their style sheet. No form leaves the page, and no other page frames it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self' data:; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// kinds are the files that a build has.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json", ".woff2": "font/woff2",
	".txt": "text/plain; charset=utf-8",
}

const missing = "This program was built without the console. Install Node.js 20.19 or 22.12 or newer with npm, and build it again:\n\n    make build\n"

// file is one of the build.
type file struct {
	gzipped  []byte
	unpacked func() []byte // for who takes no gzip; it works once, since nobody has to sign to ask
	kind     string
	tag      string // of its content
	lasting  bool   // its name changes with its content
}

// Console is an http.Handler of the paths below Prefix. It looks at no file system: what is not in the table is not there.
type Console struct{ files map[string]file }

// New reads the build in this program. It panics where that is not one: such a program is broken.
func New() *Console {
	folder, err := fs.Sub(built, "assets")
	if err != nil {
		panic(err)
	}
	c, err := read(folder)
	if err != nil {
		panic(err)
	}
	return c
}

func read(build fs.FS) (*Console, error) {
	c := &Console{files: map[string]file{}}
	err := fs.WalkDir(build, ".", func(p string, d fs.DirEntry, err error) error {
		name, gzipped := strings.CutSuffix(p, ".gz")
		if err != nil || d.IsDir() || !gzipped {
			return err
		}
		f := file{kind: kinds[path.Ext(name)], lasting: strings.HasPrefix(name, "hashed/")}
		if f.kind == "" {
			return fmt.Errorf("the console's build has %s, whose kind is not known", name)
		}
		if f.gzipped, err = fs.ReadFile(build, p); err != nil {
			return err
		}
		f.unpacked = sync.OnceValue(func() []byte { return unpack(f.gzipped) })
		sum := sha256.Sum256(f.gzipped)
		f.tag = `"` + hex.EncodeToString(sum[:8]) + `"`
		c.files[name] = f
		return nil
	})
	return c, err
}

// Built reports whether there is a console, or only the advice how to get it.
func (c *Console) Built() bool { return len(c.files) > 0 }

// ServeHTTP answers GET and HEAD. A path is looked up as it was sent: no spelling of another one leads to a file.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.URL.EscapedPath()+"/" == Prefix {
		http.Redirect(w, r, Prefix, http.StatusPermanentRedirect)
		return
	}
	name, ours := strings.CutPrefix(r.URL.EscapedPath(), Prefix)
	if name == "" {
		name = "index.html"
	}
	f, found := c.files[name]
	switch {
	case !c.Built():
		plain(w, r, missing)
	case !ours || !found:
		plain(w, r, "not found\n")
	default:
		f.serve(w, r)
	}
}

func plain(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", kinds[".txt"])
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, text) // who went away needs no answer
	}
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if f.lasting {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), f.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.gzipped
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
	} else {
		body = f.unpacked()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who went away needs no answer
	}
}

// unpack returns what there is of a file: where that is not all, the build is broken, and its test says so.
func unpack(gzipped []byte) []byte {
	from, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(from)
	return text
}

// takesGzip reads an Accept-Encoding (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3) as far as gzip goes.
func takesGzip(accepted string) bool {
	for part := range strings.SplitSeq(accepted, ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}
