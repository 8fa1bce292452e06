// Package api is the frame that every door hangs in: it finds the door by the credential scope, authenticates, limits,
// audits and logs, so that an operation only adds what is its own
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html).
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/limit"
)

// Config is what the frame works with. The fields down to Log are needed.
type Config struct {
	Region     string
	Access     *access.Access
	Audit      *audit.Log
	Addresses  *limit.Rates // what one source address may ask, before anything is verified
	Principals *limit.Rates // what one principal may ask
	Gate       *limit.Gate  // how much runs at once, with a reserve for EKS Auth
	Ready      func() error // nil, or why this replica cannot serve
	Log        *slog.Logger

	Console       http.Handler          // of GET /console/, which needs no signature; nil: none
	BodyTimeout   time.Duration         // in which a body has to arrive that no door streams; 0: 10 s
	AnswerTimeout time.Duration         // in which an answer has to be made and taken that none streams; 0: 2 min
	Metrics       prometheus.Registerer // nil: none
	Now           func() time.Time      // nil: time.Now
}

// Frame is an http.Handler that serves all doors on one address.
type Frame struct {
	Config
	doors    map[string]*Door // by service of the credential scope
	unsigned map[string]*Door // by Action: what may be asked without a signature
	fallback *Door            // whose error shape an unsigned request of no known kind gets
	forms    *Door            // and an unsigned form of no known Action
	requests *prometheus.HistogramVec
	large    *limit.Turns // of the addresses that bodies over smallBody are read from

	streams    context.Context // done when streams are to end
	endStreams context.CancelFunc
}

// Door speaks one wire. Its operations never verify a signature themselves; a door with a Stream does everything itself.
type Door struct {
	Service  string   // of the credential scope: eks
	Source   string   // as the audit names it: eks.amazonaws.com
	Unsigned []string // actions that need no signature, by the Action of a form

	Operations []*Operation // all there are
	Routes     []Route      // a REST API's, of the operations in their order
	Unbuilt    []string     // what the service has besides
	Refusals   []Refusal    // those of them that are refused by name

	Find  func(c *Call) (*Operation, error)                                         // which operation a request is
	Reply func(w http.ResponseWriter, c *Call, out any) error                       // the answer in the door's shape
	Code  func(c *Call, err error) string                                           // what the door calls an error, for the audit as for the caller
	Fail  func(w http.ResponseWriter, c *Call, err error) (code string, status int) // an error in the door's shape

	// Stream is for S3, where bodies are not held in memory. What it returns are labels of a metric: names from the door's
	// tables, never from a request or from an upstream.
	Stream func(w http.ResponseWriter, r *http.Request) (operation, code string)

	read func(c *Call, rows []Member) (map[string]any, error) // what rows name of a request
	word func(all []failure) error                            // what is wrong with it, in the service's words
}

// New hangs the doors. The door named fallback gives its error shape to unsigned requests of no known kind.
// It panics without one of that name: such a program is broken.
func New(cfg Config, fallback string, doors ...*Door) *Frame {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.BodyTimeout == 0 {
		cfg.BodyTimeout = 10 * time.Second
	}
	if cfg.AnswerTimeout == 0 {
		cfg.AnswerTimeout = 2 * time.Minute
	}
	f := &Frame{Config: cfg, doors: map[string]*Door{}, unsigned: map[string]*Door{}, large: limit.NewTurns(largeBodies, largeBodies, largeOfOne)}
	for _, d := range doors {
		f.doors[d.Service] = d
		for _, action := range d.Unsigned {
			f.unsigned[action], f.forms = d, d
		}
	}
	if f.fallback = f.doors[fallback]; f.fallback == nil {
		panic("api: the fallback " + fallback + " is no door")
	}
	f.streams, f.endStreams = context.WithCancel(context.Background())
	f.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lanyard_request_seconds", Help: "Time to answer a request, by door, operation and error code.",
		Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5},
	}, []string{"door", "operation", "code"})
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(f.requests)
	}
	return f
}
