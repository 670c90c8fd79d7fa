package webwx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// origin is how a session came to be; it decides where the sync goes on.
type origin int

const (
	freshLogin   origin = iota // the phone confirmed: position from init
	storedLogin                // from the vault: position from there
	resumedLogin               // from memory: position as it is
)

// resume goes on with the session in memory, on a new connection. An init
// proves that WeChat still knows it; it answers at once, unlike a poll.
func (t *Transport) resume(ctx context.Context, old *Session) (*Session, error) {
	if old == nil {
		return nil, fmt.Errorf("no session in memory: %w", wechat.ErrNoRung)
	}
	return t.again(ctx, old.line.snapshot(), resumedLogin)
}

// reopen goes on with the session in the vault.
func (t *Transport) reopen(ctx context.Context) (*Session, error) {
	s := t.acct.session()
	if s == nil {
		return nil, fmt.Errorf("no stored session: %w", wechat.ErrNoRung)
	}
	return t.again(ctx, s, storedLogin)
}

func (t *Transport) again(ctx context.Context, s *stored, how origin) (*Session, error) {
	l := t.line(s.Cookies)
	l.restore(s)
	sess, err := t.open(ctx, l, how)
	if err != nil {
		return nil, t.dropped(l, err)
	}
	return sess, nil
}

// open asks WeChat for the session's beginning and starts the session's work.
func (t *Transport) open(ctx context.Context, l *line, how origin) (*Session, error) {
	first, err := l.init(ctx)
	if err != nil {
		return nil, err
	}
	l.renew(first.SKey)
	if err := l.notify(ctx, first.User.UserName); err != nil {
		if ctx.Err() != nil || over(err) {
			return nil, err
		}
		t.log.Warn().Err(err).Str("event", "notify_refused").Msg("the phone was not told of the login")
	}
	snap := l.snapshot()
	epoch := t.acct.begin(how, snap.Uin, first.SyncKey.List)
	if err := t.acct.save(ctx, snap); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		t.log.Warn().Err(err).Str("event", "session_not_saved").Msg("the session could not be stored; a restart now would need a scan")
	}
	s := newSession(t, l, first, epoch)
	old := t.live.Load()
	if how != resumedLogin || old == nil || old.me.ID != s.me.ID {
		old = nil // the peers' ids mean nothing any more
	}
	s.start(ctx, old, first.ContactList)
	return s, nil
}

// begin puts the position where the new session goes on. A batch that nobody
// committed stays, if it is the same person's: it was already received.
func (a *account) begin(how origin, uin int64, key syncKey) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.blob.Session
	switch {
	case how == resumedLogin:
		return a.epoch
	case how == storedLogin && len(old.SyncKey) > 0:
		a.pos, a.pending = position{sync: old.SyncKey, check: old.CheckKey}, nil
	default:
		a.pos = position{sync: key, check: key}
		if old != nil && old.Uin != uin {
			a.pending = nil
		}
	}
	a.epoch++
	return a.epoch
}

// wireKey is a sync key as JSON.
type wireKey struct {
	Count int
	List  syncKey
}

type initAnswer struct {
	envelope
	SyncKey     wireKey
	SKey        string
	User        contact
	ContactList []contact
}

func (l *line) init(ctx context.Context) (*initAnswer, error) {
	ex := &exchange{op: classifier.OpInit, limit: largeAnswer}
	var a initAnswer
	err := l.ask(ctx, ex, l.times.quick, func(ctx context.Context) (*http.Response, error) {
		return l.lib.WebInit(ctx, l.base())
	}, &a)
	if err != nil {
		return nil, err
	}
	if a.User.UserName == "" || len(a.SyncKey.List) == 0 {
		return nil, l.enrich(ex.unreadable("answer holds no user or no sync key", nil))
	}
	return &a, nil
}

// notify tells the phone that the web client is there (code 3). It is also the
// cheapest request that proves a session.
func (l *line) notify(ctx context.Context, self string) error {
	var a struct{ envelope }
	ex := &exchange{op: classifier.OpNotify}
	return l.ask(ctx, ex, l.times.quick, func(ctx context.Context) (*http.Response, error) {
		return l.lib.WebWxStatusNotify(ctx, &openwechat.ClientWebWxStatusNotifyOptions{
			BaseRequest: l.base(), LoginInfo: l.login(),
			WebInitResponse: &openwechat.WebInitResponse{User: &openwechat.User{UserName: self}},
		})
	}, &a)
}

// over reports that a fault says that the session itself is gone, in WeChat's
// own words. What that means for the ladder is not decided here.
func over(err error) bool {
	var f *classifier.Fault
	if !errors.As(err, &f) || !f.HasCode {
		return false
	}
	switch f.Code {
	case 3, 1100, 1101, 1102:
		return true
	}
	return false
}

func identityOf(uin int64, me wechat.Peer) wechat.Identity {
	return wechat.Identity{ID: strconv.FormatInt(uin, 10), Name: me.Name, PeerID: me.ID}
}
