package gateway

import (
	"net/http"
	"testing"
)

// The SDK for Java asks for x-amz-te: append-md5 whenever it reads an object. A store that knows nothing of it answers
// without, so it is taken and not forwarded; another unknown header of this kind still is refused.
func TestTransferEncodingIsTakenAndNotForwarded(t *testing.T) {
	w := newWorld(t)
	reader := w.session(t, ours, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::pay/*"}`)
	for name, want := range map[string]int{"X-Amz-Te": http.StatusOK, "X-Amz-Tea": http.StatusNotImplemented} {
		resp, text := w.send(t, reader, request{method: "GET", path: "/pay/a", header: header(name, "append-md5")})
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d: %s", name, resp.StatusCode, want, text)
		}
		for _, seen := range w.upstream.take() {
			if seen.header.Get(name) != "" {
				t.Errorf("the upstream saw %s", name)
			}
		}
	}
}
