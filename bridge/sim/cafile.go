package sim

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// caRest is how much longer a CA must be good to be used again.
const caRest = 30 * 24 * time.Hour

// authorityOf takes the CA of a file, with the key beside it, so that those who
// trust the file also trust the simulator after a restart. Without both, or if
// they do not belong together, it makes a new CA and writes them. No file: a CA
// that lives as long as the process.
func authorityOf(file string, hosts []string) (*authority, error) {
	if file == "" {
		return newAuthority(hosts)
	}
	if a := storedAuthority(file, hosts); a != nil {
		return a, nil
	}
	a, err := newAuthority(hosts)
	if err != nil {
		return nil, err
	}
	return a, a.store(file)
}

func keyFile(file string) string { return file + ".key" }

// storedAuthority is nil if the files do not make one.
func storedAuthority(file string, hosts []string) *authority {
	pair, err := tls.LoadX509KeyPair(file, keyFile(file))
	if err != nil {
		return nil
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	cert := pair.Leaf
	if !ok || cert == nil || !cert.IsCA || time.Now().Add(caRest).After(cert.NotAfter) {
		return nil
	}
	a, err := signing(cert, key, hosts)
	if err != nil {
		return nil
	}
	return a
}

// store writes the key first: a certificate without its key would be replaced
// at the next start.
func (a *authority) store(file string) error {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return fmt.Errorf("encode CA key: %w", err)
	}
	body := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.Remove(keyFile(file)); err != nil && !os.IsNotExist(err) { // its mode may be another
		return fmt.Errorf("write CA key: %w", err)
	}
	if err := os.WriteFile(keyFile(file), body, 0o600); err != nil {
		return fmt.Errorf("write CA key: %w", err)
	}
	if err := os.WriteFile(file, a.pem, 0o644); err != nil {
		return fmt.Errorf("write CA certificate: %w", err)
	}
	return nil
}
