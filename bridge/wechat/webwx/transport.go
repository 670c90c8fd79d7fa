package webwx

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// Config is what a Transport needs. Account, Vault and Directory are required.
type Config struct {
	Account string
	Vault   wechat.Vault // the session, as this package's own versioned JSON
	// Directory is filled by the transport: contacts, rooms, members.
	Directory *wechat.Directory
	// Endpoint is "https://host:port" of a simulator. Every connection goes
	// there; host names and SNI stay WeChat's. "" means the real hosts.
	Endpoint string
	RootCAs  *x509.CertPool // nil: the system's
	// DialContext opens every connection, below TLS; nil dials TCP, within 10 s.
	// Its address is the Endpoint's, or that of WeChat's host.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	TempDir     string // for outgoing media; "": the system's
	Log         zerolog.Logger

	Hold      time.Duration // how long WeChat holds a poll; default 25 s
	Slack     time.Duration // silence past the hold that is a fault; default 10 s
	Timeout   time.Duration // of a request that is not held; default 30 s
	LoginPace time.Duration // least time between two login polls; default 1 s
	CodeLife  time.Duration // how long a QR code is good; default 5 min
	// ContactRetry is the first pause after a refused contact list; default
	// 30 s, doubled up to 15 min, 12 tries.
	ContactRetry time.Duration
	// ContactWait is how long a login waits for the contact list before it goes
	// on without; default 5 s.
	ContactWait time.Duration
	// LookupPace is the least time between two look-ups of unknown rooms and
	// people, the request that WeChat throttles first; default 1 s.
	LookupPace time.Duration
	// LookupWait is how long a message from an unknown peer waits for its
	// name; default 2 s.
	LookupWait time.Duration
}

func (c *Config) fill() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Hold, 25*time.Second)
	def(&c.Slack, 10*time.Second)
	def(&c.Timeout, 30*time.Second)
	def(&c.LoginPace, time.Second)
	def(&c.CodeLife, 5*time.Minute)
	def(&c.ContactRetry, 30*time.Second)
	def(&c.ContactWait, 5*time.Second)
	def(&c.LookupPace, time.Second)
	def(&c.LookupWait, 2*time.Second)
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
}

func (c *Config) times() times {
	return times{hold: c.Hold + c.Slack, quick: c.Timeout, media: max(4*c.Timeout, c.Timeout)}
}

// Transport opens sessions of one account over the web protocol.
type Transport struct {
	cfg  Config
	dial *dialer
	wrap func(http.RoundTripper) http.RoundTripper // tests look at the wire with it
	log  zerolog.Logger
	acct *account

	mu   sync.Mutex              // one login at a time
	live atomic.Pointer[Session] // the newest session, open or closed
}

// New checks the configuration. It opens no connection.
func New(cfg Config) (*Transport, error) {
	if cfg.Vault == nil || cfg.Directory == nil {
		return nil, errors.New("webwx: a vault and a directory are required")
	}
	cfg.fill()
	d := &dialer{roots: cfg.RootCAs, raw: cfg.DialContext}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Scheme != "https" || u.Port() == "" {
			return nil, fmt.Errorf("webwx: the endpoint %q is not https://host:port", cfg.Endpoint)
		}
		d.endpoint = u.Host
	}
	log := cfg.Log.With().Str("transport", string(classifier.WebWX)).Str("account", cfg.Account).Logger()
	return &Transport{cfg: cfg, dial: d, log: log, acct: &account{vault: cfg.Vault, log: log}}, nil
}

// line makes the client of one login.
func (t *Transport) line(saved []cookie) *line {
	l := newLine(t.dial, t.cfg.times(), t.acct.device(), saved)
	if t.wrap != nil {
		l.wire.base = t.wrap(l.wire.base)
	}
	return l
}

// Name is "webwx".
func (t *Transport) Name() string { return string(classifier.WebWX) }

// Limits of what can be sent, as clients of the web protocol name them.
const (
	maxText  = 4000
	maxImage = 20 << 20
	maxVideo = 20 << 20
	maxFile  = 50 << 20
)

// Abilities tells what the web protocol can do. Voice and cards cannot be sent.
func (t *Transport) Abilities() wechat.Abilities {
	return wechat.Abilities{
		Kinds: []wechat.Kind{
			wechat.Text, wechat.Image, wechat.File, wechat.Video, wechat.Emoticon, wechat.Link, wechat.Revoke,
		},
		MaxText: maxText, MaxBytes: maxBytes(),
		Rooms: true, Mention: true, Names: true, HoldTime: t.cfg.Hold,
	}
}

