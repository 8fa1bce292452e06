package podtoken

import (
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"slices"

	"filippo.io/bigmod"
)

var errSignature = errors.New("the RSA signature is wrong")

// rsaKey is an RSA public key with what crypto/rsa derives from its modulus anew for each signature: a third of the work
// of a token that was never seen (docs/adr/0010-rsa-keys-kept-ready.md). Everything here is public, so nothing needs
// constant time.
type rsaKey struct {
	modulus  *bigmod.Modulus
	exponent uint
}

// newRSAKey takes a key that fitting has accepted.
func newRSAKey(k *rsa.PublicKey) (*rsaKey, error) {
	modulus, err := bigmod.NewModulus(k.N.Bytes())
	if err != nil {
		return nil, err
	}
	return &rsaKey{modulus, uint(k.E)}, nil
}

// verify says whether the signature is the key's of the text by RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section
// 8.2.2). It makes the one encoding that is right and compares all of it; a parser of padding would be a way in.
func (k *rsaKey) verify(text string, signature []byte) error {
	if len(signature) != k.modulus.Size() {
		return errSignature
	}
	s, err := bigmod.NewNat().SetBytes(signature, k.modulus) // refuses s >= n, a second spelling of s - n
	if err != nil {
		return errSignature
	}
	encoded := bigmod.NewNat().ExpShortVarTime(s, k.exponent, k.modulus).Bytes(k.modulus)
	if !slices.Equal(encoded, encodeSHA256(text, len(encoded))) {
		return errSignature
	}
	return nil
}

// sha256Prefix is the DER of a DigestInfo for SHA-256 up to the digest itself (RFC 8017, section 9.2, note 1).
var sha256Prefix = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// encodeSHA256 is EMSA-PKCS1-v1_5 (RFC 8017, section 9.2): 0 ‖ 1 ‖ ff… ‖ 0 ‖ DigestInfo, of a key of so many bytes.
func encodeSHA256(text string, size int) []byte {
	digest := sha256.Sum256([]byte(text))
	encoded := slices.Repeat([]byte{0xff}, size)
	encoded[0], encoded[1] = 0, 1
	end := size - len(sha256Prefix) - len(digest)
	encoded[end-1] = 0
	copy(encoded[end:], sha256Prefix)
	copy(encoded[end+len(sha256Prefix):], digest[:])
	return encoded
}
