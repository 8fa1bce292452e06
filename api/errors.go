package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// Code is how a door shows a kind of failure.
type Code struct {
	Name   string
	Status int
}

// Errors is a door's table from kind to code. A kind that it lacks shows as Internal, so a door's test holds its table
// against fault.Kinds.
type Errors map[fault.Kind]Code

// of returns the code and the text for the caller. Text of ours never leaves: the request id leads to it in the log.
func (t Errors) of(c *Call, err error) (Code, string) {
	kind := fault.Of(err)
	code, ok := t[kind]
	if c.Operation != nil {
		if own, has := c.Operation.Errors[kind]; has {
			code, ok = own, true
		}
	}
	if !ok || kind == fault.Internal {
		return t.internal(), fmt.Sprintf("The request %s failed because of an internal error.", c.ID)
	}
	return code, clip(fault.Message(err), maxMessage)
}

// Messages quote what was sent, which may be as long as a body: an answer and a line of the log stay short.
const (
	maxMessage = 2 << 10
	maxLogged  = 8 << 10 // a panic's stack is in it
)

func clip(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "") + "…"
}

func (t Errors) internal() Code {
	if code, ok := t[fault.Internal]; ok {
		return code
	}
	return Code{"InternalFailure", http.StatusInternalServerError}
}
