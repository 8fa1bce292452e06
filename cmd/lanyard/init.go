package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// serverDir is the folder of `lanyard server`: what `init` makes and `server` and `recover` read.
type serverDir string

func (d serverDir) file(name string) string { return filepath.Join(string(d), name) }

// The files of the folder.
const (
	configFile        = "lanyard.json"
	masterKeyFile     = "master.key"
	administratorFile = "administrator.env"
	caFile            = "ca.pem"
	caKeyFile         = "ca.key"
	certFile          = "tls.pem"
	keyFile           = "tls.key"
	stateFolder       = "state"
	auditFolder       = "audit"
)

// serverConfig is what `init` settles for good.
type serverConfig struct {
	Region  string `json:"region"`
	Account string `json:"account"` // the management account
}

type initVerb struct {
	dir, region, account, name string
	addresses                  []string
	cert, key                  string
	secret                     string
	to                         *initSecret // nil: the key goes to a file
	once                       bool
}

func newInit() *cobra.Command {
	var v initVerb
	cmd := &cobra.Command{
		Use:   "init --dir DIR --address NAME_OR_IP",
		Short: "Make the folder of a server: master key, management account, its administrator's key, CA and certificate; once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if v.secret != "" {
				if v.to, err = openSecret(cmd, v.secret); err != nil {
					return err
				}
			}
			err = v.run(cmd.Context())
			if errors.Is(err, errMade) {
				return printf(cmd, "%s is made already and stays as it is\n", v.dir)
			}
			if err != nil {
				return err
			}
			d := serverDir(v.dir)
			where := d.file(administratorFile)
			if v.to != nil {
				where = v.to.String()
			}
			return printf(cmd, "made %s for region %s and account %s\nthe administrator's key is in %s\nclients trust the server by %s\nnext: lanyard server --dir %s --listen ADDRESS:PORT\n",
				v.dir, v.region, v.account, where, d.file(caFile), v.dir)
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.dir, "dir", "", "folder to make (required)")
	f.StringVar(&v.region, "region", "us-east-1", "region that everything is named in")
	f.StringVar(&v.account, "account", "", "12 digits of the management account; empty: random")
	f.StringVar(&v.name, "name", "management", "name of the management account")
	f.StringSliceVar(&v.addresses, "address", nil, "name or IP address that clients reach the server by; repeatable")
	f.StringVar(&v.cert, "tls-cert", "", "certificate file to use instead of one from a CA made here")
	f.StringVar(&v.key, "tls-key", "", "key file of --tls-cert")
	f.StringVar(&v.secret, "secret", "", "NAMESPACE/NAME of the Kubernetes Secret to write the administrator's key and the CA to, as the pod's service account or by --kubeconfig; empty: a file")
	f.BoolVar(&v.once, "once", false, "succeed, and change nothing, where all of it is made already")
	require(cmd, "dir")
	kubeFlags(cmd)
	return cmd
}

