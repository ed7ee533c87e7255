package drill

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"stormdoor/policy"
)

// The files that a drill makes in its folder.
const (
	certificateFile = "door.pem"
	keyFile         = "door.key"
	geoFile         = "loopback.mmdb"
)

// newNames gives the drill's internet its certificate, for the shop and the hosts of the operator's policy, and its map:
// every /16 of loopback is a network of its own, in one of a dozen countries.
func newNames(dir, policyFile string) (err error) {
	hosts := []string{shopHost}
	if policyFile != "" {
		p, err := policy.Load(policyFile)
		if err != nil {
			return err
		}
		for i := range p.Sites {
			for _, h := range p.Sites[i].Hosts {
				if h != "*" && h != shopHost {
					hosts = append(hosts, h)
				}
			}
		}
	}
	if err = writeCertificate(dir, hosts); err != nil {
		return fmt.Errorf("the drill's certificate: %w", err)
	}
	if err = writeMap(filepath.Join(dir, geoFile)); err != nil {
		return fmt.Errorf("the drill's map of networks: %w", err)
	}
	return nil
}

func writeCertificate(dir string, hosts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: shopHost}, DNSNames: hosts,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, certificateFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

var countries = [...]string{"BR", "CH", "CN", "DE", "FR", "ID", "IN", "JP", "NG", "RU", "US", "VN"}

func writeMap(path string) error {
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Drill", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		return err
	}
	for i := range 256 {
		_, network, err := net.ParseCIDR(fmt.Sprintf("127.%d.0.0/16", i))
		if err != nil {
			return err
		}
		err = tree.Insert(network, mmdbtype.Map{
			"country":                  mmdbtype.Map{"iso_code": mmdbtype.String(countries[i%len(countries)])},
			"autonomous_system_number": mmdbtype.Uint32(64512 + i), // private use (RFC 6996)
		})
		if err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := tree.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
