package webwx

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// Session is one open login. It implements wechat.Session, wechat.Prober and
// wechat.LoggerOut.
type Session struct {
	t      *Transport
	line   *line
	acct   *account
	people *people
	log    zerolog.Logger
	me     wechat.Peer
	uin    int64
	epoch  int
	floor  time.Duration // least time of a poll that brought nothing

	ctx  context.Context // ends with Close
	stop context.CancelCauseFunc
	work sync.WaitGroup
	idle int // syncs in a row that brought nothing; only Receive uses it
}

func newSession(t *Transport, l *line, first *initAnswer, epoch int) *Session {
	ctx, stop := context.WithCancelCause(context.Background())
	s := &Session{
		t: t, line: l, acct: t.acct, log: t.log, epoch: epoch, uin: l.login().WxUin,
		floor: min(time.Second, t.cfg.Hold/5), ctx: ctx, stop: stop,
	}
	s.me = first.User.peer(first.User.UserName)
	s.people = newPeople(t, l, s.me)
	return s
}

// start fills the directory and goes on in the background. It waits for the
// first try of the contact list, but not for ever: a login holds without.
func (s *Session) start(ctx context.Context, old *Session, recent []contact) {
	s.people.begin(old, recent)
	s.work.Go(func() { s.people.run(s.ctx) })
	timer := time.NewTimer(s.t.cfg.ContactWait)
	defer timer.Stop()
	select {
	case <-s.people.tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Identity is who is logged in. Its ID is the uin, which stays over logins.
func (s *Session) Identity() wechat.Identity { return identityOf(s.uin, s.me) }

// Close ends all calls and all background work and waits for the latter. WeChat
// is told nothing. It may be called often and while other calls run.
func (s *Session) Close() error {
	s.stop(ErrClosed)
	s.work.Wait()
	s.line.close()
	return nil
}

// join makes a context that also ends with the session.
func (s *Session) join(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	undo := context.AfterFunc(s.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { undo(); cancel(context.Canceled) }
}

// Probe asks WeChat for the least it answers at once.
func (s *Session) Probe(ctx context.Context) error {
	ctx, done := s.join(ctx)
	defer done()
	return s.line.notify(ctx, s.me.ID)
}

// Logout ends the login at WeChat's. The answer is a redirect that says
// nothing, so a notify afterwards tells whether it worked.
func (s *Session) Logout(ctx context.Context) error {
	ctx, done := s.join(ctx)
	defer done()
	ex := &exchange{op: classifier.OpLogout, page: true}
	err := s.line.call(ctx, ex, s.line.times.quick, func(ctx context.Context) (*http.Response, error) {
		return s.line.lib.Logout(ctx, s.line.login())
	})
	if err != nil {
		return err
	}
	err = s.line.notify(ctx, s.me.ID)
	var f *classifier.Fault
	switch {
	case err == nil:
		return s.line.enrich(ex.fault(classifier.PhaseAnswer, "WeChat still knows the session"))
	case errors.As(err, &f) && f.HasCode:
		return nil
	}
	return err
}
