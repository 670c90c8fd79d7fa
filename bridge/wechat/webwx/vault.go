package webwx

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/eatmoreapple/openwechat"
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
)

// blobVersion is the version of the vault's JSON. A newer one is refused, so
// that an old worker does not throw a good session away.
const blobVersion = 1

// blob is what the vault holds: the device, made once per account and kept
// for ever, and the newest session.
type blob struct {
	Version int     `json:"version"`
	Device  string  `json:"device"`
	Session *stored `json:"session,omitempty"`
}

// stored is everything a later process needs to go on without a scan.
type stored struct {
	Host       string    `json:"host"`
	Uin        int64     `json:"uin"`
	Sid        string    `json:"sid"`
	Skey       string    `json:"skey"`
	PassTicket string    `json:"pass_ticket"`
	Cookies    []cookie  `json:"cookies"`
	SyncKey    syncKey   `json:"sync_key"`
	CheckKey   syncKey   `json:"check_key,omitempty"`
	LoginAt    time.Time `json:"login_at"`
}

// syncKey is WeChat's position in the stream of events.
type syncKey []struct{ Key, Val int64 }

// library gives the key in the library's form. Count is what the library
// allocates by, so it must be the list's real length.
func (k syncKey) library() *openwechat.SyncKey {
	return &openwechat.SyncKey{Count: len(k), List: k}
}

func (k syncKey) text() string {
	var b strings.Builder
	for i, p := range k {
		if i > 0 {
			b.WriteByte('|')
		}
		fmt.Fprintf(&b, "%d_%d", p.Key, p.Val)
	}
	return b.String()
}

// loadBlob reads the vault; fresh says that it made the device id. Garbage is
// reported and treated as empty: a person can always scan.
func loadBlob(ctx context.Context, v wechat.Vault, log zerolog.Logger) (b blob, fresh bool, err error) {
	raw, err := v.Load(ctx)
	if err != nil {
		return blob{}, false, fmt.Errorf("load the stored session: %w", err)
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &b); err != nil {
			log.Warn().Str("event", "session_unreadable").Msg("the stored session cannot be read; a new login is needed")
			b = blob{}
		}
	}
	if b.Version > blobVersion {
		return blob{}, false, fmt.Errorf("the stored session has version %d, this program knows %d: use the newer one", b.Version, blobVersion)
	}
	if fresh = b.Device == ""; fresh {
		b.Device = newDevice()
	}
	b.Version = blobVersion
	return b, fresh, nil
}

func saveBlob(ctx context.Context, v wechat.Vault, b blob) error {
	raw, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode the session: %w", err)
	}
	if err := v.Save(ctx, raw); err != nil {
		return fmt.Errorf("save the session: %w", err)
	}
	return nil
}

// newDevice makes a device id: "e" and 15 digits (webwx). The library's own is
// seeded by the second, so that workers started together would share one.
func newDevice() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1e15))
	if err != nil { // crypto/rand never fails since Go 1.24
		n = big.NewInt(time.Now().UnixNano() % 1e15)
	}
	return fmt.Sprintf("e%015d", n)
}
