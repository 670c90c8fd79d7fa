package broker

import (
	"bytes"
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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"
)

// file writes a file of the test and gives its path.
func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tryConnect connects as a worker would and makes one round trip.
func tryConnect(t testing.TB, cfg ConnConfig) error {
	t.Helper()
	cfg.Name, cfg.Log = t.Name(), zerolog.Nop()
	conn, err := Connect(within(t, 3*time.Second), cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.NC.FlushTimeout(3 * time.Second)
}

func wantAccess(t testing.TB, cfg ConnConfig, secrets ...string) {
	t.Helper()
	err := tryConnect(t, cfg)
	var access *AccessError
	if !errors.As(err, &access) {
		t.Fatalf("got %v, want an AccessError", err)
	}
	for _, s := range secrets {
		if strings.Contains(err.Error(), s) {
			t.Fatalf("the error tells the secret: %v", err)
		}
	}
}

func TestConnectWithUserAndToken(t *testing.T) {
	user := newExternal(t, `authorization {user: bob, password: pw-of-bob}`)
	if err := tryConnect(t, ConnConfig{URLs: user.url(), User: "bob", Password: "pw-of-bob"}); err != nil {
		t.Error(err)
	}
	wantAccess(t, ConnConfig{URLs: user.url(), User: "bob", Password: "wrong-pw"}, "wrong-pw")
	wantAccess(t, ConnConfig{URLs: user.url()})
	token := newExternal(t, `authorization {token: "a-token"}`)
	if err := tryConnect(t, ConnConfig{URLs: "nats://127.0.0.1:1," + token.url(), Token: "a-token"}); err != nil {
		t.Error(err)
	}
	wantAccess(t, ConnConfig{URLs: token.url(), Token: "another"}, "another")
}

func TestConnectWithNKey(t *testing.T) {
	pair := must[nkeys.KeyPair](t)(nkeys.CreateUser())
	public := must[string](t)(pair.PublicKey())
	seed := file(t, "user.nk", must[[]byte](t)(pair.Seed()))
	s := newExternal(t, fmt.Sprintf(`authorization {users: [{nkey: %s}]}`, public))
	if err := tryConnect(t, ConnConfig{URLs: s.url(), NKeySeed: seed}); err != nil {
		t.Error(err)
	}
	other := must[nkeys.KeyPair](t)(nkeys.CreateUser())
	wantAccess(t, ConnConfig{URLs: s.url(), NKeySeed: file(t, "other.nk", must[[]byte](t)(other.Seed()))})
	wantAccess(t, ConnConfig{URLs: s.url(), NKeySeed: file(t, "bad.nk", []byte("not a seed"))}, "not a seed")
	wantAccess(t, ConnConfig{URLs: s.url(), NKeySeed: "/nowhere/user.nk"})
}

// operator makes the configuration of a server in operator mode and the
// credentials of one user.
func operator(t testing.TB) (config string, creds []byte) {
	t.Helper()
	op := must[nkeys.KeyPair](t)(nkeys.CreateOperator())
	acc := must[nkeys.KeyPair](t)(nkeys.CreateAccount())
	user := must[nkeys.KeyPair](t)(nkeys.CreateUser())
	public := func(k nkeys.KeyPair) string { return must[string](t)(k.PublicKey()) }
	sys := must[nkeys.KeyPair](t)(nkeys.CreateAccount())
	claims := jwt.NewOperatorClaims(public(op))
	claims.SystemAccount = public(sys) // JetStream in operator mode wants one
	opJWT := must[string](t)(claims.Encode(op))
	sysJWT := must[string](t)(jwt.NewAccountClaims(public(sys)).Encode(op))
	account := jwt.NewAccountClaims(public(acc))
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accJWT := must[string](t)(account.Encode(op))
	userJWT := must[string](t)(jwt.NewUserClaims(public(user)).Encode(acc))
	creds = must[[]byte](t)(jwt.FormatUserConfig(userJWT, must[[]byte](t)(user.Seed())))
	return fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: {%s: %s, %s: %s}",
		opJWT, public(acc), accJWT, public(sys), sysJWT), creds
}

func TestConnectWithCredentials(t *testing.T) {
	config, creds := operator(t)
	s := newExternal(t, config)
	cfg := ConnConfig{URLs: s.url(), Creds: file(t, "user.creds", creds), Log: zerolog.Nop()}
	conn := must[*Conn](t)(Connect(within(t, 3*time.Second), cfg))
	defer conn.Close()
	if err := Ensure(t.Context(), conn.JS, NewLayout("wechat", testLimits())); err != nil {
		t.Fatal(err)
	}
	_, others := operator(t)
	wantAccess(t, ConnConfig{URLs: s.url(), Creds: file(t, "other.creds", others)})
	wantAccess(t, ConnConfig{URLs: s.url(), Creds: "/nowhere/user.creds"})
}

