package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ErrClosed says that the simulator was closed meanwhile.
var ErrClosed = errors.New("simulator closed")

// What an Event is about.
const (
	EventBegin    = "begin"    // offsets count from now: start the load
	EventStep     = "step"     // a step was played, or is the client's to play
	EventIncoming = "incoming" // a message of the load
	EventEnd      = "end"      // the script is over: end the load
)

// Event is something that a script did.
type Event struct {
	What    string
	At      time.Duration // offset in the script's own time
	Index   int           // of the step in Script.Steps; else -1
	Step    Step          // for EventStep
	Time    int           // which time of a repeated step, or message, or login, from 1
	FaultID int           // of the fault that was added
	MsgID   string        // of the message that was said
	Err     error         // why it could not be played
}

// PlayOptions say how a script is played.
type PlayOptions struct {
	// Speed divides all times of the script, the duration and delay of faults
	// included, and multiplies the rate of throttles; 0 takes Script.Speed. What
	// is no part of the script keeps its time: Options.Hold, Options.QRLife, and
	// all that the client does.
	Speed float64
	// OnStep is told of each event, one at a time; it should return soon.
	OnStep func(Event)
}

// maxFailures bounds how many failed steps Play remembers in words.
const maxFailures = 10

// Play plays a script and returns when it is over. A step of the phone that
// finds nothing to do waits until there is something. Faults that the script
// neither limits nor clears stay, as if the control API had added them.
//
// It returns a *ScriptError, before anything happens, if the script does not
// fit the world (see Script.Check); the context's cause if that ends first,
// ErrClosed if the simulator does; else which steps failed, if any.
func (s *Server) Play(ctx context.Context, sc Script, opts PlayOptions) error {
	if opts.Speed == 0 {
		opts.Speed = max(1, sc.Speed)
	}
	if opts.Speed < 1 || opts.Speed > maxSpeed {
		return fmt.Errorf("%w: speed %v: want 1 to %d", ErrInvalid, opts.Speed, maxSpeed)
	}
	if err := sc.Check(s.opts.World); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(ErrClosed) })()
	p := &player{server: s, script: sc, opts: opts, ids: make(map[string][]int), busy: make(map[int]bool)}
	return p.run(ctx)
}

// player is a script under way.
type player struct {
	server  *Server
	script  Script
	opts    PlayOptions
	began   time.Time
	running sync.WaitGroup

	mu     sync.Mutex
	ids    map[string][]int // of faults, by their step's As; allFaults for all
	busy   map[int]bool     // steps of the phone that still wait
	failed []error
	missed int // failures that are not in failed
}

func (p *player) run(ctx context.Context) error {
	defer p.running.Wait()
	steps, stop := context.WithCancel(ctx)
	defer stop()
	if err := p.open(ctx, steps); err != nil {
		return err
	}
	p.tell(Event{What: EventBegin, Index: -1})
	for i, step := range p.script.Steps {
		if step.AfterLogin {
			p.running.Go(func() { p.afterLogins(steps, i) })
		}
	}
	err := p.timetable(ctx, steps)
	if err == nil {
		err = p.sleep(ctx, p.script.Lasts)
	}
	stop()
	p.running.Wait()
	if err != nil {
		return err
	}
	p.tell(Event{What: EventEnd, At: p.script.Lasts, Index: -1})
	return p.result()
}

// open sets the phone up and waits for the moment from which offsets count.
func (p *player) open(ctx, steps context.Context) error {
	auto := p.script.AutoLogin
	if auto != "" {
		p.server.proto.playAuto(auto != AutoNever)
	}
	if auto == AutoFirst && p.script.From == FromStart {
		p.running.Go(func() {
			if _, err := p.server.awaitLogin(steps, 0); err == nil {
				p.server.proto.playAuto(false)
			}
		})
	}
	if p.script.From != FromStart {
		if _, err := p.server.awaitLogin(ctx, 0); err != nil {
			return err
		}
		if auto == AutoFirst {
			p.server.proto.playAuto(false)
		}
	}
	p.began = time.Now()
	return nil
}

// sleep waits until an offset of the script.
func (p *player) sleep(ctx context.Context, offset time.Duration) error {
	return wait(ctx, time.Until(p.began.Add(p.short(offset))))
}

func wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// short is a time of the script as it is played; something stays something.
func (p *player) short(d time.Duration) time.Duration { return shorten(d, p.opts.Speed) }

func shorten(d time.Duration, speed float64) time.Duration {
	if d <= 0 {
		return d
	}
	return max(1, time.Duration(float64(d)/speed))
}

// faster is a fault as it is at a speed.
func (f Fault) faster(speed float64) Fault {
	f.For, f.Delay = shorten(f.For, speed), shorten(f.Delay, speed)
	if n, _, err := parseRate(f.Rate); err == nil {
		_, unit, _ := strings.Cut(f.Rate, "/")
		f.Burst = orDefault(f.Burst, n)
		f.Rate = fmt.Sprintf("%d/%s", max(1, int(float64(n)*speed+0.5)), unit)
	}
	return f
}

func (p *player) tell(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.server.opts.Log.Info()
	if e.Err != nil {
		log = p.server.opts.Log.Error().Err(e.Err)
		if len(p.failed) < maxFailures {
			p.failed = append(p.failed, fmt.Errorf("line %d, %s: %w", e.Step.Line, e.Step, e.Err))
		} else {
			p.missed++
		}
	}
	if e.What != EventIncoming {
		log.Str("script", p.script.Name).Str("what", e.What).Stringer("at", e.At).Int("line", e.Step.Line).Int("time", e.Time).Msg("script")
	}
	if p.opts.OnStep != nil {
		p.opts.OnStep(e)
	}
}

// result says which steps failed.
func (p *player) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missed > 0 {
		p.failed = append(p.failed, fmt.Errorf("and %d more", p.missed))
	}
	if len(p.failed) == 0 {
		return nil
	}
	return fmt.Errorf("script %s: %w", p.script.Name, errors.Join(p.failed...))
}
