package lanyard

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

const (
	// heartbeat is how often a line is sent when nothing happens, so that a connection that is dead on one side is
	// noticed on the other.
	heartbeat = 5 * time.Second

	// maxHeld is how many ids a watcher may name: as many as a cluster has associations, twice.
	maxHeld = 10_000
)

// invalidationsRequest says what the watcher knows already: the position of the last line that it read, and the ids of the
// associations and roles that it still holds something of.
type invalidationsRequest struct {
	Epoch        string   `json:"epoch"`
	Revision     int64    `json:"revision"`
	Associations []string `json:"associations"`
	Roles        []string `json:"roles"`
	Once         bool     `json:"once"` // one line, and the answer ends
}

// invalidationsLine is what has happened up to a position. With recheck everything held is to be asked about again.
type invalidationsLine struct {
	Epoch         string         `json:"epoch"`
	Revision      int64          `json:"revision"`
	Recheck       bool           `json:"recheck"`
	Invalidations []invalidation `json:"invalidations"`
}

type invalidation struct {
	Kind  registry.TargetKind `json:"kind"`
	Value string              `json:"value"`
}

func fromBatch(b *registry.Batch) invalidationsLine {
	line := invalidationsLine{b.Epoch, b.Revision, b.Recheck, make([]invalidation, len(b.Invalidations))}
	for i, in := range b.Invalidations {
		line.Invalidations[i] = invalidation(in)
	}
	return line
}

// watchInvalidations tells the agents of a cluster which credentials they are not to hand out again.
func (d *door) watchInvalidations(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[invalidationsRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "epoch": in.Epoch, "revision": in.Revision}
	resource := arn.Cluster(c.Region(), c.Caller.Account, name).String()
	if err := c.Authorize("lanyard:WatchInvalidations", resource); err != nil {
		return nil, err
	}
	if len(in.Associations) > maxHeld || len(in.Roles) > maxHeld {
		return nil, fault.New(fault.Invalid, "associations and roles: at most %d ids of each are accepted; without an epoch everything is to be asked about again", maxHeld)
	}
	cluster, err := d.registry.Cluster(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	watch := registry.Watch{
		Cluster: cluster, Caller: cluster.ID + " " + c.Caller.RateKey(),
		After: registry.Position{Epoch: in.Epoch, Revision: in.Revision}, Associations: in.Associations, Roles: in.Roles,
	}
	if in.Once {
		watcher, first, err := d.registry.Watch(ctx, watch)
		if err != nil {
			return nil, err
		}
		watcher.Close()
		return fromBatch(first), nil
	}
	return api.Streaming(func(ctx context.Context, out *api.Lines) error {
		watcher, first, err := d.registry.Watch(ctx, watch)
		if err != nil {
			return err
		}
		defer watcher.Close()
		if err := out.Line(fromBatch(first)); err != nil {
			return err
		}
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		s := stream{
			batches: watcher.Batches, position: d.registry.Position, write: out.Line,
			may: func() error { return c.Again("lanyard:WatchInvalidations", resource) },
		}
		if c.Caller.Session != nil && c.Caller.Session.Origin != nil {
			s.node = c.Caller.Session.Origin.NodeName
		}
		return s.follow(ctx, tick.C)
	}), nil
}

// stream is one watcher's answer after its first line.
type stream struct {
	batches  <-chan *registry.Batch
	position func() registry.Position
	may      func() error // whether the caller may still be told
	write    func(any) error
	node     string // the caller's own
}

// follow writes until the watcher is cut off, the caller may not be told any more, or ctx ends.
func (s *stream) follow(ctx context.Context, beats <-chan time.Time) error {
	for {
		var b *registry.Batch
		open := true
		select {
		case <-ctx.Done():
			return nil
		case b, open = <-s.batches:
			if open && !b.Resolve() {
				continue // of roles that nothing here leads to
			}
		case <-beats:
			// In this order: what waits, or that the watcher was cut off, comes before the position that includes it.
			now := s.position()
			select {
			case b, open = <-s.batches:
				if open {
					b.Resolve()
				}
			default:
				b = &registry.Batch{Position: now}
			}
		}
		if !open {
			return nil
		}
		if s.may() != nil {
			return s.lastWords(b)
		}
		if err := s.write(fromBatch(b)); err != nil {
			return err
		}
	}
}

// lastWords tells a caller whose own session has been ended why, where that ends what it holds too, and nothing else.
func (s *stream) lastWords(b *registry.Batch) error {
	last := registry.Batch{Position: b.Position}
	for _, i := range b.Invalidations {
		if i.Kind == registry.ByCluster || i.Kind == registry.ByNode && i.Value == s.node {
			last.Invalidations = append(last.Invalidations, i)
		}
	}
	if len(last.Invalidations) == 0 {
		return nil
	}
	return s.write(fromBatch(&last))
}
