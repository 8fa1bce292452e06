package main

import (
	"context"
	"sync"
)

// tasks run beside the requests of a process until they are stopped.
type tasks struct {
	running sync.WaitGroup
	stop    []context.CancelFunc // in the order in which to call them
	failed  chan error           // a task that fails brings the process down: it is not to go on without its audit
}

// start runs a task. Those that were started last are stopped first.
func (t *tasks) start(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = append([]context.CancelFunc{cancel}, t.stop...)
	t.running.Go(func() {
		if err := run(ctx); err != nil {
			t.failed <- err
		}
	})
}

// end stops the tasks and waits for them.
func (t *tasks) end() {
	for _, stop := range t.stop {
		stop()
	}
	t.running.Wait()
}
