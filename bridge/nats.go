package bridge

import (
	"errors"
	"net/url"
	"os"
	"strings"

	"wechat-bridge/bridge/broker"
)

// conn turns the flags into what the broker needs; secrets are read from their
// files.
func (c NATSConfig) conn() (broker.ConnConfig, error) {
	cfg := broker.ConnConfig{
		URLs: c.URL, Context: c.Context, Creds: c.Creds, NKeySeed: c.NKey, User: c.User,
		CA: c.CA, Cert: c.Cert, Key: c.Key,
	}
	var err error
	if cfg.Password, err = secretFile("nats-password-file", c.Password); err != nil {
		return cfg, err
	}
	cfg.Token, err = secretFile("nats-token-file", c.Token)
	return cfg, err
}

// Connection is how a client of ours connects: as a guest of the server on
// this machine unless it is told otherwise.
func (c NATSConfig) Connection() (broker.ConnConfig, error) {
	if c.Embedded() {
		c.URL = "nats://127.0.0.1:4222"
	}
	return c.conn()
}

func secretFile(key, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", &ConfigError{Key: key, Msg: "the file cannot be read", Err: err}
	}
	return strings.TrimSpace(string(raw)), nil
}

// natsError makes a wrong configuration of what waiting cannot mend.
func natsError(err error) error {
	var access *broker.AccessError
	var conflict *broker.ConflictError
	var newer *broker.NewerError
	if errors.As(err, &access) || errors.As(err, &conflict) || errors.As(err, &newer) {
		return &ConfigError{Msg: "NATS cannot be used as it is", Err: err}
	}
	return err
}

// redactURLs hides passwords in a list of URLs.
func redactURLs(list string) string {
	parts := strings.Split(list, ",")
	for i, p := range parts {
		if u, err := url.Parse(strings.TrimSpace(p)); err == nil {
			if u.User != nil {
				u.User = url.User("…")
			}
			parts[i] = u.String()
		}
	}
	return strings.Join(parts, ",")
}
