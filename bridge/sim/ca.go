package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"
)

// maxLeaves bounds the certificates that are made for names on demand.
const maxLeaves = 64

// authority signs a certificate for whatever name a client asks for.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte

	leafKey *ecdsa.PrivateKey
	known   *tls.Certificate // covers all names of knownHosts

	mu     sync.Mutex
	serial int64
	leaves map[string]*tls.Certificate
}

// newAuthority makes a CA of its own and one certificate for all names in hosts.
func newAuthority(hosts []string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	tmpl := certTemplate(big.NewInt(1), "WeChat simulator CA (for tests only)")
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA: %w", err)
	}
	return signing(cert, key, hosts)
}

// signing makes an authority of a CA certificate and its key.
func signing(cert *x509.Certificate, key *ecdsa.PrivateKey, hosts []string) (*authority, error) {
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make leaf key: %w", err)
	}
	a := &authority{cert: cert, key: key, leafKey: leafKey, leaves: make(map[string]*tls.Certificate),
		serial: time.Now().UnixNano(), // no two certificates of one CA have one number
		pem:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
	a.known, err = a.sign(hosts)
	return a, err
}

func certTemplate(serial *big.Int, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"wechat-bridge"}},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
	}
}

func (a *authority) sign(names []string) (*tls.Certificate, error) {
	a.serial++
	tmpl := certTemplate(big.NewInt(a.serial), names[0])
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &a.leafKey.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", names[0], err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.leafKey}, nil
}

// certificate answers a TLS hello.
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if name == "" || hello.SupportsCertificate(a.known) == nil {
		return a.known, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.leaves[name]; c != nil {
		return c, nil
	}
	if len(a.leaves) >= maxLeaves {
		return nil, fmt.Errorf("%w: no certificate for so many names", ErrInvalid)
	}
	c, err := a.sign([]string{name})
	if err == nil {
		a.leaves[name] = c
	}
	return c, err
}

// knownHosts are the names of WeChat's web servers, as clients use them, and
// those of loopback.
func knownHosts(extra ...string) []string {
	names := []string{"localhost", "127.0.0.1", "::1", "login.weixin.qq.com", "file.weixin.qq.com", "webpush.weixin.qq.com"}
	bases := []string{"wx.qq.com", "wx2.qq.com", "wx8.qq.com", "web.wechat.com", "web2.wechat.com"}
	for _, e := range extra {
		if !oneOf(e, bases...) {
			bases = append(bases, e)
		}
	}
	for _, b := range bases {
		names = append(names, b, "login."+b, "file."+b, "webpush."+b)
	}
	return names
}
