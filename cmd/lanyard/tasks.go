package main

import (
	"context"
	"slices"
)

// tasks run beside the requests of a process until they are stopped.
type tasks struct {
	running []task
	failed  chan error // a task that fails brings the process down: it is not to go on without its audit
}

type task struct {
	stop context.CancelFunc
	done chan struct{}
}

// start runs a task. It may count on those that were started before it until it ends.
func (t *tasks) start(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.running = append(t.running, task{cancel, done})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.failed <- err
		}
	}()
}

// end stops the tasks one by one, those that were started last first, and waits for each before it stops the next.
func (t *tasks) end() {
	for _, task := range slices.Backward(t.running) {
		task.stop()
		<-task.done
	}
}
