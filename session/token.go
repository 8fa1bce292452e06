package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// The token: base64url, unpadded, of header ‖ sealed ‖ MAC.
//
//	header  version 1, account 5 (big-endian number), account key id 8, server key id 8, salt 16
//	sealed  AES-256-GCM of the packed session; its key is drawn from the account's key and the salt and seals this one
//	        token, which is why the nonce is zero; additional data: header ‖ access key id
//	MAC     HMAC-SHA256 under the server's key, of header ‖ sealed
const (
	tokenVersion = 1
	accountSize  = 5
	saltSize     = 16
	headerSize   = 1 + accountSize + 2*len(KeyID{}) + saltSize
	sealOverhead = 16
	maxToken     = 16 << 10 // characters; refused before they are decoded

	keyIDPrefix = "ASIA" // AWS's, for keys that need a session token; 16 characters follow

	keyInfo     = "lanyard session 1 "
	sealKeySize = 32
	secretSize  = 30
)

// strict refuses stray bits in the last character: one token has one spelling.
var strict = base64.RawURLEncoding.Strict()

// Ring finds the keys that a door holds; false says that there is no such key, an error that this is not known.
type Ring struct {
	Account func(account string, id KeyID) (Key, bool, error)
	Server  func(id KeyID) (Key, bool, error) // nil at a gateway, which cannot check the MAC
}

// Mint seals s under the account's key and the server's, and fills in its access key id and secret. A packed session
// of more than 4096 bytes is refused with kind Limit.
func Mint(s *Session, account, server Key) (Credentials, error) {
	if err := s.mintable(account, server); err != nil {
		return Credentials{}, fmt.Errorf("minting a session: %w", err)
	}
	token := s.appendTo(make([]byte, headerSize, 1024))
	size := len(token) - headerSize
	if size > maxPacked {
		return Credentials{}, tooLarge(s, percent(size))
	}
	var random [saltSize + 10]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Credentials{}, fmt.Errorf("minting a session: %w", err)
	}
	keyID := keyIDPrefix + base32.StdEncoding.EncodeToString(random[saltSize:])

	head := header{account: s.Account, accountKey: account.ID, serverKey: server.ID}
	copy(head.salt[:], random[:saltSize])
	head.put(token[:headerSize])
	aead, secret, err := derive(account, head.salt[:])
	if err != nil {
		return Credentials{}, fmt.Errorf("minting a session: %w", err)
	}
	sealed := aead.Seal(token[headerSize:headerSize], make([]byte, aead.NonceSize()), token[headerSize:], additional(token, keyID))
	token = append(token[:headerSize], sealed...)
	token = append(token, mac(server, token)...)

	s.AccessKeyID, s.secret, s.packed = keyID, secret, size
	var text [2048]byte // for most tokens
	return Credentials{
		AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: string(strict.AppendEncode(text[:0], token)), Expires: s.Expires,
	}, nil
}

