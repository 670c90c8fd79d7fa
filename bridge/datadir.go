package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// dataVersion is the layout of the data folder; a newer one is refused.
const dataVersion = 1

// Folder is the data folder of one worker, locked while it is open.
type Folder struct {
	Path string
	// ID names the folder for ever, so that a lease that a former process of
	// this folder held can be taken at once.
	ID   string
	lock *flock.Flock
}

// OpenFolder makes the folder if it is missing, refuses one of a newer version
// and takes its lock. Errors are *ConfigError: they say what to do.
func OpenFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, folderError(path, "cannot be made; choose another --data-dir or mend its permissions", err)
	}
	f := &Folder{Path: path, lock: flock.New(filepath.Join(path, "lock"), flock.SetPermissions(0o600))}
	locked, err := f.lock.TryLock()
	if err != nil {
		return nil, folderError(path, "cannot be written; choose another --data-dir or mend its permissions", err)
	}
	if !locked {
		return nil, folderError(path, "is in use by another wechat-bridge"+holder(path)+"; stop that one, or choose another --data-dir", nil)
	}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func folderError(path, what string, err error) error {
	return &ConfigError{Key: "data-dir", Msg: path + " " + what, Err: err}
}

func holder(path string) string {
	pid, err := os.ReadFile(filepath.Join(path, "pid"))
	if err != nil {
		return ""
	}
	return " (process " + strings.TrimSpace(string(pid)) + ")"
}

func (f *Folder) prepare() error {
	if err := f.checkVersion(); err != nil {
		return err
	}
	id, err := f.Secret("id", 16)
	if err != nil {
		return err
	}
	f.ID = id
	return f.write("pid", strconv.Itoa(os.Getpid()))
}

func (f *Folder) checkVersion() error {
	raw, err := os.ReadFile(filepath.Join(f.Path, "version"))
	if errors.Is(err, fs.ErrNotExist) {
		return f.write("version", strconv.Itoa(dataVersion))
	}
	if err != nil {
		return folderError(f.Path, "cannot be read", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return folderError(f.Path, fmt.Sprintf("has a version file that is not a number (%.20q); restore it from a backup, or choose another --data-dir", raw), nil)
	}
	if v > dataVersion {
		return folderError(f.Path, fmt.Sprintf("was written by a newer wechat-bridge (layout %d, this one knows %d); use that one, or choose another --data-dir", v, dataVersion), nil)
	}
	return nil
}

func (f *Folder) write(name, value string) error {
	err := renameio.WriteFile(filepath.Join(f.Path, name), []byte(value+"\n"), 0o600)
	if err != nil {
		return folderError(f.Path, "cannot be written; choose another --data-dir or mend its permissions", err)
	}
	return nil
}

// Secret reads a secret of the folder, or makes one of n random bytes, in hex.
func (f *Folder) Secret(name string, n int) (string, error) {
	raw, err := os.ReadFile(filepath.Join(f.Path, name))
	if err == nil && len(strings.TrimSpace(string(raw))) > 0 {
		return strings.TrimSpace(string(raw)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", folderError(f.Path, "cannot be read", err)
	}
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make the secret %s: %w", name, err)
	}
	value := hex.EncodeToString(b)
	return value, f.write(name, value)
}

// Close gives the lock back.
func (f *Folder) Close() error { return f.lock.Unlock() }
