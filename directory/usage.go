package directory

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/store"
)

// Usage is what a role's credentials or an access key were last used for.
type Usage struct {
	At              time.Time // to the minute
	Service, Region string    // of the credential scope
}

const (
	// usageGrain is how much later a use has to be to be noticed: a request costs a look-up and no more.
	usageGrain = time.Minute
	// usagePause is how much later it has to be to be written.
	usagePause = 15 * time.Minute
	// usageBatch is how many are written at once.
	usageBatch = 100
)

// Used notes that a role's credentials or a user's access key signed a request, by the role's or the key's id. It is kept
// in memory; RunUsage writes it.
func (d *Directory) Used(id, service, region string) {
	now := d.now()
	if last, ok := d.used.Load(id); ok && now.Sub(last.(*Usage).At) < usageGrain {
		return
	}
	if len(region) > 64 { // whoever signs chooses it
		region = region[:64]
	}
	d.used.Store(id, &Usage{now.UTC().Truncate(usageGrain), service, region})
}

// Usage returns the last use by the id of a role or access key, as far as this replica knows; nil for none. What other
// replicas have seen is known once it is written.
func (d *Directory) Usage(id string) (*Usage, error) {
	written, ok, err := d.usage.Get(id)
	if err != nil {
		return nil, err
	}
	if seen, has := d.used.Load(id); has && (!ok || seen.(*Usage).At.After(written.At)) {
		return seen.(*Usage), nil
	}
	if !ok {
		return nil, nil
	}
	return written, nil
}

// RunUsage writes what was noted, each minute until ctx ends. report is told what went wrong.
func (d *Directory) RunUsage(ctx context.Context, report func(error)) {
	tick := time.NewTicker(usageGrain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := d.WriteUsage(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

// WriteUsage writes the uses that are a quarter of an hour later than what is written, and forgets those of what is gone.
func (d *Directory) WriteUsage(ctx context.Context) error {
	due := map[string]*Usage{}
	var failed error
	write := func() {
		if len(due) > 0 && failed == nil {
			failed = d.putUsage(ctx, due)
		}
		due = map[string]*Usage{}
	}
	d.used.Range(func(key, value any) bool {
		id, seen := key.(string), value.(*Usage)
		written, ok, err := d.usage.Get(id)
		switch {
		case err != nil:
			failed = err
		case !d.isUsable(id):
			d.used.CompareAndDelete(id, value)
		case !ok || seen.At.Sub(written.At) >= usagePause:
			due[id] = seen
		}
		if len(due) == usageBatch {
			write()
		}
		return failed == nil
	})
	write()
	return failed
}

func (d *Directory) putUsage(ctx context.Context, due map[string]*Usage) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		for id, seen := range due {
			written, ok, err := d.usage.Read(tx, id)
			if err != nil {
				return err
			}
			if ok && seen.At.Sub(written.At) < usagePause { // another replica was first
				continue
			}
			if err := d.usage.Put(tx, id, seen); err != nil {
				return err
			}
		}
		return nil
	})
}

// isUsable reports whether there is a role or an access key with the id.
func (d *Directory) isUsable(id string) bool {
	if len(d.rolesByID.Get(id)) > 0 {
		return true
	}
	_, ok, err := d.keys.Get(id)
	return ok && err == nil
}
