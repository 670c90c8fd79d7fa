package sim

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errNothing says that a step of the phone found nothing to do until the end.
var errNothing = errors.New("nothing waited for it until the end of the script")

// series is something that happens once or repeatedly at its times.
type series struct {
	index int // of the step; -1 the incoming load
	next  time.Duration
	until time.Duration // not included; 0: no limit
	every time.Duration
	left  int // -1: no limit
	time  int
}

func newSeries(index int, at time.Duration, r Repeat, lasts time.Duration) *series {
	s := &series{index: index, next: at, every: r.Every, left: -1, until: r.Until}
	switch {
	case r.Every == 0:
		s.left = 1
	case r.Times > 0:
		s.left = r.Times
	}
	if s.until == 0 && s.left < 0 {
		s.until = lasts
	}
	return s
}

func (s *series) over() bool { return s.left == 0 || s.until > 0 && s.next >= s.until }

func (s *series) advance() {
	s.next += s.every
	if s.left > 0 {
		s.left--
	}
}

// timetable plays all that has a time, in order; of two at the same time the
// one that is first in the file.
func (p *player) timetable(ctx, steps context.Context) error {
	var all []*series
	for i, step := range p.script.Steps {
		if !step.AfterLogin {
			all = append(all, newSeries(i, step.At, step.Repeat, p.script.Lasts))
		}
	}
	if load := p.script.Load.Incoming; load.Every > 0 {
		all = append(all, newSeries(-1, 0, load, p.script.Lasts))
	}
	for {
		s := earliest(all)
		if s == nil || s.next > p.script.Lasts {
			return nil
		}
		if err := p.sleep(ctx, s.next); err != nil {
			return err
		}
		s.time++
		if s.index < 0 {
			p.incoming(s)
		} else {
			p.act(steps, s.index, s.next, s.time)
		}
		s.advance()
	}
}

func earliest(all []*series) *series {
	var first *series
	for _, s := range all {
		if !s.over() && (first == nil || s.next < first.next) {
			first = s
		}
	}
	return first
}

func (p *player) incoming(s *series) {
	load := p.script.Load
	e := Event{What: EventIncoming, At: s.next, Index: -1, Time: s.time, Step: Step{Line: load.Line,
		Message: &Message{From: load.From, Room: load.Room, Type: "text", Text: fmt.Sprintf("incoming %d", s.time)}}}
	e.MsgID, e.Err = p.server.Say(*e.Step.Message)
	p.tell(e)
}

// afterLogins plays a step after each login.
func (p *player) afterLogins(ctx context.Context, index int) {
	step, last := p.script.Steps[index], p.loginsBefore()
	for n := 1; step.Repeat.Times == 0 || n <= step.Repeat.Times; n++ {
		number, err := p.server.awaitLogin(ctx, last)
		if err != nil || wait(ctx, p.short(step.At)) != nil {
			return
		}
		last = number
		at := time.Duration(float64(time.Since(p.began)) * p.opts.Speed)
		p.act(ctx, index, at.Round(time.Millisecond), n)
	}
}

// loginsBefore is the last login before the one that the play begins with.
func (p *player) loginsBefore() int {
	if p.script.From == FromStart {
		return p.server.State().Logins
	}
	return max(0, p.server.proto.polling()-1)
}

// act plays one step once, and tells. A step of the phone that has to wait does
// so beside the others.
func (p *player) act(ctx context.Context, index int, at time.Duration, time int) {
	step := p.script.Steps[index]
	e := Event{What: EventStep, At: at, Index: index, Step: step, Time: time}
	switch {
	case step.Fault != nil:
		e.FaultID, e.Err = p.server.AddFault(step.Fault.faster(p.opts.Speed))
		p.note(step.As, e.FaultID)
	case step.Clear != "":
		p.clear(step.Clear)
	case step.Message != nil:
		e.MsgID, e.Err = p.server.Say(*step.Message)
	case step.Phone != nil:
		if !p.begins(index) {
			return // the former time still waits for its moment
		}
		p.running.Go(func() {
			e.Err = p.phone(ctx, *step.Phone)
			p.ends(index)
			p.tell(e)
		})
		return
	}
	p.tell(e)
}

func (p *player) note(as string, id int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if as != "" && id != 0 {
		p.ids[as] = append(p.ids[as], id)
	}
}

func (p *player) clear(as string) {
	if as == allFaults {
		p.server.ClearFaults()
		return
	}
	p.mu.Lock()
	ids := p.ids[as]
	delete(p.ids, as)
	p.mu.Unlock()
	for _, id := range ids {
		p.server.faults.clear(id)
	}
}

func (p *player) begins(index int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[index] {
		return false
	}
	p.busy[index] = true
	return true
}

func (p *player) ends(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, index)
}

// phone does what a person does, as soon as there is something to do it to.
func (p *player) phone(ctx context.Context, ph Phone) error {
	for {
		changed := p.server.proto.changes()
		err := p.server.takePhone(ph)
		if !errors.Is(err, ErrNothingWaits) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errNothing
		}
	}
}

func (s *Server) takePhone(ph Phone) error {
	switch ph.Do {
	case "scan":
		return s.ScanAs(ph.User)
	case "confirm":
		return s.Confirm()
	case "decline":
		return s.Decline()
	case "forget":
		s.Forget()
		return nil
	}
	err := s.Logout(ph.Retcode)
	if err == nil && ph.Forget {
		s.Forget()
	}
	return err
}

// awaitLogin waits until a login after that one has a client that polls, and
// returns its number.
func (s *Server) awaitLogin(ctx context.Context, after int) (int, error) {
	for {
		changed := s.proto.changes()
		if n := s.proto.polling(); n > after {
			return n, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}
