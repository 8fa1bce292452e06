package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// What one principal may have in flight, and how long a client may take, where the configuration does not say.
const (
	defaultInFlight = 1024
	defaultIdle     = 30 * time.Second
)

// pace is how many bytes a client has to move within the time that it may be idle: a byte now and then is not enough.
const pace = 1 << 10

// paced reads a request's body and gives the client up that lets it wait: it may keep an upstream's connection, and is
// granted the time Idle for each piece of the body. The time that the upstream takes is not the client's.
type paced struct {
	body       io.Reader
	connection *http.ResponseController
	idle       time.Duration
	granted    time.Duration // of it, what is left for this piece
	came       int           // bytes of this piece

	mu   sync.Mutex
	over bool // the handler is: the connection may be at its next request
}

func newPaced(w http.ResponseWriter, r *http.Request, idle time.Duration) *paced {
	return &paced{body: r.Body, connection: http.NewResponseController(w), idle: idle, granted: idle}
}

// Read implements io.Reader. The Transport may still be in it when the handler returns.
func (p *paced) Read(b []byte) (int, error) {
	start := time.Now()
	if err := p.until(start.Add(p.granted)); err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	if p.came += n; p.came >= pace {
		p.came, p.granted = 0, p.idle
	} else {
		p.granted -= time.Since(start)
	}
	if errors.Is(err, io.EOF) {
		// At the end of the body net/http begins to watch the connection; a deadline would look like a client that is gone.
		_ = p.until(time.Time{})
	}
	return n, err
}

func (p *paced) until(deadline time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return http.ErrBodyReadAfterClose
	}
	_ = p.connection.SetReadDeadline(deadline) // what has no deadlines is no connection
	return nil
}

func (p *paced) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

// pacedWriter writes an answer's body and gives the client up that does not take it.
type pacedWriter struct {
	io.Writer
	connection *http.ResponseController
	idle       time.Duration
}

// Write implements io.Writer.
func (p *pacedWriter) Write(b []byte) (int, error) {
	_ = p.connection.SetWriteDeadline(time.Now().Add(p.idle)) // as in until
	return p.Writer.Write(b)
}

// flights counts what each principal, or the address of who is nobody yet, has under way to the upstream.
type flights struct {
	most int

	mu    sync.Mutex
	count map[string]int
}

// enter takes a place, which leave gives back; false when the principal has all of its places.
func (f *flights) enter(principal string) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count[principal] >= f.most {
		return nil, false
	}
	f.count[principal]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.count[principal]--; f.count[principal] == 0 {
			delete(f.count, principal)
		}
	}, true
}
