package gateway

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// documentBytes bounds a body that is read here, unless its schema says otherwise.
const documentBytes = 64 << 10

// namespace is that of every document of S3.
const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// schema says what a document may hold. What it does not name is refused: another reader of the same bytes, the upstream,
// might act on it. The upstream gets the document made anew from what was read, so that both read the same.
type schema struct {
	root     string
	paths    []string          // elements below the root, such as Tag/Key; a trailing * means that it may stand more than once
	most     int               // elements in all that may stand more than once
	bytes    int64             // 0: documentBytes
	optional bool              // no document at all is accepted
	only     map[string]string // the one value that is accepted at a path
}

func (s *schema) limit() int64 {
	if s.bytes == 0 {
		return documentBytes
	}
	return s.bytes
}

// element is a piece of XML without what nobody here needs: attributes, comments, and text between elements.
type element struct {
	name     string
	text     string // where there are no children
	children []*element
}

// child returns the first child of a name, or nil.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// value returns the text of the child of a name, or "".
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

// parse reads a document of the schema.
func (s *schema) parse(text []byte) (*element, error) {
	if len(bytes.TrimSpace(text)) == 0 && s.optional {
		return &element{name: s.root}, nil
	}
	root, err := readXML(text)
	if err != nil || root.name != s.root {
		return nil, fault.New(fault.Malformed, "the body is not a %s in XML", s.root)
	}
	repeated := 0
	return root, s.check(root, "", &repeated)
}

// check holds the children of an element against the schema.
func (s *schema) check(e *element, path string, repeated *int) error {
	seen := make([]string, 0, 8)
	for _, c := range e.children {
		at := strings.TrimPrefix(path+"/"+c.name, "/")
		switch many := slices.Contains(s.paths, at+"*"); {
		case many:
			if *repeated++; *repeated > s.most {
				return fault.New(fault.Malformed, "the %s has more than %d elements %s", s.root, s.most, c.name)
			}
		case !slices.Contains(s.paths, at):
			return fault.New(fault.Unsupported, "the element %.100q of %s is not supported", at, s.root)
		case slices.Contains(seen, c.name):
			return fault.New(fault.Malformed, "the element %q of %s stands twice", at, s.root)
		default:
			seen = append(seen, c.name)
		}
		if want, bound := s.only[at]; bound && c.text != want {
			return fault.New(fault.Unsupported, "%s %.100q is not supported: %s is accepted", c.name, c.text, want)
		}
		if err := s.check(c, at, repeated); err != nil {
			return err
		}
	}
	return nil
}

var errXML = errors.New("no document of S3")

const (
	maxDepth    = 8      // of nesting; a lifecycle rule needs five
	maxElements = 100000 // ten thousand parts have forty thousand
)

// readXML reads one element with all that is in it. It takes no document type, so no entities but XML's own, no comments, no
// encoding but UTF-8 and no namespace but S3's.
func readXML(text []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	r := xmlReader{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && r.root != nil && len(r.open) == 0 {
			return r.root, nil
		}
		if err != nil || !r.take(token) {
			return nil, errXML
		}
	}
}

// xmlReader builds the tree.
type xmlReader struct {
	root *element
	open []opened
	n    int // elements
}

type opened struct {
	*element
	text []byte
}

// take reports whether it took a token.
func (r *xmlReader) take(token xml.Token) bool {
	switch t := token.(type) {
	case xml.StartElement:
		r.n++
		second := r.root != nil && len(r.open) == 0
		foreign := t.Name.Space != "" && t.Name.Space != namespace
		if second || foreign || len(r.open) == maxDepth || r.n > maxElements || hasAttributes(t.Attr) {
			return false
		}
		e := &element{name: t.Name.Local}
		if r.root == nil {
			r.root = e
		} else {
			parent := r.open[len(r.open)-1]
			parent.children = append(parent.children, e)
		}
		r.open = append(r.open, opened{element: e})
	case xml.EndElement:
		last := r.open[len(r.open)-1]
		r.open = r.open[:len(r.open)-1]
		if len(last.children) > 0 {
			return len(bytes.TrimSpace(last.text)) == 0
		}
		last.element.text = string(last.text)
	case xml.CharData:
		if len(r.open) == 0 {
			return len(bytes.TrimSpace(t)) == 0
		}
		last := &r.open[len(r.open)-1]
		last.text = append(last.text, t...)
	case xml.ProcInst:
		return t.Target == "xml" && r.root == nil
	default:
		return false
	}
	return true
}

// hasAttributes reports whether an element has other attributes than the declarations of namespaces.
func hasAttributes(all []xml.Attr) bool {
	return slices.ContainsFunc(all, func(a xml.Attr) bool {
		return a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns")
	})
}

// write returns the element as a document of S3.
func (e *element) write() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e.append(&b, ` xmlns="`+namespace+`"`)
	return b.Bytes()
}

func (e *element) append(b *bytes.Buffer, attribute string) {
	b.WriteString("<" + e.name + attribute + ">")
	_ = xml.EscapeText(b, []byte(e.text)) // a buffer takes everything
	for _, c := range e.children {
		c.append(b, "")
	}
	b.WriteString("</" + e.name + ">")
}
