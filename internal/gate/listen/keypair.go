package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stormdoor/policy"
)

// maxPEM bounds what is read as a certificate or key.
const maxPEM = 1 << 20

// keyPair is a certificate with its key, and where it comes from.
type keyPair struct {
	tls.Certificate
	site, file string
	place      string   // of the site's tls in the policy
	digest     [32]byte // of the chain
}

// loadFiles reads a site's certificate and key, and checks that they belong together and cover the site's hosts.
// When they are valid is the caller's matter.
func loadFiles(site string, hosts []string, certFile, keyFile string) (*keyPair, error) {
	if certFile == "" || keyFile == "" {
		return nil, fmt.Errorf("site %q: tls needs both certificate and key", site)
	}
	chain, certErr := readPEM(certFile)
	key, keyErr := readPEM(keyFile)
	err := errors.Join(policy.Of(fmt.Sprintf("site %q: certificate", site), "certificate", certErr),
		policy.Of(fmt.Sprintf("site %q: key", site), "key", keyErr))
	if err != nil {
		return nil, err
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, policy.Of(fmt.Sprintf("site %q", site), "key", fmt.Errorf("the key in %s is encrypted; the door has no way to ask for its passphrase, so store it decrypted and protect the file", keyFile))
	}
	pair, err := pairOf(chain, key)
	if err != nil {
		return nil, policy.Of(fmt.Sprintf("site %q", site), "certificate", fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err))
	}
	pair.site, pair.file = site, certFile
	if err := pair.covers(hosts); err != nil {
		return nil, err
	}
	return pair, nil
}

func readPEM(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", file)
	}
	if info.Size() > maxPEM {
		return nil, fmt.Errorf("%s has %d bytes, which is no PEM file of a certificate or key", file, info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block == nil {
		return nil, fmt.Errorf(`%s holds no PEM block ("-----BEGIN …")`, file)
	}
	return text, nil
}

func pairOf(chain, key []byte) (*keyPair, error) {
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	pair := &keyPair{Certificate: cert}
	pair.digest = sha256.Sum256(bytes.Join(cert.Certificate, nil))
	return pair, nil
}

// fault says that the certificate itself is the mistake.
func (p *keyPair) fault(err error) error {
	return policy.Of(fmt.Sprintf("site %q", p.site), "certificate", err)
}

// covers checks that the certificate is good for each host of its site. For "*" any certificate is.
func (p *keyPair) covers(hosts []string) error {
	for _, h := range hosts {
		name := h
		if strings.HasPrefix(h, "*.") {
			name = "any" + h[1:] // what a wildcard of x.509 stands for: one label
		}
		if h != "*" && p.Leaf.VerifyHostname(name) != nil {
			return p.fault(fmt.Errorf("certificate %s does not cover the host %q; it covers %s", p.file, h, p.names()))
		}
	}
	return nil
}

func (p *keyPair) names() string {
	names := append([]string(nil), p.Leaf.DNSNames...)
	for _, ip := range p.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return fmt.Sprintf("no names at all (its common name %q does not count)", p.Leaf.Subject.CommonName)
	}
	return strings.Join(names, ", ")
}

// valid checks the certificate's dates.
func (p *keyPair) valid(now time.Time) error {
	const day = "2006-01-02 15:04 MST"
	if now.After(p.Leaf.NotAfter) {
		return p.fault(fmt.Errorf("certificate %s expired on %s; put a new one there", p.file, p.Leaf.NotAfter.UTC().Format(day)))
	}
	if now.Before(p.Leaf.NotBefore) {
		return p.fault(fmt.Errorf("certificate %s is valid only from %s; now it is %s", p.file,
			p.Leaf.NotBefore.UTC().Format(day), now.UTC().Format(day)))
	}
	return nil
}

const (
	selfSignedFor = 90 * 24 * time.Hour
	renewBefore   = 14 * 24 * time.Hour
	clockSlack    = time.Hour // how far a visitor's clock may be behind
)

// selfSigned returns the certificate for trying out that is kept below folder for these hosts, and makes a new one when
// there is none or it is about to run out.
func selfSigned(folder, site string, hosts []string, now time.Time) (*keyPair, error) {
	sum := sha256.Sum256([]byte(strings.Join(hosts, "\n")))
	file := filepath.Join(folder, hex.EncodeToString(sum[:8])+".pem")
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("site %q: self-signed certificate: %w", site, err)
	}
	if err == nil {
		// A file that is damaged or runs out is replaced like one that is missing: nobody trusts it anyway.
		pair, err := pairOf(text, text)
		if err == nil && now.Before(pair.Leaf.NotAfter.Add(-renewBefore)) && !now.Before(pair.Leaf.NotBefore) {
			pair.site, pair.file = site, file
			return pair, nil
		}
	}
	text, err = makeSelfSigned(hosts, now)
	if err == nil {
		err = writeSecret(file, text)
	}
	if err != nil {
		return nil, fmt.Errorf("site %q: self-signed certificate: %w", site, err)
	}
	pair, err := pairOf(text, text)
	if err != nil {
		return nil, fmt.Errorf("site %q: self-signed certificate: %w", site, err)
	}
	pair.site, pair.file = site, file
	return pair, nil
}

// makeSelfSigned returns a certificate and its key (ECDSA P-256) as PEM.
func makeSelfSigned(hosts []string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Stormdoor self-signed"},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(selfSignedFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h == "*" {
			template.DNSNames = append(template.DNSNames, "localhost")
			template.IPAddresses = append(template.IPAddresses, net.IPv4(127, 0, 0, 1), net.IPv6loopback)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), nil
}

// writeSecret writes a file that only its owner may read, whole or not at all.
func writeSecret(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
