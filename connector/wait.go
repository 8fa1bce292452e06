package connector

import "context"

// wait returns when a list has come, or ctx is done.
func (a *Associations) wait(ctx context.Context) error {
	for {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		if a.Ready() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