// pki is a CA with a server's and a client's certificate, as files.
type pki struct{ ca, cert, key string }

func newPKI(t testing.TB) pki {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	caDER := must[[]byte](t)(x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key))
	leafDER := must[[]byte](t)(x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key))
	keyDER := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	block := func(typ string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}) }
	return pki{
		ca: file(t, "ca.pem", block("CERTIFICATE", caDER)), cert: file(t, "cert.pem", block("CERTIFICATE", leafDER)),
		key: file(t, "key.pem", block("PRIVATE KEY", keyDER)),
	}
}

func TestConnectWithTLS(t *testing.T) {
	p, stranger := newPKI(t), newPKI(t)
	s := newExternal(t, fmt.Sprintf("tls {cert_file: %q, key_file: %q, ca_file: %q, verify: true}", p.cert, p.key, p.ca))
	if err := tryConnect(t, ConnConfig{URLs: s.url(), CA: p.ca, Cert: p.cert, Key: p.key}); err != nil {
		t.Error(err)
	}
	for name, cfg := range map[string]ConnConfig{
		"no CA":                      {URLs: s.url(), Cert: p.cert, Key: p.key},
		"another CA":                 {URLs: s.url(), CA: stranger.ca, Cert: p.cert, Key: p.key},
		"no client certificate":      {URLs: s.url(), CA: p.ca},
		"another client certificate": {URLs: s.url(), CA: p.ca, Cert: stranger.cert, Key: stranger.key},
		"a missing CA file":          {URLs: s.url(), CA: "/nowhere/ca.pem"},
		"a CA file without any":      {URLs: s.url(), CA: file(t, "empty.pem", []byte("nothing"))},
		"a missing key":              {URLs: s.url(), CA: p.ca, Cert: p.cert, Key: "/nowhere/key.pem"},
	} {
		t.Run(name, func(t *testing.T) { wantAccess(t, cfg) })
	}
}

func TestConnectWithAContext(t *testing.T) {
	s := newExternal(t, `authorization {user: bob, password: pw-of-bob}`)
	write := func(user string) string {
		body := must[[]byte](t)(json.Marshal(map[string]string{"url": s.url(), "user": user, "password": "pw-of-bob", "inbox_prefix": "_INBOX_bob"}))
		return file(t, "test.json", body)
	}
	good := write("bob")
	conn := must[*Conn](t)(Connect(within(t, 3*time.Second), ConnConfig{Context: good, InboxPrefix: BridgeInbox, Log: zerolog.Nop()}))
	defer conn.Close()
	if inbox := conn.NC.NewInbox(); !strings.HasPrefix(inbox, "_INBOX_bob.") {
		t.Errorf("inbox %s: the context's own prefix is lost", inbox)
	}
	wantAccess(t, ConnConfig{Context: write("eve")}, "pw-of-bob")
	wantAccess(t, ConnConfig{Context: "no-such-context"})
	wantAccess(t, ConnConfig{Context: file(t, "broken.json", []byte("{"))})
}

// states collects what a connection reports.
type states struct {
	mu  sync.Mutex
	all []bool
}

func (s *states) add(connected bool, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, connected)
}

func (s *states) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.all)
}

// NATS is not there at the start, comes, goes and comes again: each change is
// told once.
func TestConnectWaitsAndReconnects(t *testing.T) {
	s := newExternal(t, "")
	s.stop()
	var seen states
	var log bytes.Buffer
	connected := make(chan *Conn, 1)
	go func() {
		conn, err := Connect(t.Context(), ConnConfig{URLs: s.url(), Log: zerolog.New(&log), OnState: seen.add})
		if err != nil {
			t.Error(err)
		}
		connected <- conn
	}()
	eventually(t, "the first report", func() bool { return seen.String() == "[false]" })
	s.start(t)
	conn := receive(t, connected)
	defer conn.Close()
	if seen.String() != "[false true]" {
		t.Fatalf("reports %s", &seen)
	}
	s.stop()
	eventually(t, "the loss", func() bool { return seen.String() == "[false true false]" })
	if _, err := conn.JS.Publish(within(t, time.Second), "wechat.send", nil); err == nil {
		t.Fatal("a publish without a server succeeded")
	}
	s.start(t)
	eventually(t, "the return", func() bool { return seen.String() == "[false true false true]" })
	if life, _ := conn.life(); life != 1 {
		t.Fatalf("life %d", life)
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go cancel(enough)
	if _, err := Connect(ctx, ConnConfig{URLs: "nats://127.0.0.1:1", Log: zerolog.Nop()}); !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
}
