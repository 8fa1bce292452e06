package broker

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
)

// providerKeys remembers the keys that OIDC providers have told, and bounds what is asked of them: whoever knows the name of a role can
// make up tokens with unknown key ids.
type providerKeys struct {
	mu      sync.Mutex
	known   map[string]*knownProvider // by what could make the answer another one: the issuer and the thumbprints
	news    int64                     // how often any provider told something new
	waiting int                       // calls that wait for a provider, of all
}

// knownProvider is a provider of whom something is remembered, or who is being asked.
type knownProvider struct {
	set    podtoken.KeySet
	answer []byte        // what set was read from
	told   time.Time     // when it was told last; zero: never
	tried  time.Time     // when it was asked last
	failed error         // why it could not be, the last time
	flight chan struct{} // closed when it has been asked; nil: nobody asks
	used   time.Time
}

const (
	keysFresh     = 10 * time.Minute // then the provider is asked again
	keysStale     = time.Hour        // a list of this age is used no more, whether the provider answers or not
	providerPause = 10 * time.Second // between two questions to one provider
	maxProviders  = 1024             // that are remembered
	maxAsking     = 32               // calls that wait for providers, and keep a place that others need
)

// keysOf returns the keys of a provider that is no cluster. Those that were told after the moment `after` count alone; the zero
// time leaves it at keys that are not too old.
func (b *Broker) keysOf(ctx context.Context, p *directory.OIDCProvider, after time.Time) (podtoken.KeySet, error) {
	for {
		found, err := b.providers.find(p, b.now(), after)
		switch {
		case err != nil:
			return podtoken.KeySet{}, unreachable(err)
		case found.ask != nil:
			answer, err := b.ask(ctx, p)
			b.providers.tell(found.ask, answer, err, b.now())
		case found.wait != nil:
			select {
			case <-found.wait:
			case <-ctx.Done():
			}
			b.providers.leave()
			if err := ctx.Err(); err != nil {
				return podtoken.KeySet{}, unreachable(err)
			}
		default:
			return found.set, nil
		}
	}
}

// ask is not given up with the call that happens to ask: others wait for the answer.
func (b *Broker) ask(ctx context.Context, p *directory.OIDCProvider) ([]byte, error) {
	if b.OIDC == nil {
		return nil, errors.New("this server asks no issuers")
	}
	return b.OIDC.Keys(context.WithoutCancel(ctx), p.URL(), p.Thumbprints)
}

var (
	errBusy   = errors.New("too many calls wait for issuers")
	errPaused = errors.New("the issuer was asked a moment ago")
)

// found is what is to be done about a provider's keys.
type found struct {
	set  podtoken.KeySet // to use, unless
	ask  *knownProvider  // it is to be asked, and told what came of it; or
	wait chan struct{}   // somebody asks: look again when this is closed, and leave
}

func (s *providerKeys) find(p *directory.OIDCProvider, now, after time.Time) (found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.entry(p, now)
	age, paused := now.Sub(i.told), now.Sub(i.tried) < providerPause
	usable := !i.told.IsZero() && age < keysStale && !i.told.Before(after)
	full := s.waiting >= maxAsking
	switch {
	case usable && (age < keysFresh || paused || full || i.flight != nil):
		return found{set: i.set}, nil
	case full:
		return found{}, errBusy
	case i.flight != nil:
		s.waiting++
		return found{wait: i.flight}, nil
	case paused && i.failed != nil:
		return found{}, i.failed
	case paused:
		return found{}, errPaused
	}
	s.waiting++
	i.flight, i.tried = make(chan struct{}), now
	return found{ask: i}, nil
}

// entry finds or makes a provider. The one that was used least recently makes room, unless somebody asks it.
func (s *providerKeys) entry(p *directory.OIDCProvider, now time.Time) *knownProvider {
	key := strings.Join(slices.Insert(slices.Sorted(slices.Values(p.Thumbprints)), 0, p.Issuer), " ")
	i := s.known[key]
	if i == nil {
		if s.known == nil {
			s.known = map[string]*knownProvider{}
		}
		if len(s.known) >= maxProviders {
			oldest := ""
			for k, o := range s.known {
				if o.flight == nil && (oldest == "" || o.used.Before(s.known[oldest].used)) {
					oldest = k
				}
			}
			delete(s.known, oldest)
		}
		i = &knownProvider{set: podtoken.KeySet{Cluster: "oidc " + key, Issuers: []string{p.URL()}}}
		s.known[key] = i
	}
	i.used = now
	return i
}

// tell takes an answer. Keys that are the same as before keep their generation, and with it what was verified.
func (s *providerKeys) tell(i *knownProvider, answer []byte, err error, now time.Time) {
	var keys []podtoken.Key
	changed := i.answer == nil || !bytes.Equal(answer, i.answer) // only who ends the flight writes it
	if err == nil && changed {
		keys, err = podtoken.ParseIssuerKeys(answer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.failed = err; err == nil {
		if changed {
			s.news++
			i.set.Keys, i.set.Generation, i.answer = keys, s.news, answer
		}
		i.told = i.tried // when it was asked: a key may have come between that and the answer
	}
	i.tried = now
	close(i.flight)
	i.flight = nil
	s.waiting--
}

func (s *providerKeys) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// unreachable is told in STS's words; why it is so goes to the log.
func unreachable(cause error) error {
	return fault.Hide(fault.IssuerUnreachable, cause, "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
}
