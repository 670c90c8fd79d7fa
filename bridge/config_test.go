package bridge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
)

// goodConfig is what the defaults of the struct tags give.
func goodConfig() Config { return Defaults() }

func TestBadValuesNameTheirKey(t *testing.T) {
	if c := goodConfig(); c.Check() != nil {
		t.Fatalf("the defaults are refused: %v", c.Check())
	}
	cases := map[string]func(*Config){
		"account":         func(c *Config) { c.Account = "Ops Team" },
		"prefix":          func(c *Config) { c.Prefix = "a.b" },
		"nats-context":    func(c *Config) { c.NATS.URL, c.NATS.Context = "nats://x", "prod" },
		"nats-listen":     func(c *Config) { c.NATSListen = "4222" },
		"http":            func(c *Config) { c.HTTP = "127.0.0.1:99999" },
		"public-url":      func(c *Config) { c.PublicURL = "bridge.example" },
		"pace":            func(c *Config) { c.Pace = "fast" },
		"pace-burst":      func(c *Config) { c.PaceBurst = 0 },
		"pace-day":        func(c *Config) { c.PaceDay = -1 },
		"max-in-flight":   func(c *Config) { c.MaxInFlight = 0 },
		"recipient-wait":  func(c *Config) { c.RecipientWait = -1 },
		"ttl":             func(c *Config) { c.TTL = 167 * time.Hour },
		"horizon":         func(c *Config) { c.Horizon = time.Hour },
		"canary":          func(c *Config) { c.Canary = time.Second },
		"grace":           func(c *Config) { c.Grace = -1 },
		"max-media":       func(c *Config) { c.MaxMedia = 0 },
		"wechat-endpoint": func(c *Config) { c.WechatEndpoint = "http://127.0.0.1:8443" },
		"address-book":    func(c *Config) { c.AddressBook = map[string]string{"ops": " "} },
	}
	for key, spoil := range cases {
		c := goodConfig()
		spoil(&c)
		var bad *ConfigError
		if err := c.Check(); !errors.As(err, &bad) || bad.Key != key {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestValuesThatWouldFailLater(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key, says string
		spoil     func(*Config)
	}{
		"no CA":            {"wechat-ca", "is the simulator running?", func(c *Config) { c.WechatCA = filepath.Join(dir, "missing") }},
		"CA is none":       {"wechat-ca", "no certificate", func(c *Config) { c.WechatCA = garbage }},
		"no key":           {"session-key-file", "no such file", func(c *Config) { c.SessionKey = filepath.Join(dir, "missing") }},
		"key is none":      {"session-key-file", "no age key", func(c *Config) { c.SessionKey = garbage }},
		"endpoint, path":   {"wechat-endpoint", "write https://HOST:PORT", func(c *Config) { c.WechatEndpoint = "https://127.0.0.1:8443/wechat" }},
		"endpoint, query":  {"wechat-endpoint", "write https://HOST:PORT", func(c *Config) { c.WechatEndpoint = "https://127.0.0.1:8443?a=b" }},
		"endpoint, port":   {"wechat-endpoint", "write https://HOST:PORT", func(c *Config) { c.WechatEndpoint = "https://127.0.0.1:99999" }},
		"book, field only": {"address-book", "did you mean room:NAME?", func(c *Config) { c.AddressBook = map[string]string{"ops": "room"} }},
		"book, no value":   {"address-book", "after room: comes the recipient", func(c *Config) { c.AddressBook = map[string]string{"ops": "room: "} }},
	} {
		cfg := goodConfig()
		c.spoil(&cfg)
		var bad *ConfigError
		if err := cfg.Check(); !errors.As(err, &bad) || bad.Key != c.key || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c := goodConfig()
	c.WechatEndpoint = "https://127.0.0.1:8443/"
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestPace(t *testing.T) {
	c := goodConfig()
	if p, _ := c.ParsePace(); p != (Pace{N: 20, Per: time.Minute, Burst: 5, Daily: 500}) {
		t.Errorf("20/m gives %+v", p)
	}
	c.Pace = "off"
	if p, err := c.ParsePace(); err != nil || p.N != 0 || p.Daily != 500 {
		t.Errorf("off gives %+v, %v", p, err)
	}
}

func TestAddressBook(t *testing.T) {
	c := goodConfig()
	c.AddressBook = map[string]string{"ops": "room:Operations", "me": "filehelper", "odd": "a:b"}
	book, err := c.Book()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]wechat.Query{"ops": {Room: "Operations"}, "me": {Name: "filehelper"}, "odd": {Name: "a:b"}} {
		if book[name] != want {
			t.Errorf("%s: got %+v, want %+v", name, book[name], want)
		}
	}
}

func TestFolderIsLockedAndKeepsItsIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenFolder(dir)
	if err == nil || !strings.Contains(err.Error(), "in use by another wechat-bridge (process ") {
		t.Fatalf("a second one on the same folder: %v", err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v", info.Mode())
	}
	secret, err := first.Secret("http-token", 32)
	if err != nil || len(secret) != 64 {
		t.Fatalf("secret %q, %v", secret, err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "http-token")); info.Mode().Perm() != 0o600 {
		t.Errorf("a secret's mode is %v", info.Mode())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.ID != first.ID {
		t.Errorf("the folder's identity changed from %s to %s", first.ID, again.ID)
	}
	if same, _ := again.Secret("http-token", 32); same != secret {
		t.Error("the secret changed")
	}
}

func TestFolderThatCannotBeUsedSaysWhatToDo(t *testing.T) {
	newer := t.TempDir()
	broken := t.TempDir()
	file := filepath.Join(t.TempDir(), "file")
	for path, text := range map[string]string{
		filepath.Join(newer, "version"): "99", filepath.Join(broken, "version"): "one", file: "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]string{
		newer: "newer wechat-bridge", broken: "not a number", file: "cannot be made", filepath.Join(file, "sub"): "cannot be made",
	} {
		_, err := OpenFolder(dir)
		var bad *ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%s: got %v, want it to say %q", dir, err, want)
		}
	}
}
