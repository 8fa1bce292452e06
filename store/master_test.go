package store

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

func TestParseMasterKey(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"one key", "a " + key + "\n", true},
		{"no line end", "a " + key, true},
		{"comment and empty line", "# of 2026\n\na " + key + "\n", true},
		{"two keys", "b.2-x_Y " + key + "\na " + key + "\n", true},
		{"empty", "", false},
		{"only a comment", "# nothing\n", false},
		{"no id", key + "\n", false},
		{"three words", "a " + key + " b\n", false},
		{"same id twice", "a " + key + "\na " + key + "\n", false},
		{"short key", "a " + key[:40] + "\n", false},
		{"not base64", "a " + strings.Repeat("!", 44) + "\n", false},
		{"bad letter in the id", "a/b " + key + "\n", false},
		{"long id", strings.Repeat("a", 33) + " " + key + "\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			master, err := ParseMasterKey([]byte(test.text))
			if test.ok {
				if again, err2 := ParseMasterKey(master.Text()); err != nil || err2 != nil || !bytes.Equal(again.Text(), master.Text()) {
					t.Errorf("got %v, %v, want a key that its own text gives again", err, err2)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), key[:40]) {
				t.Errorf("got %v, want Invalid without the key", err)
			}
		})
	}
}

func TestMasterKeyIsNotPrinted(t *testing.T) {
	master := NewMasterKey()
	secret := strings.Fields(string(master.Text()))[1]
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "key", master, "config", Config{MasterKey: master})
	for _, text := range []string{fmt.Sprint(master), fmt.Sprintf("%+v %#v %q", master, master, master), log.String()} {
		if strings.Contains(text, secret) || !strings.Contains(text, "REDACTED") {
			t.Errorf("got %q, want REDACTED", text)
		}
	}
}

func TestSealedOpensOnlyWhereItBelongs(t *testing.T) {
	master, other := NewMasterKey(), NewMasterKey()
	seal := &Sealer{master: master, table: "user"}
	sealed := seal.Seal("ann/secret", []byte("hidden"))
	tests := []struct {
		name    string
		sealer  *Sealer
		context string
		change  func(b []byte) []byte
		ok      bool
	}{
		{name: "as sealed", sealer: seal, context: "ann/secret", ok: true},
		{name: "another key in front", sealer: &Sealer{MasterKey{append(other.keys, master.keys...)}, "user"}, context: "ann/secret", ok: true},
		{name: "another record", sealer: seal, context: "bob/secret"},
		{name: "another table", sealer: &Sealer{master, "role"}, context: "ann/secret"},
		{name: "another master key", sealer: &Sealer{other, "user"}, context: "ann/secret"},
		{name: "cut off", sealer: seal, context: "ann/secret", change: func(b []byte) []byte { return b[:len(b)-1] }},
		{name: "cut off in the key's id", sealer: seal, context: "ann/secret", change: func(b []byte) []byte { return b[:3] }},
		{name: "nothing", sealer: seal, context: "ann/secret", change: func([]byte) []byte { return nil }},
	}
	for i := range sealed {
		tests = append(tests, struct {
			name    string
			sealer  *Sealer
			context string
			change  func(b []byte) []byte
			ok      bool
		}{name: fmt.Sprintf("bit flipped in byte %d", i), sealer: seal, context: "ann/secret", change: func(b []byte) []byte { b[i] ^= 0x80; return b }})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data := bytes.Clone(sealed)
			if test.change != nil {
				data = test.change(data)
			}
			plain, err := test.sealer.Open(test.context, data)
			if got := err == nil && string(plain) == "hidden"; got != test.ok || (err == nil) != test.ok {
				t.Errorf("got %q, %v, want opened %v", plain, err, test.ok)
			}
		})
	}
}
