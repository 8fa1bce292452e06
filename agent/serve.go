package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/openlanyard/lanyard/fault"
)

// Path is where SDKs ask.
const Path = "/v1/credentials"

// jsonType is exact: one SDK reads no error whose type has a charset behind it.
var jsonType = []string{"application/json"}

// Handler returns the credentials endpoint. Everything but GET on Path is refused; mount it elsewhere with
// http.StripPrefix.
func (a *Agent) Handler() http.Handler { return http.HandlerFunc(a.serve) }

func (a *Agent) serve(w http.ResponseWriter, r *http.Request) {
	start := a.now()
	found, how, err := a.answer(r, start)
	if err != nil {
		how = refused
		a.refuse(w, r, err)
	} else {
		h := w.Header()
		h["Content-Type"] = jsonType
		h["Content-Length"] = found.length
		_, _ = w.Write(found.body) // the pod is gone: there is nobody to tell
		a.metrics.ok.Inc()
	}
	a.metrics.seconds[how].Observe(a.now().Sub(start).Seconds())
}

var errElsewhere = fault.New(fault.NotFound, "nothing is here: GET %s answers", Path)

// answer is the whole protocol: what is asked, whether it is held, and otherwise what EKS Auth says. The cheap checks
// come first, and a token is only parsed when it is not held.
func (a *Agent) answer(r *http.Request, now time.Time) (answer, outcome, error) {
	if r.URL.Path != Path {
		return answer{}, refused, errElsewhere
	}
	if r.Method != http.MethodGet {
		return answer{}, refused, fault.New(fault.UnknownOperation, "only GET is answered")
	}
	// A page that a browser on the node shows could rebind its own name to this address.
	if !a.hosts[hostName(r.Host)] {
		return answer{}, refused, fault.New(fault.Unsupported, "the agent is not called %.80q: use the address that the environment names", r.Host)
	}
	tokens := r.Header["Authorization"]
	if len(tokens) != 1 || len(tokens[0]) > maxToken {
		return answer{}, refused, checkShape(strings.Join(tokens, ","))
	}
	token := tokens[0]
	k := keyOf(token)
	if found, ok := a.cache.find(k, now); ok {
		a.metrics.cacheHit.Inc()
		return found, hit, nil
	}
	if err := checkShape(token); err != nil {
		return answer{}, refused, err
	}
	if err := a.refusals.find(k, now); err != nil {
		return answer{}, refused, err
	}
	t, err := parseToken(token, a.upstream.wall.server(now))
	if err != nil {
		if wrong := a.upstream.wall.wrong(); wrong != nil && err != errClaims {
			err = wrong // the token may be as good as any
		}
		return answer{}, refused, err
	}
	t.expires = a.upstream.wall.local(t.expires)
	a.metrics.cacheMiss.Inc()
	// What is held is answered without a trace: there is nothing on the way. A parent that a pod names is not believed.
	ctx, span := a.tracer.Start(r.Context(), "GET "+Path, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	found, err := a.miss(ctx, k, t, peerAddress(r.RemoteAddr))
	return found, miss, err
}

// door is the one table from kind to status and code. Final refusals are 4xx: an SDK asks again for ten seconds after a
// 5xx. AWS's 400 for a refused role is kept.
var door = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.BadToken:         {http.StatusBadRequest, "InvalidTokenException"},
	fault.ExpiredToken:     {http.StatusBadRequest, "ExpiredTokenException"},
	fault.Denied:           {http.StatusBadRequest, "AccessDeniedException"},
	fault.Invalid:          {http.StatusBadRequest, "InvalidParameterException"},
	fault.BadState:         {http.StatusBadRequest, "InvalidRequestException"},
	fault.NotFound:         {http.StatusNotFound, "ResourceNotFoundException"},
	fault.UnknownOperation: {http.StatusMethodNotAllowed, "MethodNotAllowedException"},
	fault.Unsupported:      {http.StatusForbidden, "AccessDeniedException"},
	fault.Throttled:        {http.StatusTooManyRequests, "ThrottlingException"},
	fault.Unavailable:      {http.StatusServiceUnavailable, "ServiceUnavailable"},
}

// code names a kind as AWS does, for a metric's label.
func code(kind fault.Kind) string {
	if row, ok := door[kind]; ok {
		return row.code
	}
	return "Unknown"
}

// refuse writes an error that every SDK can read: some look for the small names, some for the large ones.
func (a *Agent) refuse(w http.ResponseWriter, r *http.Request, err error) {
	row, ok := door[fault.Of(err)]
	message := fault.Message(err)
	if !ok {
		row, message = door[fault.Unavailable], "the agent could not answer: try again"
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(struct { // four strings into memory: nothing can fail
		LowerCode    string `json:"code"`
		LowerMessage string `json:"message"`
		Code         string
		Message      string
	}{row.code, message, row.code, message})
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(body.Len())}
	if row.status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodGet)
	}
	w.WriteHeader(row.status)
	_, _ = io.Copy(w, &body) // the pod is gone: there is nobody to tell
	a.metrics.responses.WithLabelValues(strconv.Itoa(row.status)).Inc()

	// The probes ask elsewhere every few seconds, and a client that left is no event.
	if errors.Is(err, errElsewhere) || errors.Is(err, context.Canceled) {
		return
	}
	level := slog.LevelInfo
	if row.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if unlogged, ok := a.quiet.pass(a.now()); ok {
		a.log.LogAttrs(r.Context(), level, "refused", slog.String("peer", r.RemoteAddr),
			slog.Int("status", row.status), slog.String("code", row.code), slog.String("error", err.Error()),
			slog.Int("unlogged", unlogged))
	}
}

// hostName cuts a port and brackets off a Host header. AWS's common runtime writes an IPv6 address without brackets, and
// without a port behind it.
func hostName(host string) string {
	if strings.Count(host, ":") > 1 && host[0] != '[' {
		return host
	}
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		host = host[:colon]
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host
}

// peerAddress is the pod's: the gate counts by it. All that cannot be told apart count as one.
func peerAddress(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}
