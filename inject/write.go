package inject

import "strings"

// A writer appends operations. They all add: nothing is removed, and nothing is tested for that the API server did not
// change itself since it asked.
type writer struct {
	to   []byte
	list bool // the value is wrapped, as its list does not exist
}

// escape makes a name a token of a JSON pointer (RFC 6901).
var escape = strings.NewReplacer("~", "~0", "/", "~1")

func (w *writer) op(path ...string) {
	if len(w.to) == 0 {
		w.raw("[")
	} else {
		w.raw(",")
	}
	w.raw(`{"op":"add","path":"`)
	for _, p := range path {
		w.raw(p)
	}
	w.raw(`","value":`)
}

// into begins the addition of an element to the list of so many at path, which is made where it has none.
func (w *writer) into(path string, count int, where string) {
	if w.list = count == 0; w.list {
		w.op(path)
		return
	}
	w.op(path, "/", where)
}

func (w *writer) value(v string) {
	if w.list {
		w.raw("[")
		w.raw(v)
		w.raw("]")
		return
	}
	w.raw(v)
}

// field sets one member of an object, which is made where there is none. The value is JSON.
func (w *writer) field(object string, exists bool, name, value string) {
	if exists {
		w.op(object, "/", escape.Replace(name))
		w.raw(value)
	} else {
		w.op(object)
		w.raw(`{"` + name + `":`)
		w.raw(value)
		w.raw("}")
	}
	w.end()
}

func (w *writer) raw(s string) { w.to = append(w.to, s...) }

func (w *writer) end() { w.raw("}"); w.list = false }

func (w *writer) patch() []byte {
	if len(w.to) == 0 {
		return nil
	}
	return append(w.to, ']')
}
