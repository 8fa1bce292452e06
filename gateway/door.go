package gateway

import (
	"net/http"

	"github.com/openlanyard/lanyard/api"
)

// Door hangs the gateway into a frame, beside doors of other services on the same address. Bodies stream, so the gateway
// authenticates and audits by itself; the frame's own refusals get S3's shape.
func (g *Gateway) Door() *api.Door {
	return &api.Door{
		Service: "s3", Source: "s3.amazonaws.com", Stream: g.answer,
		Code: func(_ *api.Call, err error) string {
			known, _ := codeOf(err)
			return known.name
		},
		Fail: func(w http.ResponseWriter, c *api.Call, err error) (string, int) {
			return WriteError(w, c.Request, c.ID, err)
		},
	}
}
