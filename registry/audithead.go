package registry

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// AuditHead is where the chain of the audit log stood when it was last kept here: a log that was cut or replaced no longer
// leads to it.
type AuditHead struct {
	Seq  int64
	Hash [32]byte
}

// AuditWriter names whose chain a head is of.
type AuditWriter string

// Server is the writer of the server's own audit log.
const Server AuditWriter = "server"

// GatewayWriter is the writer of a gateway's audit log.
func GatewayWriter(account, name string) AuditWriter {
	return AuditWriter("gateway/" + account + "/" + name)
}

// AuditHead returns the head that was kept last; the zero value before the first.
func (r *Registry) AuditHead(of AuditWriter) (AuditHead, error) {
	head, _, err := r.auditHeads.Get(string(of))
	return head, err
}

// maxWriters bounds the heads of an account's gateways: how many are told at once, and what their names, which are its own to
// choose, may take of the state.
const maxWriters = 10_000

// WriterHead is a head with the writer whose chain it is of.
type WriterHead struct {
	Writer AuditWriter
	AuditHead
}

// AuditHeads returns the heads that were kept of the server's log and of those of an account's gateways.
func (r *Registry) AuditHeads(account string) ([]WriterHead, error) {
	var heads []WriterHead
	for _, prefix := range []AuditWriter{GatewayWriter(account, ""), Server} {
		kept, err := r.auditHeads.List(string(prefix), "", maxWriters)
		if err != nil {
			return nil, err
		}
		for _, h := range kept {
			heads = append(heads, WriterHead{AuditWriter(h.Key), h.Value})
		}
	}
	return heads, nil
}

// PutAuditHead keeps a head. The error is of kind Limit where the account has heads of too many gateways.
func (r *Registry) PutAuditHead(ctx context.Context, of AuditWriter, head AuditHead) error {
	_, known, err := r.auditHeads.Get(string(of))
	if err != nil {
		return err
	}
	if siblings := of[:strings.LastIndexByte(string(of), '/')+1]; !known && siblings != "" && r.auditHeads.Count(string(siblings)) >= maxWriters {
		return fault.New(fault.Limit, "The account has had the maximum of %d gateways by name.", maxWriters)
	}
	return r.store.Update(ctx, func(tx *store.Tx) error { return r.auditHeads.Put(tx, string(of), head) })
}

type auditHeadV1 struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

var auditHeadCodec = store.Codec[AuditHead]{
	Version: 1,
	Encode: func(_ *store.Sealer, _ string, h AuditHead) ([]byte, error) {
		return json.Marshal(auditHeadV1{h.Seq, hex.EncodeToString(h.Hash[:])})
	},
	Decode: func(_ *store.Sealer, _ string, _ int, data []byte) (AuditHead, error) {
		var r auditHeadV1
		if err := json.Unmarshal(data, &r); err != nil {
			return AuditHead{}, err
		}
		h := AuditHead{Seq: r.Seq}
		raw, err := hex.DecodeString(r.Hash)
		if err != nil || len(raw) != len(h.Hash) {
			return AuditHead{}, fmt.Errorf("audit head %q: 64 hex digits are accepted", r.Hash)
		}
		copy(h.Hash[:], raw)
		return h, nil
	},
}
