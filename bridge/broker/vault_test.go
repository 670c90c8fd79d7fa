package broker

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

func newKey(t testing.TB) *Key {
	t.Helper()
	return must[*Key](t)(LoadKey(filepath.Join(t.TempDir(), "session.key"), true))
}

func TestVaultKeepsSecretsSecret(t *testing.T) {
	b := openBroker(t, startServer(t))
	a, key := account(t, b), newKey(t)
	session, memory := a.Vault(key, ""), a.Vault(key, "link")
	if v, err := session.Load(t.Context()); v != nil || err != nil {
		t.Fatalf("nothing there: %q %v", v, err)
	}
	secret := []byte(`{"wxsid":"very-secret","skey":"@crypt"}`)
	if err := session.Save(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if err := memory.Save(t.Context(), []byte("memory")); err != nil {
		t.Fatal(err)
	}
	if v := must[[]byte](t)(session.Load(t.Context())); !bytes.Equal(v, secret) {
		t.Fatalf("session %q", v)
	}
	if v := must[[]byte](t)(memory.Load(t.Context())); string(v) != "memory" {
		t.Fatalf("memory %q", v)
	}
	for _, word := range []string{"very-secret", "@crypt", "memory"} {
		if inFiles(t, b, word) {
			t.Errorf("%q rests in the store in clear", word)
		}
	}
	if err := session.Save(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if v, err := session.Load(t.Context()); v != nil || err != nil {
		t.Fatalf("deleted: %q %v", v, err)
	}
}

// inFiles looks through the server's files, which are what rests.
func inFiles(t testing.TB, b *Broker, word string) (found bool) {
	t.Helper()
	kv := must[jetstream.KeyValue](t)(b.conn.JS.KeyValue(t.Context(), b.Sessions()))
	for _, key := range must[[]string](t)(kv.Keys(t.Context())) {
		for _, e := range must[[]jetstream.KeyValueEntry](t)(kv.History(t.Context(), key)) {
			found = found || bytes.Contains(e.Value(), []byte(word))
		}
	}
	return found
}

func TestVaultWrongKeyAndGarbage(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := account(t, b)
	if err := a.Vault(newKey(t), "").Save(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	other := a.Vault(newKey(t), "")
	if _, err := other.Load(t.Context()); !errors.Is(err, ErrWrongKey) {
		t.Fatalf("wrong key: %v", err)
	}
	kv := must[jetstream.KeyValue](t)(b.conn.JS.KeyValue(t.Context(), b.Sessions()))
	for _, garbage := range []string{"", "x", "age-encryption.org/v1\n", `{"stream":"WECHAT_SEND","seq":1}`, strings.Repeat("\x00", 5000)} {
		must[uint64](t)(kv.PutString(t.Context(), "default", garbage))
		if v, err := other.Load(t.Context()); !errors.Is(err, ErrDamaged) || v != nil {
			t.Errorf("garbage %.20q: %q, %v", garbage, v, err)
		}
	}
	if err := other.Save(t.Context(), []byte("new")); err != nil {
		t.Fatal(err)
	}
	if v := must[[]byte](t)(other.Load(t.Context())); string(v) != "new" {
		t.Fatalf("after the repair: %q", v)
	}
}

func TestVaultOfALostAccount(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := must[*Account](t)(b.Account("default", lost{}))
	if err := a.Vault(newKey(t), "").Save(t.Context(), []byte("old session")); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("got %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "session.key")
	if _, err := LoadKey(path, false); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a missing shared key: %v", err)
	}
	first := must[*Key](t)(LoadKey(path, true))
	info := must[os.FileInfo](t)(os.Stat(path))
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
	secret := must[[]byte](t)(first.seal([]byte("x")))
	if v := must[[]byte](t)(must[*Key](t)(LoadKey(path, true)).open(secret)); string(v) != "x" {
		t.Fatalf("read again: %q", v)
	}
	for _, bad := range []string{"", "# only a comment\n", "AGE-SECRET-KEY-1BROKEN\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(path, true); err == nil || strings.Contains(err.Error(), "BROKEN") {
			t.Errorf("key file %q: %v", bad, err)
		}
	}
}

func TestSealedComesBack(t *testing.T) {
	key := newKey(t)
	rapid.Check(t, func(r *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(r, "plain")
		secret, err := key.seal(plain)
		if err != nil {
			r.Fatal(err)
		}
		if got, err := key.open(secret); err != nil || !bytes.Equal(got, plain) {
			r.Fatalf("%q, %v", got, err)
		}
		secret[rapid.IntRange(0, len(secret)-1).Draw(r, "at")] ^= 1
		if _, err := key.open(secret); err == nil {
			r.Fatal("a changed value was decrypted")
		}
	})
}
