package podtoken

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"slices"
	"testing"
)

// signRSA signs the text as a token is signed, or whatever else stands at the place of its encoded digest.
func signRSA(t testing.TB, key *rsa.PrivateKey, hash crypto.Hash, digest []byte) []byte {
	t.Helper()
	signature, err := rsa.SignPKCS1v15(nil, key, hash, digest)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// raw makes the signature of any encoding: the private key without the rules of padding.
func raw(key *rsa.PrivateKey, encoded []byte) []byte {
	s := new(big.Int).Exp(new(big.Int).SetBytes(encoded), key.D, key.N)
	return s.FillBytes(make([]byte, key.Size()))
}

func TestRSASignaturesAreRightInOneWayOnly(t *testing.T) {
	key := signers()["rs256"].(*rsa.PrivateKey)
	ready, err := newRSAKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	const text = "header.claims"
	digest := sha256.Sum256([]byte(text))
	good := signRSA(t, key, crypto.SHA256, digest[:])
	if err := ready.verify(text, good); err != nil {
		t.Errorf("a good signature: %v", err)
	}

	size := key.Size()
	right := encodeSHA256(text, size)
	changed := func(at int, to byte) []byte {
		encoded := slices.Clone(right)
		encoded[at] = to
		return raw(key, encoded)
	}
	// A short padding leaves room after the digest, where e = 3 once let forgers put what they liked.
	short := append(slices.Concat([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, sha256Prefix, digest[:]), make([]byte, size)...)[:size]
	withoutNull := slices.Clone(right) // a DigestInfo whose algorithm has no parameters is another encoding of the same
	at := size - len(digest) - len(sha256Prefix)
	info := slices.Concat([]byte{0xff, 0xff, 0, 0x30, 0x2f, 0x30, 0x0b}, sha256Prefix[4:15], sha256Prefix[17:])
	copy(withoutNull[at-1:], info)
	whole := sha256.Sum256([]byte("another"))
	one := sha256.Sum224([]byte(text))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, signature := range map[string][]byte{
		"of another text":         signRSA(t, key, crypto.SHA256, whole[:]),
		"by another key":          signRSA(t, other, crypto.SHA256, digest[:]),
		"of another hash":         signRSA(t, key, crypto.SHA224, one[:]),
		"of no named hash":        signRSA(t, key, 0, digest[:]),
		"n more":                  new(big.Int).Add(new(big.Int).SetBytes(good), key.N).FillBytes(make([]byte, size+1)),
		"one byte longer":         append([]byte{0}, good...),
		"one byte shorter":        good[1:],
		"empty":                   {},
		"nought":                  make([]byte, size),
		"all ones":                slices.Repeat([]byte{0xff}, size),
		"block type 0":            changed(1, 0),
		"block type 2":            changed(1, 2),
		"a byte of padding":       changed(20, 0xfe),
		"padding that ends early": changed(20, 0),
		"no end of the padding":   changed(at-1, 0xff),
		"a byte of the digest":    changed(size-1, right[size-1]^1),
		"short padding":           raw(key, short),
		"no parameters":           raw(key, withoutNull),
	} {
		if ready.verify(text, signature) == nil {
			t.Errorf("a signature %s is accepted", name)
		}
		if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) == nil {
			t.Errorf("the case %q is wrong: crypto/rsa accepts it", name)
		}
	}
}

// FuzzRSA holds the kept key against crypto/rsa: any text and signature, and what stands one change away from a good one.
func FuzzRSA(f *testing.F) {
	key := signers()["rs256"].(*rsa.PrivateKey)
	ready, err := newRSAKey(&key.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("header.claims", []byte{}, 0, byte(0))
	f.Add("", make([]byte, key.Size()), 255, byte(1))
	f.Add("header.claims", slices.Repeat([]byte{0xff}, key.Size()), 0, byte(0x80))
	f.Fuzz(func(t *testing.T, text string, signature []byte, at int, flip byte) {
		digest := sha256.Sum256([]byte(text))
		near := signRSA(t, key, crypto.SHA256, digest[:])
		near[uint(at)%uint(len(near))] ^= flip
		for _, s := range [][]byte{signature, near} {
			want := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], s)
			if got := ready.verify(text, s); (got == nil) != (want == nil) {
				t.Errorf("verify(%q, %x) = %v, crypto/rsa says %v", text, s, got, want)
			}
		}
	})
}

func BenchmarkRSA(b *testing.B) {
	key := signers()["rs256"].(*rsa.PrivateKey)
	const text = "header.claims"
	digest := sha256.Sum256([]byte(text))
	signature := signRSA(b, key, crypto.SHA256, digest[:])
	b.Run("kept", func(b *testing.B) {
		ready, err := newRSAKey(&key.PublicKey)
		for b.Loop() {
			if err != nil || ready.verify(text, signature) != nil {
				b.Fatal("refused")
			}
		}
	})
	b.Run("crypto-rsa", func(b *testing.B) {
		for b.Loop() {
			digest := sha256.Sum256([]byte(text))
			if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
				b.Fatal("refused")
			}
		}
	})
}
