package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/store"
)

func newAudit() *cobra.Command {
	cmd := group("audit", "The record of every decision")
	cmd.AddCommand(newAuditVerify(), newAuditHeads(), newAuditQuery())
	return cmd
}

// auditHeads is the answer of DescribeAuditHeads, and a file of heads that was copied from it.
type auditHeads struct {
	Heads     []writerHead `json:"heads"`
	DigestKey string       `json:"digestKey"` // in PEM form
}

// trust is what the log of a writer is held against.
func (a auditHeads) trust(writer registry.AuditWriter) (audit.Trust, error) {
	head, err := a.of(writer)
	if err != nil {
		return audit.Trust{}, err
	}
	key, err := parseDigestKey(a.DigestKey)
	return audit.Trust{Head: head, Writer: string(writer), Key: key}, err
}

func parseDigestKey(text string) (ed25519.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	if block, _ := pem.Decode([]byte(text)); block != nil {
		if parsed, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if key, ok := parsed.(ed25519.PublicKey); ok {
				return key, nil
			}
		}
	}
	return nil, fault.New(fault.Invalid, "the digest key is no Ed25519 key in PEM form")
}

func digestKeyText(key ed25519.PublicKey) (string, error) {
	if key == nil {
		return "", nil
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}

type writerHead struct {
	Writer registry.AuditWriter `json:"writer"`
	auditHead
}

// of returns the head of a writer's chain.
func (a auditHeads) of(writer registry.AuditWriter) (audit.Head, error) {
	for _, h := range a.Heads {
		if h.Writer != writer {
			continue
		}
		head := audit.Head{Seq: h.Seq}
		raw, err := hex.DecodeString(h.Hash)
		if err != nil || len(raw) != len(head.Hash) || h.Seq < 1 {
			return audit.Head{}, fault.New(fault.Invalid, "the head of %s is no record's number and SHA-256 in hexadecimal", writer)
		}
		copy(head.Hash[:], raw)
		return head, nil
	}
	return audit.Head{}, fault.New(fault.NotFound, "no head of the audit log of %s was kept", writer)
}

func newAuditHeads() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "heads",
		Short: "Print where the audit logs stand, for a copy to keep elsewhere and to verify with",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := auditClient(cmd)
			if err != nil {
				return err
			}
			heads, err := c.auditHeads(cmd.Context())
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(heads, "", "  ")
			if err != nil {
				return err
			}
			return printf(cmd, "%s\n", text)
		},
	}
	dirFlag(cmd)
	return cmd
}

func (c *client) auditHeads(ctx context.Context) (heads auditHeads, err error) {
	err = c.call(ctx, "lanyard", http.MethodGet, "/lanyard/v1/audit/heads", nil, &heads)
	return heads, err
}

// auditClient is newClient, but that a server's folder has no address in it: such a server is called by the environment.
func auditClient(cmd *cobra.Command) (*client, error) {
	dir := cmd.Flag("dir")
	if _, err := os.Stat(filepath.Join(dir.Value.String(), configFile)); err == nil {
		dir.Changed = false
	}
	return newClient(cmd)
}

type auditVerify struct {
	logs, heads string
	writer      string
}

func newAuditVerify() *cobra.Command {
	var v auditVerify
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nothing in an audit log up to its last kept head was changed, dropped or reordered",
		Long: "Hold an audit log against the head of its chain that was kept in the state each second. --dir is the folder of a server or of lanyard dev:\n" +
			"while that is stopped, the head is read from its state; otherwise it is asked for, with the environment's credentials where it is a server's.\n" +
			"--logs is a folder of the log alone, such as a copy or a gateway's. What was written within the last second is held against the chain alone.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(cmd) },
	}
	dirFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&v.logs, "logs", "", "folder of the log; empty: that of --dir")
	f.StringVar(&v.heads, "heads", "", "file with what lanyard audit heads printed")
	f.StringVar(&v.writer, "writer", string(registry.Server), "whose log it is: server, or gateway/ACCOUNT/NAME")
	return cmd
}

func (v *auditVerify) run(cmd *cobra.Command) error {
	dir := cmd.Flag("dir").Value.String()
	heads, err := v.known(cmd, dir)
	if err != nil {
		return err
	}
	trust, err := heads.trust(registry.AuditWriter(v.writer))
	if err != nil {
		return err
	}
	found, err := audit.Check(firstOf(v.logs, filepath.Join(dir, auditFolder)), trust)
	if err != nil {
		return err
	}
	if err := printf(cmd, "records %d to %d are as they were written: none was changed, dropped or reordered\n", found.First, found.Proven); err != nil {
		return err
	}
	if found.Signed > 0 {
		if err := printf(cmd, "records up to %d are in segments with signed digests\n", found.Signed); err != nil {
			return err
		}
	}
	open := found.Last.Seq - found.Proven
	switch {
	case open > 0 || found.Torn > 0:
		return printf(cmd, "the open second holds %d records more and %d bytes of one that is not whole: no kept head vouches for them yet\n", open, found.Torn)
	default:
		return printf(cmd, "the open second is empty\n")
	}
}

// known returns the heads: of the file that was copied; of the state of a server that is stopped; of the running one.
func (v *auditVerify) known(cmd *cobra.Command, dir string) (heads auditHeads, err error) {
	if v.heads != "" {
		text, err := os.ReadFile(v.heads)
		if err != nil {
			return heads, err
		}
		if err := json.Unmarshal(text, &heads); err != nil {
			return heads, fault.New(fault.Invalid, "%s: what lanyard audit heads prints is accepted: %w", v.heads, err)
		}
		return heads, nil
	}
	_, err = os.Stat(filepath.Join(dir, stateFolder))
	if v.logs == "" && err == nil {
		heads, err = stoppedHeads(cmd.Context(), dir)
		if !fault.Is(err, fault.BadState) { // which says that a process has it
			return heads, err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return heads, err
	}
	c, err := auditClient(cmd)
	if err != nil {
		return heads, err
	}
	return c.auditHeads(cmd.Context())
}

// stoppedHeads reads the server's head from the state that no process has.
func stoppedHeads(ctx context.Context, dir string) (heads auditHeads, err error) {
	keepFilesPrivate()
	state := filepath.Join(dir, stateFolder)
	master, err := readMasterKey(filepath.Join(dir, masterKeyFile), state)
	if err != nil {
		return heads, err
	}
	st, err := store.Open(ctx, store.Config{Dir: state, MasterKey: master, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return heads, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	reg := registry.New(st, directory.New(st, nil), registry.Config{Log: slog.New(slog.DiscardHandler)})
	if err := st.Start(ctx); err != nil {
		return heads, fmt.Errorf("reading the state: %w", err)
	}
	kept, err := reg.AuditHead(registry.Server)
	if err != nil || kept == (registry.AuditHead{}) {
		return heads, err
	}
	heads.Heads = []writerHead{{registry.Server, headOf(audit.Head(kept))}}
	key, err := reg.AuditKey()
	if err == nil {
		heads.DigestKey, err = digestKeyText(key)
	}
	return heads, err
}