// run makes everything, and the configuration file last: a folder without it is one that `init` may still finish.
func (v *initVerb) run(ctx context.Context) error {
	if (v.cert == "") != (v.key == "") {
		return fault.New(fault.Invalid, "--tls-cert and --tls-key go together")
	}
	if v.cert == "" && len(v.addresses) == 0 {
		return fault.New(fault.Invalid, "--address says by which names and IP addresses clients reach the server; give it, or --tls-cert and --tls-key")
	}
	dir, err := filepath.Abs(v.dir)
	if err != nil {
		return err
	}
	v.dir = dir
	d := serverDir(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := v.begin(ctx, d); err != nil {
		return err
	}
	if err := v.certificates(d); err != nil {
		return err
	}
	master, err := readOrMakeMasterKey(d.file(masterKeyFile), d.file(stateFolder))
	if err != nil {
		return err
	}
	key, err := v.firstAccount(ctx, d, master)
	if err != nil {
		return err
	}
	v.account = key.Account
	if v.to != nil {
		err = v.to.put(ctx, d, key, v.region)
	} else {
		err = d.putAdministrator(administratorFile, key, v.region)
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(serverConfig{Region: v.region, Account: v.account}, "", "  ")
	if err != nil {
		return err
	}
	return dev.Replace(d.file(configFile), append(text, '\n'))
}

// firstAccount makes the management account, or a new administrator key for the one that an `init` which was cut short
// has made.
func (v *initVerb) firstAccount(ctx context.Context, d serverDir, master store.MasterKey) (key *directory.AccessKey, err error) {
	err = offline(ctx, d, master, func(dir *directory.Directory) error {
		accounts, err := dir.Accounts()
		if err != nil {
			return err
		}
		if len(accounts) > 0 {
			key, err = dir.RecoverAdministrator(ctx, accounts[0].ID)
			return err
		}
		_, key, err = dir.CreateAccount(ctx, directory.NewAccount{ID: v.account, Name: v.name})
		return err
	})
	return key, err
}

// offline opens the state while no server has it.
func offline(ctx context.Context, d serverDir, master store.MasterKey, do func(*directory.Directory) error) (err error) {
	keepFilesPrivate()
	st, err := store.Open(ctx, store.Config{Dir: d.file(stateFolder), MasterKey: master, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	dir := directory.New(st, nil)
	if err := st.Start(ctx); err != nil {
		return err
	}
	return do(dir)
}

// putAdministrator writes the key as lines for a shell.
func (d serverDir) putAdministrator(file string, key *directory.AccessKey, region string) error {
	text := fmt.Sprintf("export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_REGION=%s\nexport AWS_DEFAULT_REGION=%s\n",
		key.ID, shellQuote(string(key.Secret)), region, region)
	return dev.Replace(d.file(file), []byte(text))
}

// certificates copies the given pair, or makes a CA and a certificate for the addresses.
func (v *initVerb) certificates(d serverDir) error {
	if v.cert != "" {
		if _, err := newCertificate(v.cert, v.key); err != nil {
			return err
		}
		return errors.Join(copySecret(v.cert, d.file(certFile)), copySecret(v.key, d.file(keyFile)))
	}
	ca, caKey, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Lanyard CA"}, NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, nil, d.file(caFile), d.file(caKeyFile))
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: v.addresses[0]}, NotAfter: time.Now().AddDate(2, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, a := range v.addresses {
		if ip := net.ParseIP(a); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, a)
		}
	}
	_, _, err = issue(leaf, ca, caKey, d.file(certFile), d.file(keyFile))
	return err
}

// issue makes a key and a certificate for it, signed by the parent or by itself, and writes both.
func issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	template.NotBefore = time.Now().Add(-time.Hour) // a client's clock may be behind
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return cert, key, errors.Join(
		dev.Replace(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		dev.Replace(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
	)
}

func copySecret(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return dev.Replace(to, text)
}

// openServerDir returns the folder that `init` made, what it settled there, and the master key.
func openServerDir(path string) (d serverDir, c serverConfig, master store.MasterKey, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return d, c, master, err
	}
	d = serverDir(abs)
	if c, err = d.config(); err == nil {
		master, err = readMasterKey(d.file(masterKeyFile), d.file(stateFolder))
	}
	return d, c, master, err
}

// config reads what `init` settled, and refuses a folder that others may read.
func (d serverDir) config() (c serverConfig, err error) {
	text, err := os.ReadFile(d.file(configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, fault.New(fault.Invalid, "%s is not the folder of a server: `lanyard init --dir %s` makes one", d, d)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("reading %s: %w", d.file(configFile), err)
	}
	return c, d.checkModes()
}

// checkModes refuses to start when the folder, or a file in it, is open to others. The folders in it are checked by the
// rooms that have them.
func (d serverDir) checkModes() error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	names := []string{""}
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	for _, name := range names {
		info, err := os.Stat(d.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			return fault.New(fault.Invalid, "%s has mode %04o: others may not read it (0700 for the folder, 0600 for files)", d.file(name), info.Mode().Perm())
		}
	}
	return nil
}
