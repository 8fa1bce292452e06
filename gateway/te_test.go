package gateway

import (
	"net/http"
	"testing"
)

// The SDK for Java asks for x-amz-te: append-md5 whenever it reads an object, and states the checksum of its empty body; that
// for C++ states the version of S3. A store that knows nothing of them answers without, so they are taken and not
// forwarded; another unknown header of this kind still is refused.
func TestHeadersOfSDKsAreTakenAndNotForwarded(t *testing.T) {
	w := newWorld(t)
	reader := w.session(t, ours, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::pay/*"}`)
	for name, want := range map[string]int{
		"X-Amz-Te": http.StatusOK, "X-Amz-Checksum-Crc32": http.StatusOK, "X-Amz-Api-Version": http.StatusOK,
		"X-Amz-Tea": http.StatusNotImplemented, "X-Amz-Checksum-Crc33": http.StatusNotImplemented, "X-Amz-Api": http.StatusNotImplemented,
	} {
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
