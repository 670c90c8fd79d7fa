package bridge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

const (
	nightName = "night-1328"
	// nightSpeed plays its eight hours in a minute.
	nightSpeed = 480
	// nightLook is between two looks at health and faults.
	nightLook = 250 * time.Millisecond
	// nightCells is how many signs the strip of health has at most.
	nightCells = 60
)

// nightTime is how long something takes that belongs to the night.
func nightTime(d time.Duration) time.Duration { return d / nightSpeed }

// night is the night of the 1,328 errors, played to the worker of the demo.
type night struct {
	*demo
	script sim.Script
	before sim.State
	ready  time.Time // when it was logged in
	origin time.Time // of the script's clock

	mu      sync.Mutex
	now     wire.Connection
	lost    int           // losses of the connection
	away    time.Duration // how long nothing could be sent
	since   time.Time     // of the loss
	faults  map[int]sim.Fault
	health  []string // statuses, one a look
	alerts  []alert.Kind
	told    []string // events that WeChat handed over
	heard   []string // that are stored
	failure error    // why a message could not be published
}

// night plays and tells it, and compares what became of everything.
func (d *demo) night(ctx context.Context) error {
	script, ok := sim.Night(nightName)
	if !ok {
		return fmt.Errorf("%w: there is no night %s", ErrDemo, nightName)
	}
	n := &night{demo: d, script: script, faults: map[int]sim.Fault{}}
	n.title()
	if err := d.login(ctx); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	if err := n.settled(ctx); err != nil {
		return err
	}
	n.announce()
	for _, look := range []func(context.Context){n.hearStates, n.hearRecords, n.hearEvents, n.look} {
		watching.Go(func() { look(watch) })
	}
	if err := n.play(ctx); err != nil {
		return err
	}
	if err := n.wait(ctx); err != nil {
		return err
	}
	stop()
	watching.Wait()
	return n.reckoning(ctx)
}

// settled waits until the login is no news to anybody any more.
func (n *night) settled(ctx context.Context) error {
	n.before, n.ready = n.sim.State(), time.Now()
	n.now = wire.Connection{State: wire.StateConnected}
	n.lines.n.Store(0)
	if !pause(ctx, 2*time.Second+nightTime(20*time.Minute)) {
		return ctx.Err()
	}
	n.origin = time.Now()
	return nil
}

// play has the script played, with its load.
func (n *night) play(ctx context.Context) error {
	var load sync.WaitGroup
	defer load.Wait()
	err := n.sim.Play(ctx, n.script, sim.PlayOptions{Speed: nightSpeed, OnStep: func(e sim.Event) {
		if e.What == sim.EventBegin {
			n.origin = time.Now()
			load.Go(func() { n.sendAll(ctx) })
		}
		if e.MsgID != "" {
			n.mu.Lock()
			n.told = append(n.told, e.MsgID)
			n.mu.Unlock()
		}
		if note := e.Step.Note; e.What == sim.EventStep && note.EN != "" {
			n.say(n.Say(note.EN, note.ZH))
		}
	}})
	load.Wait()
	if err == nil {
		err = n.failure
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDemo, err)
	}
	return nil
}

// sendAll publishes as often as the script says.
func (n *night) sendAll(ctx context.Context) {
	for i, at := range sendTimes(n.script) {
		if !pause(ctx, time.Until(n.origin.Add(nightTime(at)))) {
			return
		}
		s := demoSend{id: fmt.Sprintf("night-%d", i+1), to: "Alice", toID: "alice", text: fmt.Sprintf("message %d", i+1)}
		if i%2 == 1 {
			s.to, s.toID = "Team", "team"
		}
		n.mu.Lock()
		s.kept = n.now.Sending == wire.SendingHeld
		n.mu.Unlock()
		if _, n.failure = n.publish(ctx, s); n.failure != nil {
			return
		}
	}
}

// sendTimes are the offsets of a script's sends.
func sendTimes(sc sim.Script) (times []time.Duration) {
	load, until := sc.Load.Sends, sc.Lasts
	if load.Until > 0 {
		until = min(until, load.Until)
	}
	if load.Every <= 0 {
		return nil
	}
	for at := time.Duration(0); at < until && (load.Times == 0 || len(times) < load.Times); at += load.Every {
		times = append(times, at)
	}
	return times
}

// wait is for what has to come after the night: finals, events, the alert that
// all is well.
func (n *night) wait(ctx context.Context) error {
	if err := n.finals(ctx, false); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	for !n.done() {
		if !pause(ctx, 50*time.Millisecond) {
			return nil // the reckoning says what is missing
		}
	}
	return nil
}

func (n *night) done() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	calm := len(n.alerts) > 0 && n.alerts[len(n.alerts)-1] == alert.KindBack
	return calm && n.now.State == wire.StateConnected && len(n.heard) >= len(n.told)
}

// hearStates follows the connection.
func (n *night) hearStates(ctx context.Context) {
	for {
		select {
		case c := <-n.states:
			n.note(c, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (n *night) note(c wire.Connection, at time.Time) {
	n.mu.Lock()
	was := n.now
	n.now = c
	held, wasHeld := c.Sending == wire.SendingHeld, was.Sending == wire.SendingHeld
	switch {
	case held && !wasHeld:
		n.lost++
		n.since = at
	case wasHeld && !held:
		n.away += at.Sub(n.since)
	}
	n.mu.Unlock()
	if c.State == was.State {
		return
	}
	line := fmt.Sprintf("  → %s, %s", c.State, c.Sending)
	if c.Reason != nil {
		line += ": " + n.Say(c.Reason.Message, c.Reason.MessageZH)
	}
	n.say(line)
}

// hearRecords follows what is stored on wechat.status.
func (n *night) hearRecords(ctx context.Context) {
	_ = n.client.Watch(ctx, broker.Watch{Status: true, History: true, Since: n.ready}, func(r broker.Record) error {
		var a alert.Alert
		if _, err := wire.OpenAs(r.Body, alert.TypeAlert, &a); err != nil || a.Since == nil || a.Since.Before(n.ready) {
			return nil // no alert, or one about the login
		}
		n.mu.Lock()
		n.alerts = append(n.alerts, a.Kind)
		n.mu.Unlock()
		n.say("  ! " + n.Say("alert: ", "告警：") + wire.Printable(a.Title, 100))
		return nil
	})
}

// hearEvents follows what is stored on wechat.events.
func (n *night) hearEvents(ctx context.Context) {
	_ = n.client.Watch(ctx, broker.Watch{Events: true, History: true, Since: n.ready}, func(r broker.Record) error {
		var m wire.Message
		if _, err := wire.OpenAs(r.Body, wire.TypeMessage, &m); err == nil {
			n.mu.Lock()
			n.heard = append(n.heard, m.MessageID)
			n.mu.Unlock()
		}
		return nil
	})
}

// look asks /healthz and the simulator's faults again and again.
func (n *night) look(ctx context.Context) {
	for pause(ctx, nightLook) {
		_, h, err := n.askHealth(ctx)
		if err != nil {
			h.Status = monitor.Fail
		}
		n.mu.Lock()
		n.health = append(n.health, h.Status)
		for _, f := range n.sim.Faults() {
			n.faults[f.ID] = f
		}
		n.mu.Unlock()
	}
}

// say prints a line with the night's own clock.
func (n *night) say(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := time.Duration(float64(time.Since(n.origin)) * nightSpeed).Truncate(time.Minute)
	fmt.Fprintf(n.Out, " %d:%02d  %s\n", int(at.Hours()), int(at.Minutes())%60, text)
}
