package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// MasterKey encrypts the secrets in records. It has one key or more: the first encrypts, all decrypt, so that a new
// one is put in front of the old until every record is written again. It prints as REDACTED.
type MasterKey struct{ keys []masterKey }

type masterKey struct {
	id   string
	text string // base64, as in the file
	aead cipher.AEAD
}

// NewMasterKey returns a random master key with a random id.
func NewMasterKey() MasterKey {
	id, key := make([]byte, 8), make([]byte, 32)
	_, _ = rand.Read(id) // documented never to fail
	_, _ = rand.Read(key)
	made, err := newKey(hex.EncodeToString(id), base64.StdEncoding.EncodeToString(key))
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	return MasterKey{keys: []masterKey{made}}
}

// ParseMasterKey reads the file form: one key a line, an id (at most 32 letters, digits, dots, dashes or underscores),
// a space and the base64 of 32 bytes. Empty lines and lines that begin with # are comments. Errors are of kind Invalid
// and name the line, never its text.
func ParseMasterKey(text []byte) (MasterKey, error) {
	var master MasterKey
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return MasterKey{}, fault.New(fault.Invalid, "master key, line %d: want an id and a key", number)
		}
		key, err := newKey(fields[0], fields[1])
		if err != nil {
			return MasterKey{}, fault.New(fault.Invalid, "master key, line %d: %w", number, err)
		}
		if slices.ContainsFunc(master.keys, func(k masterKey) bool { return k.id == key.id }) {
			return MasterKey{}, fault.New(fault.Invalid, "master key, line %d: a second key with this id", number)
		}
		master.keys = append(master.keys, key)
	}
	if len(master.keys) == 0 {
		return MasterKey{}, fault.New(fault.Invalid, "master key: no key in the file")
	}
	return master, nil
}

func newKey(id, text string) (masterKey, error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	if id == "" || len(id) > 32 || strings.Trim(id, letters) != "" {
		return masterKey{}, fault.New(fault.Invalid, "an id is 1 to 32 letters, digits, dots, dashes or underscores")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != 32 {
		return masterKey{}, fault.New(fault.Invalid, "a key is the base64 of 32 bytes")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return masterKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return masterKey{}, err
	}
	return masterKey{id: id, text: text, aead: aead}, nil
}

// Text returns the file form, for a file of mode 0600 and nothing else.
func (m MasterKey) Text() []byte {
	var text []byte
	for _, k := range m.keys {
		text = append(text, k.id+" "+k.text+"\n"...)
	}
	return text
}

// String, GoString and LogValue keep the key out of logs and messages.
func (m MasterKey) String() string { return "REDACTED" }

// GoString is String for %#v.
func (m MasterKey) GoString() string { return "REDACTED" }

// LogValue is String for slog.
func (m MasterKey) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Sealer encrypts the secrets of one table's records with AES-256-GCM under the master key. What it seals opens only
// in the same table and context, so that whoever can write to etcd cannot move a secret to another record.
type Sealer struct {
	master MasterKey
	table  string
}

// Seal returns the encrypted plaintext, the key's id in front. The context, normally the record's key and the field's
// name, is not stored: Open must be given the same one.
func (s *Sealer) Seal(context string, plaintext []byte) []byte {
	key := s.master.keys[0]
	sealed := append([]byte{byte(len(key.id))}, key.id...)
	return key.aead.Seal(sealed, nil, plaintext, s.additional(sealed, context))
}

// Open returns the plaintext of what Seal made in the same table and context. An error says only that it does not
// open, or which key is missing; it is of kind Internal, for no caller can help it.
func (s *Sealer) Open(context string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || len(sealed) < 1+int(sealed[0]) {
		return nil, fault.New(fault.Internal, "the secret is cut off")
	}
	end := 1 + int(sealed[0])
	header, body := sealed[:end], sealed[end:]
	for _, key := range s.master.keys {
		if key.id != string(header[1:]) {
			continue
		}
		plaintext, err := key.aead.Open(nil, nil, body, s.additional(header, context))
		if err != nil {
			return nil, fault.New(fault.Internal, "the secret does not open")
		}
		return plaintext, nil
	}
	return nil, fault.New(fault.Internal, "the secret is sealed under the master key %q, which is not here", header[1:])
}

// additional is the data that is bound to the secret. Neither the header, by its length in front, nor a table's name
// can run into what follows.
func (s *Sealer) additional(header []byte, context string) []byte {
	return slices.Concat(header, []byte(s.table), []byte{0}, []byte(context))
}
