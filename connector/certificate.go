package connector

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// When what happens to a generation. Every replica reads the Secret each minute, and each API server takes a moment to
// see a new bundle: an hour lies between one thing and the next.
const (
	generationLife = 90 * 24 * time.Hour
	renewAfter     = 60 * 24 * time.Hour // a next generation is made
	overlap        = time.Hour           // until it is served, and from then until its predecessor is no longer trusted
	clockSkew      = 5 * time.Minute     // between us and an API server
)

// A generation is an authority and the one certificate that it ever signs: its key is thrown away, so that whoever
// reads the Secret cannot make a certificate.
type generation struct {
	Made        time.Time `json:"made"`
	Authority   string    `json:"authority"`   // PEM
	Certificate string    `json:"certificate"` // PEM
	Key         string    `json:"key"`         // PEM
}

// generations are what the Secret holds, oldest first.
type generations struct {
	Version     int          `json:"version"` // 1
	Generations []generation `json:"generations"`
}

// decodeGenerations reads a Secret's value. Nothing is no generations.
func decodeGenerations(value []byte) (generations, error) {
	g := generations{Version: 1}
	if len(value) == 0 {
		return g, nil
	}
	if err := json.Unmarshal(value, &g); err != nil {
		return g, fmt.Errorf("decoding the webhook's certificates: %w", err)
	}
	if g.Version != 1 {
		return g, fmt.Errorf("the webhook's certificates have version %d, which is of a newer connector", g.Version)
	}
	return g, nil
}

// rotate drops what is over and makes what is due, for the given host names. It reports whether anything is other than
// it was. What does not parse, or is for other names, counts as over: somebody wrote into the Secret, or the Service got
// another name.
func (g generations) rotate(now time.Time, names []string) (generations, bool, error) {
	kept := generations{Version: 1}
	for _, one := range g.Generations {
		if one.usable(now, names) {
			kept.Generations = append(kept.Generations, one)
		}
	}
	// One that everybody has served for an hour has no predecessor any more.
	for i := len(kept.Generations) - 1; i > 0; i-- {
		if now.Sub(kept.Generations[i].Made) >= 2*overlap {
			kept.Generations = kept.Generations[i:]
			break
		}
	}
	changed := len(kept.Generations) != len(g.Generations)
	if n := len(kept.Generations); n == 0 || now.Sub(kept.Generations[n-1].Made) >= renewAfter {
		made, err := newGeneration(now, names)
		if err != nil {
			return g, false, err
		}
		kept.Generations = append(kept.Generations, made)
		changed = true
	}
	return kept, changed, nil
}

// serving is the newest that every API server has had time to trust, else the oldest.
func (g generations) serving(now time.Time) (tls.Certificate, error) {
	for i := len(g.Generations) - 1; i >= 0; i-- {
		if one := g.Generations[i]; i == 0 || now.Sub(one.Made) >= overlap {
			return one.pair()
		}
	}
	return tls.Certificate{}, fmt.Errorf("the webhook has no certificate")
}

// bundle is every authority that may be met, as PEM.
func (g generations) bundle() []byte {
	var b bytes.Buffer
	for _, one := range g.Generations {
		b.WriteString(one.Authority)
	}
	return b.Bytes()
}

func (one *generation) pair() (tls.Certificate, error) {
	return tls.X509KeyPair([]byte(one.Certificate), []byte(one.Key))
}

func (one *generation) usable(now time.Time, names []string) bool {
	pair, err := one.pair()
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM([]byte(one.Authority)) {
		return false
	}
	if one.Made.After(now.Add(clockSkew)) {
		return false // it would be the newest for as long as its date says
	}
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			return false
		}
	}
	return true
}

func newGeneration(now time.Time, names []string) (generation, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return generation{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return generation{}, err
	}
	from, until := now.Add(-clockSkew).UTC(), now.Add(generationLife).UTC()
	// The date tells generations apart: an API server that held two authorities of one name would try them in turn.
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Lanyard webhook authority " + now.UTC().Format(time.RFC3339Nano)},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return generation{}, fmt.Errorf("making the webhook's authority: %w", err)
	}
	parent, err := x509.ParseCertificate(authorityDER)
	if err != nil {
		return generation{}, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), authorityKey)
	if err != nil {
		return generation{}, fmt.Errorf("making the webhook's certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return generation{}, err
	}
	return generation{
		Made: now.UTC(), Authority: encodePEM("CERTIFICATE", authorityDER),
		Certificate: encodePEM("CERTIFICATE", leafDER), Key: encodePEM("PRIVATE KEY", keyDER),
	}, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
