package keyring

import (
	"context"
	"encoding/json"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// Gateway is a running gateway that holds a copy of its account's opening keys.
type Gateway struct {
	Account, Name string
	Instance      string // drawn at its start: two processes of one name are two
	Seen          time.Time
	Revision      int64 // the store revision that its copy had reached; 0 if of another epoch
}

func (g *Gateway) key() string { return g.Account + "/" + g.Name + "/" + g.Instance }

// silent is how long a gateway's last note may be old before another process may have its name: notes are written every
// Heartbeat, and a report may be late.
const silent = 2 * Heartbeat

// maxGateways bounds what one account may take of the state, as names are its own to choose.
const maxGateways = 1000

// Confirm notes that a gateway lives and which revision its copy has. Such a note is worth a write when the revision might
// let a key be promoted, or every few seconds. The error is of kind Exists while another process has the name, of kind Limit where too many live.
func (k *Keyring) Confirm(ctx context.Context, g Gateway, epoch string) error {
	g.Seen = k.now()
	if epoch != k.store.Epoch() {
		g.Revision = 0
	}
	former, ok, err := k.gateways.Get(g.key())
	if err != nil {
		return err
	}
	if !ok || g.Seen.Sub(former.Seen) > silent { // one that was away for long has lost its right to the name
		if err := k.nameIsFree(g); err != nil {
			return err
		}
	}
	if !ok && k.gateways.Count(g.Account+"/") >= maxGateways {
		return fault.New(fault.Limit, "The account has the maximum of %d running gateways.", maxGateways)
	}
	if ok && g.Seen.Sub(former.Seen) < Heartbeat && !k.awaited(g.Account, former.Revision, g.Revision) {
		return nil
	}
	return k.store.Update(ctx, func(tx *store.Tx) error { return k.gateways.Put(tx, g.key(), &g) })
}

func (k *Keyring) nameIsFree(g Gateway) error {
	entries, err := k.gateways.List(g.Account+"/"+g.Name+"/", "", 0)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if age := g.Seen.Sub(e.Value.Seen); e.Value.Instance != g.Instance && age <= silent {
			return fault.New(fault.Exists, "another gateway named %q is running, last heard from %v ago: each needs a name of its own (--name); the name of one that died is free after %v",
				g.Name, max(0, age).Round(time.Second), silent)
		}
	}
	return nil
}

// Leave forgets a gateway that ends, so that its name is free at once.
func (k *Keyring) Leave(ctx context.Context, g Gateway) error {
	if _, ok, err := k.gateways.Get(g.key()); err != nil || !ok {
		return err
	}
	return k.store.Update(ctx, func(tx *store.Tx) error { return k.gateways.Delete(tx, g.key()) })
}

// awaited reports whether a next key of the account was made between the revisions.
func (k *Keyring) awaited(account string, from, to int64) bool {
	entries, err := k.keys.List(account+"/", "", 0)
	if err != nil {
		return true
	}
	for _, e := range entries {
		if e.Value.State == Next && from < e.Created && e.Created <= to {
			return true
		}
	}
	return false
}

// Gateways lists the account's gateways that were heard from lately, by name.
func (k *Keyring) Gateways(account string) ([]*Gateway, error) {
	entries, err := k.gateways.List(account+"/", "", 0)
	if err != nil {
		return nil, err
	}
	var live []*Gateway
	for _, e := range entries {
		if k.now().Sub(e.Value.Seen) <= Alive {
			live = append(live, e.Value)
		}
	}
	return live, nil
}

// reached is the lowest revision that a live gateway of each account has.
type reached map[string]int64

// know reports whether every live gateway that opens sessions with keys of the scope has the revision. A gateway has no
// say in the keys of another account.
func (r reached) know(scope string, revision int64) bool {
	lowest, some := r[scope]
	return !some || revision <= lowest
}

// knownToGateways returns what the live gateways have, and forgets those that are gone.
func (k *Keyring) knownToGateways(ctx context.Context) (reached, error) {
	entries, err := k.gateways.List("", "", 0)
	if err != nil {
		return nil, err
	}
	lowest := reached{}
	for _, e := range entries {
		g := e.Value
		if k.now().Sub(g.Seen) <= Alive {
			if former, some := lowest[g.Account]; !some || g.Revision < former {
				lowest[g.Account] = g.Revision
			}
			continue
		}
		if err := k.store.Update(ctx, func(tx *store.Tx) error { return k.gateways.Delete(tx, e.Key) }); err != nil {
			return nil, err
		}
	}
	return lowest, nil
}

type gatewayV1 struct {
	Account  string    `json:"account"`
	Name     string    `json:"name"`
	Instance string    `json:"instance"`
	Seen     time.Time `json:"seen"`
	Revision int64     `json:"revision"`
}

var gatewayCodec = store.Codec[*Gateway]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, g *Gateway) ([]byte, error) {
		return json.Marshal(gatewayV1(*g))
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*Gateway, error) {
		var r gatewayV1
		err := json.Unmarshal(data, &r)
		return (*Gateway)(&r), err
	},
}
