package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/google/renameio/v2"
)

// Errors of a vault. A value under ErrWrongKey was written with another key,
// one under ErrDamaged is no value of ours.
var (
	ErrWrongKey = errors.New("the session was encrypted with another key")
	ErrDamaged  = errors.New("the stored session is damaged")
)

// maxSecret bounds a decrypted value, in bytes: what is stored may be anybody's.
const maxSecret = 8 * mib

// Key encrypts sessions (age, X25519).
type Key struct{ id *age.X25519Identity }

// LoadKey reads the key file. With create, a missing file is made, 0600; a pool
// of workers shares one file and should not.
func LoadKey(path string, create bool) (*Key, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the session key: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil { // age's error could quote the key
			return nil, fmt.Errorf("the session key file %s holds no age key (AGE-SECRET-KEY-1…)", path)
		}
		return &Key{id: id}, nil
	}
	return nil, fmt.Errorf("the session key file %s is empty", path)
}

// makeKey writes whole or not at all: half a key would lock the session up.
func makeKey(path string) (*Key, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	text := "# encrypts the sessions of wechat-bridge; whoever has it can act as your WeChat account\n" + id.String() + "\n"
	if err := renameio.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	return &Key{id: id}, nil
}

func (k *Key) seal(plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.id.Recipient())
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return out.Bytes(), nil
}

func (k *Key) open(secret []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(secret), k.id)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return nil, ErrWrongKey
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(plain) > maxSecret {
		return nil, fmt.Errorf("%w: it is too large", ErrDamaged)
	}
	return plain, nil
}
