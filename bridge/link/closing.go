package link

import (
	"context"
	"errors"

	"wechat-bridge/bridge/wechat"
)

func (l *Link) closeSession() {
	s := l.loop.session
	l.loop.session, l.loop.batch = nil, wechat.Batch{}
	if s != nil {
		l.gate.Store(nil) // publish does so too, but only after all effects
		l.closeAside(s)
	}
}

// closeAside closes a session; the next login waits for that, as only one
// session may be open.
func (l *Link) closeAside(s *session) {
	closed := make(chan struct{})
	before := l.closing.Swap(&closed)
	ctx := l.loop.ctx
	l.loop.wg.Go(func() {
		defer close(closed)
		if before != nil {
			<-*before
		}
		if err := s.end(ctx); err != nil {
			l.cfg.Log.Debug().Str(fieldAccount, l.cfg.Account).Err(err).Msg(logClose)
		}
	})
}

// leave logs out and forgets, and answers the person who asked.
func (l *Link) leave(e event) {
	s := l.loop.session
	l.spawn(func(ctx context.Context, gen uint64) {
		ctx, cancel := context.WithTimeout(ctx, logoutTime)
		defer cancel()
		var err error
		if s != nil {
			if out, ok := s.Session.(wechat.LoggerOut); ok {
				err = out.Logout(ctx)
			}
		}
		err = errors.Join(err, l.cfg.Transport.Forget(ctx))
		e.answer <- err
		l.mail.put(event{kind: evLogoutDone, gen: gen})
	})
}
