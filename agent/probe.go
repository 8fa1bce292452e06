package agent

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Probes answers GET /healthz and /readyz for a listener that pods do not reach. Healthy: each listener, named by its base
// URL such as http://169.254.170.23:80, answers as this agent does. Ready: the agent has its identity too.
func (a *Agent) Probes(listeners ...string) http.Handler {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: the listeners are this node's
	healthy := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		for _, listener := range listeners {
			if err := probe(ctx, client, listener); err != nil {
				return err
			}
		}
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		report(w, healthy(r.Context()))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		err := a.Ready()
		if err == nil {
			err = healthy(r.Context())
		}
		report(w, err)
	})
	return mux
}

// probe asks for a path that the agent does not have: its 404 proves the listener without touching the cache.
func probe(ctx context.Context, client *http.Client, listener string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, listener+"/", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusNotFound {
		return fmt.Errorf("%s answers with status %d", listener, response.StatusCode)
	}
	return nil
}

func report(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // the prober is gone: there is nobody to tell
}
