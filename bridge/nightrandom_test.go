package bridge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/outbox"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// randomNights is how many scripts the suite plays; BRIDGE_NIGHTS says
// otherwise, and BRIDGE_NIGHT_SEED which the first one is.
const randomNights = 24

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Whatever goes wrong, in any order: when it is over, the account is connected,
// or a person is needed and helps; nothing is lost, each chat keeps its order,
// no login is above the budget, and nothing goes out while the breaker is open.
func TestRandomNights(t *testing.T) {
	first := fromEnv(t, "BRIDGE_NIGHT_SEED", rand.Uint64N(1<<32))
	n := fromEnv(t, "BRIDGE_NIGHTS", randomNights)
	t.Logf("BRIDGE_NIGHT_SEED=%d", first)
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			sc := randomNight(seed)
			inNight(t, sim.Options{Seed: seed + 1, Retell: "all"}, outbox.Pace{}, func(w *nightWorld) { w.randomNight(sc) })
		})
	}
}

func (w *nightWorld) randomNight(sc sim.Script) {
	w.lenient = true
	w.start()
	w.wantConnected(time.Minute)
	began := w.play(sc)
	w.load.Wait()
	faults := w.sim.Faults()
	w.sim.ClearFaults()
	if !w.recovers() {
		c := w.living().account.connection()
		w.t.Errorf("two hours after the last fault it is %s, sending %s, reason %+v, retry at %v", c.State, c.Sending, c.Reason, c.RetryAt)
	} else if !w.eventually(2*time.Hour, w.done) {
		w.t.Error("it is connected, and hours later messages still are not final or not stored")
	}
	for _, wrong := range w.seen.wrong {
		w.t.Error(wrong)
	}
	w.judgeLedgers(sc, faults, began)
	if n := w.seen.loud(); n > 20*(len(sc.Steps)+1) {
		w.t.Errorf("%d warnings and errors in the log", n)
	}
	if found := nightSecrets.FindString(w.seen.text()); found != "" {
		w.t.Errorf("the log has %q", found)
	}
	if w.t.Failed() {
		for _, s := range sc.Steps {
			w.t.Logf("%s %s", s.At, s)
		}
		w.tell(began)
	}
}

// recovers waits until it is connected. Where a person is needed, one comes
// after a while.
func (w *nightWorld) recovers() bool {
	return w.eventually(2*time.Hour, func() bool {
		c := w.living().account.connection()
		if c.UserAction == string(link.OpenPhone) || c.State == wire.StateBlocked || c.State == wire.StateLoggedOut {
			if err := w.living().account.link.Login(w.t.Context(), true, ""); err != nil && !errors.Is(err, link.ErrBudget) {
				w.t.Errorf("a person logs in: %v", err)
			}
			time.Sleep(time.Minute)
		}
		return c.State == wire.StateConnected && c.Sending != wire.SendingHeld
	})
}

// done is settled, but for what WeChat does not tell again.
func (w *nightWorld) done() bool {
	w.settled()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.finals >= len(w.commands) && len(w.untold()) == 0
}

// untold are messages that should be stored and are not. A new login is told
// of the newest 20: older ones are WeChat's loss. The
// lock is held.
func (w *nightWorld) untold() (missing []string) {
	w.nats.mu.Lock()
	defer w.nats.mu.Unlock()
	w.seen.mu.Lock()
	logins := w.seen.logins[1:]
	w.seen.mu.Unlock()
	for i, id := range w.told {
		if w.nats.eventIDs[id] || slices.ContainsFunc(logins, func(at time.Time) bool { return w.forgotten(i, at) }) {
			continue
		}
		missing = append(missing, id)
	}
	return missing
}

// forgotten says that a login came after 20 newer ones.
func (w *nightWorld) forgotten(i int, login time.Time) bool {
	newer := 0
	for _, at := range w.toldAt[i:] {
		if !at.After(login) {
			newer++
		}
	}
	return newer > 20
}

func (w *nightWorld) judgeLedgers(sc sim.Script, faults []sim.Fault, began time.Time) {
	doubts := 8 * losses(w.seen.since(began))
	sendFaults := false
	for _, f := range faults {
		if slices.Contains(f.On, "*") || slices.Contains(f.On, "webwxsendmsg") {
			sendFaults = true
			doubts += f.Hits
			if f.Do == "refuse" || f.Do == "hang" {
				doubts += 8
			}
		}
	}
	for _, s := range sc.Steps {
		if s.Client == "kill" {
			doubts += 8
		}
	}
	r := w.reckon(doubts)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.ReceivedLost = w.untold()
	if !r.OK() {
		w.t.Errorf("the ledgers:\n%s", r)
	}
	if n := r.ByState[wire.Sent]; n != len(w.commands) && !sendFaults {
		w.t.Errorf("%d of %d were sent, and no fault was on sends: %v", n, len(w.commands), r.ByState)
	}
	for state := range r.ByState {
		if !strings.Contains("sent failed unknown", string(state)) {
			w.t.Errorf("%d are %s", r.ByState[state], state)
		}
	}
}
