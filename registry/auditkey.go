package registry

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/openlanyard/lanyard/store"
)

// auditKeyName is the only key of its table.
const auditKeyName = "digests"

// EnsureAuditKey makes the installation's key for digests of audit logs, once and for good: who noted its public half can tell
// a digest for as long as there are digests.
func (r *Registry) EnsureAuditKey(ctx context.Context) error {
	return r.store.Update(ctx, func(tx *store.Tx) error {
		if _, ok, err := r.auditKeys.Read(tx, auditKeyName); ok || err != nil {
			return err
		}
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		return r.auditKeys.Put(tx, auditKeyName, private)
	})
}

// AuditKey returns the public half; nil before it was made.
func (r *Registry) AuditKey() (ed25519.PublicKey, error) {
	private, ok, err := r.auditKeys.Get(auditKeyName)
	if !ok || err != nil {
		return nil, err
	}
	return private.Public().(ed25519.PublicKey), nil
}

// SignDigest signs the digest of a log. The caller has held that it is of who asks.
func (r *Registry) SignDigest(digest []byte) ([]byte, error) {
	private, ok, err := r.auditKeys.Get(auditKeyName)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("there is no key for digests")
	}
	return ed25519.Sign(private, digest), nil
}

type auditKeyV1 struct {
	Seed []byte `json:"seed"` // sealed
}

var auditKeyCodec = store.Codec[ed25519.PrivateKey]{
	Version: 1,
	Encode: func(s *store.Sealer, key string, k ed25519.PrivateKey) ([]byte, error) {
		return json.Marshal(auditKeyV1{s.Seal("auditkey/"+key, k.Seed())})
	},
	Decode: func(s *store.Sealer, key string, _ int, data []byte) (ed25519.PrivateKey, error) {
		var r auditKeyV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		seed, err := s.Open("auditkey/"+key, r.Seed)
		if err != nil {
			return nil, err
		}
		if len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("audit key of %d bytes: %d are accepted", len(seed), ed25519.SeedSize)
		}
		return ed25519.NewKeyFromSeed(seed), nil
	},
}