// tooLarge says in STS's words what may be left out.
func tooLarge(s *Session, percent int) error {
	if len(s.Policies) > 0 {
		return fault.New(fault.Limit, "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return fault.New(fault.Limit, "Packed size of session tags consumes %d%% of allotted space.", percent)
}

// mintable refuses what would not survive the packed form, and keys that were never filled in: all of it a defect of
// ours. Without it a forgotten key would seal under zeros, and everything would seem to work.
func (s *Session) mintable(account, server Key) error {
	switch {
	case !arn.IsAccount(s.Account):
		return fmt.Errorf("account %q", s.Account)
	case s.Issued.UnixMilli() < 0 || !s.Expires.After(s.Issued) || s.Expires.Sub(s.Issued) > Longest:
		return fmt.Errorf("issued %v, expires %v", s.Issued, s.Expires)
	case s.Chain < 0 || s.Revision < 0 || len(s.Tags) > maxList || len(s.Policies) > maxList || len(s.Through) > maxList:
		return fmt.Errorf("chain %d, revision %d, %d tags, %d policies, %d roles", s.Chain, s.Revision, len(s.Tags), len(s.Policies), len(s.Through))
	case s.User != nil && (s.RoleID != "" || s.RoleName != "" || len(s.Through) > 0 || s.Origin != nil):
		return fmt.Errorf("role %q and user %v", s.RoleID, s.User)
	case account.Secret == [32]byte{} || server.Secret == [32]byte{}:
		return errors.New("a sealing key is empty")
	}
	return nil
}

// Open returns the session in a token that was minted for the access key id. Whatever is wrong with either, the caller
// learns one thing, of kind UnknownKey; the log learns what. An error of the ring's is returned as one. Open does not ask whether
// the session is over: see Live.
func Open(ring Ring, accessKeyID, token string) (*Session, error) {
	raw, err := decodeToken(token)
	if err != nil {
		return nil, refused(err)
	}
	head, err := parseHeader(raw)
	if err != nil {
		return nil, refused(err)
	}
	body := raw[:len(raw)-sha256.Size]
	if ring.Server != nil {
		server, ok, err := ring.Server(head.serverKey)
		if err != nil {
			return nil, fmt.Errorf("looking for a session's server key: %w", err)
		}
		if !ok {
			return nil, refused(fmt.Errorf("no server key %v", head.serverKey))
		}
		if !hmac.Equal(mac(server, body), raw[len(body):]) {
			return nil, refused(errors.New("the MAC is not of the server key"))
		}
	}
	account, ok, err := ring.Account(head.account, head.accountKey)
	if err != nil {
		return nil, fmt.Errorf("looking for a session's key: %w", err)
	}
	if !ok {
		return nil, refused(fmt.Errorf("no key %v of account %s", head.accountKey, head.account))
	}
	aead, secret, err := derive(account, head.salt[:])
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	sealed := body[headerSize:]
	packed, err := aead.Open(sealed[:0], make([]byte, aead.NonceSize()), sealed, additional(raw, accessKeyID))
	if err != nil {
		return nil, refused(fmt.Errorf("the seal is broken or of another access key id: %w", err))
	}
	s, err := decode(packed)
	if err != nil {
		return nil, refused(err)
	}
	s.Account, s.AccessKeyID, s.secret, s.packed = head.account, accessKeyID, secret, len(packed)
	return s, nil
}

func refused(cause error) error {
	return fault.Hide(fault.UnknownKey, cause, "The security token included in the request is invalid.")
}

// decodeToken bounds the token before anything is computed. The standard decoder skips line breaks, so the length is
// checked again behind it.
func decodeToken(token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errors.New("the token is too long")
	}
	raw, err := strict.DecodeString(token)
	if err != nil {
		return nil, fmt.Errorf("the token is not base64: %w", err)
	}
	if strict.EncodedLen(len(raw)) != len(token) {
		return nil, errors.New("the token has line breaks")
	}
	return raw, nil
}

type header struct {
	account               string // 12 digits
	accountKey, serverKey KeyID
	salt                  [saltSize]byte
}

// put writes the header into b, which has headerSize bytes. The account was checked by mintable.
func (h *header) put(b []byte) {
	number, _ := strconv.ParseUint(h.account, 10, 64)
	var wide [8]byte
	binary.BigEndian.PutUint64(wide[:], number)
	b[0] = tokenVersion
	b = b[1:]
	for _, field := range [][]byte{wide[8-accountSize:], h.accountKey[:], h.serverKey[:], h.salt[:]} {
		b = b[copy(b, field):]
	}
}

func parseHeader(raw []byte) (header, error) {
	if len(raw) < headerSize+sealOverhead+sha256.Size {
		return header{}, errors.New("the token is too short")
	}
	if raw[0] != tokenVersion {
		return header{}, fmt.Errorf("token version %d", raw[0])
	}
	rest := raw[1:]
	var wide [8]byte
	rest = rest[copy(wide[8-accountSize:], rest):]
	h := header{account: fmt.Sprintf("%012d", binary.BigEndian.Uint64(wide[:]))}
	for _, field := range [][]byte{h.accountKey[:], h.serverKey[:], h.salt[:]} {
		rest = rest[copy(field, rest):]
	}
	if !arn.IsAccount(h.account) {
		return header{}, errors.New("the account is out of range")
	}
	return h, nil
}

// derive draws from the account's key and the salt the cipher that seals one token, and the secret access key that
// belongs to it: 30 bytes, 40 characters of base64, as AWS's are. It is the second half of HKDF alone: the account's key
// is random throughout, and RFC 5869 (section 3.3) lets such a key skip the first.
func derive(account Key, salt []byte) (cipher.AEAD, string, error) {
	material, err := hkdf.Expand(sha256.New, account.Secret[:], keyInfo+string(salt), sealKeySize+secretSize)
	if err != nil {
		return nil, "", err
	}
	block, err := aes.NewCipher(material[:sealKeySize])
	if err != nil {
		return nil, "", err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, "", err
	}
	return aead, base64.StdEncoding.EncodeToString(material[sealKeySize:]), nil
}

// additional returns what the seal covers without hiding it. The header's size is fixed, so the two cannot be cut
// differently.
func additional(token []byte, accessKeyID string) []byte {
	return append(append(make([]byte, 0, headerSize+len(accessKeyID)), token[:headerSize]...), accessKeyID...)
}

func mac(server Key, b []byte) []byte {
	h := hmac.New(sha256.New, server.Secret[:])
	h.Write(b)
	return h.Sum(nil)
}