func maxBytes() map[wechat.Kind]int64 {
	return map[wechat.Kind]int64{
		wechat.Image: maxImage, wechat.Emoticon: maxImage, wechat.Video: maxVideo, wechat.File: maxFile,
	}
}

// Login takes one rung. An earlier session of this transport is closed first.
func (t *Transport) Login(ctx context.Context, req wechat.LoginRequest) (wechat.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.acct.load(ctx, req.Rung != wechat.Resume); err != nil {
		return nil, err
	}
	old := t.live.Load()
	if old != nil {
		_ = old.Close()
	}
	s, err := t.take(ctx, req, old)
	if err != nil {
		return nil, err
	}
	t.live.Store(s)
	return s, nil
}

func (t *Transport) take(ctx context.Context, req wechat.LoginRequest, old *Session) (*Session, error) {
	step := req.Step
	if step == nil {
		step = func(wechat.LoginStep) {}
	}
	switch req.Rung {
	case wechat.Resume:
		return t.resume(ctx, old)
	case wechat.Stored:
		return t.reopen(ctx)
	case wechat.Push:
		return t.push(ctx, step)
	case wechat.QR:
		return t.scan(ctx, step)
	}
	return nil, fmt.Errorf("login rung %d: %w", int(req.Rung), wechat.ErrNoRung)
}

// Forget drops the stored session, in memory too. The device id stays: WeChat
// knows the account by it.
func (t *Transport) Forget(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.acct.load(ctx, true); err != nil {
		return err
	}
	if old := t.live.Swap(nil); old != nil {
		_ = old.Close()
	}
	return t.acct.forget(ctx)
}

// account is the state that outlives a session: the vault's content, the
// position in the stream of events, and the batch nobody committed yet.
type account struct {
	vault wechat.Vault
	log   zerolog.Logger

	mu      sync.Mutex
	loaded  bool
	dirty   bool // the newest session could not be saved
	blob    blob
	epoch   int // counts new logins: a position belongs to one
	pos     position
	pending *staged
	staged  uint64 // number of the newest staged batch
}

// position is where the next sync goes on.
type position struct {
	sync, check syncKey
	more        bool // WeChat said that it has more to tell right away
}

// staged is a batch that was handed out and is not committed.
type staged struct {
	batch wechat.Batch
	next  position
	epoch int
}

// load reads the vault: at first, and anew where somebody else may have served
// the account in between. What could not be saved is newer than the vault.
func (a *account) load(ctx context.Context, anew bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded && (a.dirty || !anew) {
		return nil
	}
	b, fresh, err := loadBlob(ctx, a.vault, a.log)
	if err != nil {
		return err
	}
	if fresh { // the device id has to be kept before it is used
		if err := saveBlob(ctx, a.vault, b); err != nil {
			return err
		}
	}
	a.blob, a.loaded = b, true
	return nil
}

func (a *account) device() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.blob.Device
}

// session gives the stored session, nil if there is none.
func (a *account) session() *stored {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.blob.Session == nil {
		return nil
	}
	s := *a.blob.Session
	s.Cookies = slices.Clone(s.Cookies)
	return &s
}

// forget drops the session but not the device.
func (a *account) forget(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blob.Session, a.pending, a.pos, a.dirty = nil, nil, position{}, false
	return saveBlob(ctx, a.vault, a.blob)
}

// renounce drops the former login's position, and what another person was told.
func (a *account) renounce(uin int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pos = position{}
	if old := a.blob.Session; old != nil && old.Uin != uin {
		a.pending = nil
	}
}

// save stores a session that was just opened. If that fails, this process still
// knows it.
func (a *account) save(ctx context.Context, s *stored) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.saveLocked(ctx, s)
	if err != nil {
		a.blob.Session, a.dirty = s, true
	}
	return err
}

func (a *account) saveLocked(ctx context.Context, s *stored) error {
	s.SyncKey, s.CheckKey = a.pos.sync, a.pos.check
	b := a.blob
	b.Session = s
	if err := saveBlob(ctx, a.vault, b); err != nil {
		return err
	}
	a.blob, a.dirty = b, false
	return nil
}
