package keyring

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

type keyV1 struct {
	Scope  string    `json:"scope"`
	ID     string    `json:"id"` // hex
	State  State     `json:"state"`
	Since  time.Time `json:"since"`
	Secret []byte    `json:"secret"` // sealed under the master key
}

var keyCodec = store.Codec[*Key]{
	Version: 1,
	Encode: func(s *store.Sealer, key string, k *Key) ([]byte, error) {
		return json.Marshal(keyV1{k.Scope, hex.EncodeToString(k.ID[:]), k.State, k.Since, s.Seal("sealingkey/"+key, k.Secret[:])})
	},
	Decode: func(s *store.Sealer, key string, _ int, data []byte) (*Key, error) {
		var r keyV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		k := &Key{Scope: r.Scope, State: r.State, Since: r.Since}
		id, err := hex.DecodeString(r.ID)
		if err != nil || len(id) != len(session.KeyID{}) {
			return nil, fmt.Errorf("sealing key id %q: 16 hex digits are accepted", r.ID)
		}
		secret, err := s.Open("sealingkey/"+key, r.Secret)
		if err != nil {
			return nil, err
		}
		if len(secret) != len(k.Secret) {
			return nil, fmt.Errorf("sealing key %s has %d bytes, not %d", r.ID, len(secret), len(k.Secret))
		}
		copy(k.ID[:], id)
		copy(k.Secret[:], secret)
		return k, nil
	},
}

type replicaV1 struct {
	Seen     time.Time `json:"seen"`
	Revision int64     `json:"revision"`
}

var replicaCodec = store.Codec[*replica]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, r *replica) ([]byte, error) {
		return json.Marshal(replicaV1(*r))
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (*replica, error) {
		var r replicaV1
		err := json.Unmarshal(data, &r)
		return (*replica)(&r), err
	},
}
