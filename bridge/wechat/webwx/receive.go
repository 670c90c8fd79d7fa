package webwx

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// Receive waits for what happens, at most about the hold time. A batch that
// was not committed comes again, also after a resume.
func (s *Session) Receive(ctx context.Context) (wechat.Batch, error) {
	ctx, done := s.join(ctx)
	defer done()
	if ctx.Err() != nil {
		return wechat.Batch{}, context.Cause(ctx)
	}
	pending, pos := s.acct.next()
	if pending != nil {
		return *pending, nil
	}
	start := time.Now()
	if !pos.more {
		selector, err := s.check(ctx, pos)
		if err != nil {
			return wechat.Batch{}, err
		}
		if selector == "0" {
			s.idle = 0
			return wechat.Batch{}, pause(ctx, time.Until(start.Add(s.floor)))
		}
	}
	return s.fetch(ctx, pos)
}

// fetch syncs once and stages what it brought.
func (s *Session) fetch(ctx context.Context, pos position) (wechat.Batch, error) {
	a, err := s.sync(ctx, pos)
	if err != nil {
		return wechat.Batch{}, err
	}
	s.line.renew(a.SKey)
	next := a.position()
	if err := s.calm(ctx, a); err != nil {
		return wechat.Batch{}, err // nothing is staged: it comes again
	}
	if a.empty() && !next.more && next.check.text() == pos.check.text() {
		return wechat.Batch{}, nil
	}
	b := s.acct.stage(s.events(ctx, a, pos), next, s.epoch)
	if ctx.Err() != nil {
		return wechat.Batch{}, context.Cause(ctx) // it is staged: the next call brings it
	}
	return b, nil
}

// calm keeps a pace when the poll says that there is something and the sync
// brings nothing, again and again: seen in the wild, for minutes, and without a
// pause it is a storm.
func (s *Session) calm(ctx context.Context, a *syncAnswer) error {
	if !a.empty() {
		s.idle = 0
		return nil
	}
	s.idle++
	if s.idle == 1 { // a change that is none of ours
		return nil
	}
	return pause(ctx, min(s.floor<<min(s.idle-2, 5), 5*time.Second))
}

// Commit makes a batch's cursor durable: it is the only thing that moves the
// stored position.
func (s *Session) Commit(ctx context.Context, cursor wechat.Cursor) error {
	if len(cursor) == 0 {
		return nil
	}
	return s.acct.commit(ctx, cursor, s.line.snapshot())
}

// next gives the batch that waits for its commit, or the position to go on.
func (a *account) next() (*wechat.Batch, position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending != nil {
		b := a.pending.batch
		b.Events = slices.Clone(b.Events)
		return &b, a.pos
	}
	return nil, a.pos
}

func (a *account) stage(events []wechat.Event, next position, epoch int) wechat.Batch {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.staged++
	b := wechat.Batch{Events: events, Cursor: wechat.Cursor(strconv.FormatUint(a.staged, 10))}
	a.pending = &staged{batch: b, next: next, epoch: epoch}
	return b
}

// commit stores the position after a batch. A batch from before a new login
// only leaves the memory: that login has a position of its own.
func (a *account) commit(ctx context.Context, cursor wechat.Cursor, s *stored) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pending
	if p == nil || string(p.batch.Cursor) != string(cursor) {
		return a.stale(cursor)
	}
	old := a.pos
	if p.epoch == a.epoch {
		a.pos = p.next
	}
	if err := a.saveLocked(ctx, s); err != nil {
		a.pos = old
		return err
	}
	a.pending = nil
	return nil
}

// stale tells a cursor that was committed before from one nobody gave.
func (a *account) stale(cursor wechat.Cursor) error {
	n, err := strconv.ParseUint(string(cursor), 10, 64)
	if err == nil && n > 0 && n <= a.staged {
		return nil
	}
	return fmt.Errorf("webwx: unknown cursor")
}

var checkAnswer = regexp.MustCompile(`window\.synccheck\s*=\s*\{\s*retcode\s*:\s*"?(-?\d+)"?\s*,\s*selector\s*:\s*"?(-?\d+)"?`)

// check is the held poll. Its retcode is text where all others are numbers.
func (s *Session) check(ctx context.Context, pos position) (selector string, err error) {
	ex := &exchange{op: classifier.OpSyncCheck}
	err = s.line.call(ctx, ex, s.line.times.hold, func(ctx context.Context) (*http.Response, error) {
		return s.line.lib.SyncCheck(ctx, &openwechat.ClientSyncCheckOptions{
			BaseRequest: s.line.base(), LoginInfo: s.line.login(),
			WebInitResponse: &openwechat.WebInitResponse{SyncKey: pos.check.library()},
		})
	})
	if err != nil {
		return "", err
	}
	m := checkAnswer.FindSubmatch(ex.body)
	if m == nil {
		return "", s.line.enrich(ex.unreadable("answer holds no retcode", nil))
	}
	code, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return "", s.line.enrich(ex.unreadable("retcode is not a number", err))
	}
	if code != 0 {
		return "", s.line.enrich(ex.coded(code, ""))
	}
	return string(m[2]), nil
}

// syncAnswer is what a sync brought, with the parts that the library drops.
type syncAnswer struct {
	envelope
	AddMsgList            []json.RawMessage
	ModContactList        []json.RawMessage
	DelContactList        []json.RawMessage
	ModChatRoomMemberList []json.RawMessage
	ContinueFlag          int
	SyncKey               wireKey
	SyncCheckKey          wireKey
	SKey                  string
}

func (a *syncAnswer) empty() bool {
	return len(a.AddMsgList)+len(a.ModContactList)+len(a.DelContactList)+len(a.ModChatRoomMemberList) == 0
}

func (a *syncAnswer) position() position {
	p := position{sync: a.SyncKey.List, check: a.SyncCheckKey.List, more: a.ContinueFlag != 0}
	if len(p.check) == 0 {
		p.check = p.sync
	}
	return p
}

func (s *Session) sync(ctx context.Context, pos position) (*syncAnswer, error) {
	ex := &exchange{op: classifier.OpSync, limit: largeAnswer}
	var a syncAnswer
	err := s.line.ask(ctx, ex, s.line.times.quick, func(ctx context.Context) (*http.Response, error) {
		return s.line.lib.WebWxSync(ctx, &openwechat.ClientWebWxSyncOptions{
			BaseRequest: s.line.base(), LoginInfo: s.line.login(),
			WebInitResponse: &openwechat.WebInitResponse{SyncKey: pos.sync.library()},
		})
	}, &a)
	if err != nil {
		return nil, err
	}
	if len(a.SyncKey.List) == 0 {
		return nil, s.line.enrich(ex.unreadable("answer holds no sync key", nil))
	}
	return &a, nil
}
