package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	digestPrefix    = "digest-"
	digestSuffix    = ".json"
	signatureSuffix = ".sig"
	digestVersion   = 1
)

// digest vouches for one segment, and by its link to the one before for all of them, as CloudTrail's digest files do
// (https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html). Its
// signature is in a file beside it, of the very bytes, so that other tools can check it too.
type digest struct {
	Version int       `json:"digestVersion"`
	Writer  string    `json:"writer"`
	Segment string    `json:"segment"` // the name that it has without packing
	Size    int64     `json:"size"`    // likewise
	SHA256  string    `json:"sha256"`  // likewise
	First   int64     `json:"firstRecord"`
	Last    int64     `json:"lastRecord"`
	Head    string    `json:"lastRecordSha256"`
	Oldest  int64     `json:"oldestRecord"` // those before it were removed by retention
	Time    time.Time `json:"digestTime"`

	// The digest before this one; nothing in the first.
	Previous          string `json:"previousDigest,omitempty"`
	PreviousSHA256    string `json:"previousDigestSha256,omitempty"`
	PreviousSignature string `json:"previousDigestSignature,omitempty"`
}

func digestName(first int64) string {
	return fmt.Sprintf("%s%019d%s", digestPrefix, first, digestSuffix)
}

func signatureName(digestName string) string {
	return strings.TrimSuffix(digestName, digestSuffix) + signatureSuffix
}

// DigestWriter returns whose digest a text is, for who signs it on behalf of another process. The text has to be as a log writes
// it: of two members of a name, or of one in other letters, another tool would take another writer.
func DigestWriter(text []byte) (string, error) {
	d, err := parseDigest(text)
	if err != nil {
		return "", err
	}
	if own, err := d.encode(); err != nil || !bytes.Equal(own, text) {
		return "", fault.New(fault.Invalid, "no digest as a log writes it")
	}
	return d.Writer, nil
}

func (d *digest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

func parseDigest(text []byte) (d digest, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || d.Version != digestVersion || decoder.More() {
		return d, fault.New(fault.Invalid, "no digest of version %d", digestVersion)
	}
	return d, nil
}

// sealed is a digest as it lies in the folder.
type sealed struct {
	digest
	name      string
	text      []byte
	signature []byte
}

// readDigests reads the digests of a folder in the chain's order. One whose text goes meanwhile is left out, as if it had gone
// before: retention removes the oldest, and of any other the one that follows it tells.
func readDigests(dir string) ([]sealed, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the audit folder: %w", err)
	}
	var all []sealed
	for _, entry := range entries { // sorted by name
		s := sealed{name: entry.Name()}
		if !strings.HasPrefix(s.name, digestPrefix) || !strings.HasSuffix(s.name, digestSuffix) {
			continue
		}
		if s.text, err = os.ReadFile(filepath.Join(dir, s.name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			s.signature, err = os.ReadFile(filepath.Join(dir, signatureName(s.name)))
		}
		if err != nil {
			return nil, fmt.Errorf("reading a digest of the audit log: %w", err)
		}
		if s.digest, err = parseDigest(s.text); err != nil {
			return nil, fmt.Errorf("%s was changed: %w", s.name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// follows reports whether d is the digest after the one before it.
func (d *digest) follows(before *sealed) bool {
	sum := sha256.Sum256(before.text)
	return d.Previous == before.name && d.PreviousSHA256 == hex.EncodeToString(sum[:]) &&
		d.PreviousSignature == hex.EncodeToString(before.signature) && d.First == before.Last+1
}

// describe reads a closed segment for its digest. The chain within it is checked: nothing broken is signed.
func describe(ctx context.Context, dir, name string) (d digest, err error) {
	f, err := openSegment(dir, name)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	at := end{file: name, line: 1}
	first := firstOf(name)
	if err := at.walkLines(bufio.NewReaderSize(io.TeeReader(&gentle{ctx: ctx, from: f}, sum), maxLine), true, nil); err != nil {
		return d, err
	}
	if at.torn > 0 || at.head.Seq < first {
		return d, fmt.Errorf("%s is closed and does not end in a whole line", name)
	}
	return digest{
		Version: digestVersion, Segment: name, Size: at.size, SHA256: hex.EncodeToString(sum.Sum(nil)),
		First: first, Last: at.head.Seq, Head: hex.EncodeToString(at.head.Hash[:]),
	}, nil
}

// Trust is what a log is held against. It is kept outside of the log's folder.
type Trust struct {
	Head   Head
	Writer string            // whose log it is
	Key    ed25519.PublicKey // that its digests are signed under; nil: none was ever made
}

// checkDigests holds the digests against the key and against each other.
func checkDigests(all []sealed, trust Trust) error {
	if len(all) > 0 && len(trust.Key) != ed25519.PublicKeySize {
		return fmt.Errorf("%s is there, and the key of digests is not known: records from %d on cannot be proven by it", all[0].name, all[0].First)
	}
	for i := range all {
		d := &all[i]
		bad := ""
		switch {
		case !ed25519.Verify(trust.Key, d.text, d.signature):
			bad = "its signature is not that of its text"
		case d.Writer != trust.Writer:
			bad = fmt.Sprintf("it is of %q", d.Writer)
		case d.name != digestName(d.First) || d.Segment != fileName(d.First):
			bad = "its name is not its own"
		case i > 0 && !d.follows(&all[i-1]):
			bad = fmt.Sprintf("it does not follow %s: a digest between them is missing, or one was replaced", all[i-1].name)
		case i == 0 && d.Previous == "" && d.First != 1:
			bad = "the digests before it are missing"
		}
		if bad != "" {
			return fmt.Errorf("%s, of records %d to %d, is not to be trusted: %s", d.name, d.First, d.Last, bad)
		}
	}
	return nil
}

// holds compares a segment's content with its digest.
func (d *digest) holds(sum []byte, size int64, head Head) error {
	if d.SHA256 == hex.EncodeToString(sum) && d.Size == size && d.Last == head.Seq {
		return nil
	}
	return fmt.Errorf("%s is not the segment that %s vouches for: one of the records %d to %d was changed, added or dropped, and the chain computed anew",
		d.Segment, digestName(d.First), d.First, d.Last)
}
