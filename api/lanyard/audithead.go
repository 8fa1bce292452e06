package lanyard

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
)

type auditHeadsResponse struct {
	Heads     []auditHead `json:"heads"`
	DigestKey string      `json:"digestKey"` // in PEM form
}

// auditHead is where a writer's chain stood when it was last kept.
type auditHead struct {
	Writer string `json:"writer"` // server, or gateway/ACCOUNT/NAME
	Seq    int64  `json:"auditSeq"`
	Hash   string `json:"auditHash"`
}

// describeAuditHeads answers what the server's log and those of the account's gateways are held against: the heads, and the key
// of their digests. Neither tells of what a log holds.
func (d *door) describeAuditHeads(_ context.Context, c *api.Call) (any, error) {
	resource := arn.ARN{Service: "lanyard", Region: c.Region(), Account: c.Caller.Account, Resource: "audit/*"}
	if err := c.Authorize("lanyard:DescribeAudit", resource.String()); err != nil {
		return nil, err
	}
	kept, err := d.registry.AuditHeads(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	key, err := d.registry.AuditKey()
	if err != nil {
		return nil, err
	}
	out := auditHeadsResponse{Heads: []auditHead{}}
	if key != nil {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		out.DigestKey = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	for _, h := range kept {
		out.Heads = append(out.Heads, auditHead{string(h.Writer), h.Seq, hex.EncodeToString(h.Hash[:])})
	}
	return out, nil
}
