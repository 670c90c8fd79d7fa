package bridge

import (
	"time"

	"wechat-bridge/bridge/sim"
)

// play has a script played at its own speed, with the load that it describes,
// and tells when it began.
func (w *nightWorld) play(sc sim.Script) (began time.Time) {
	w.t.Helper()
	if sc.From == sim.FromStart {
		w.load.Go(func() { time.Sleep(time.Millisecond); w.start() })
	}
	err := w.sim.Play(w.t.Context(), sc, sim.PlayOptions{Speed: 1, OnStep: func(e sim.Event) {
		switch {
		case e.What == sim.EventBegin:
			began = time.Now()
			w.load.Go(func() { w.publish(sc, began) })
		case e.Step.Client != "":
			w.load.Go(func() { w.client(e.Step.Client) })
		}
		if e.MsgID != "" {
			w.mu.Lock()
			w.told, w.toldAt = append(w.told, e.MsgID), append(w.toldAt, time.Now())
			w.mu.Unlock()
		}
	}})
	if err != nil && !w.lenient {
		w.t.Error(err)
	}
	return began
}

// publish sends as often as the script says.
func (w *nightWorld) publish(sc sim.Script, began time.Time) {
	for n, at := range sendTimes(sc) {
		time.Sleep(time.Until(began.Add(at)))
		w.send(n + 1)
	}
}

// client does what the script leaves to who has it played.
func (w *nightWorld) client(do string) {
	switch do {
	case "kill":
		w.kill()
	case "start":
		w.start()
	case "login":
		if err := w.living().account.link.Login(w.t.Context(), true, ""); err != nil {
			w.t.Errorf("login: %v", err)
		}
	}
}
