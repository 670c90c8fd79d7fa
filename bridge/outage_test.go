package bridge

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// get asks the worker's HTTP port.
func (r *rig) get(path string) (status int, body []byte) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.info.HTTP + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (r *rig) health() (status int, h wire.Health) {
	r.t.Helper()
	status, body := r.get("/healthz")
	if err := json.Unmarshal(body, &h); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	return status, h
}

// wantHealth wants the three endpoints to say so, and a reason where it is bad.
func (r *rig) wantHealth(live, ready, health int) {
	r.t.Helper()
	if got, body := r.get("/livez"); got != live {
		r.t.Errorf("/livez is %d, want %d: %s", got, live, body)
	}
	if got, body := r.get("/readyz"); got != ready || ready != 200 && len(body) < 20 {
		r.t.Errorf("/readyz is %d, want %d: %s", got, ready, body)
	}
	got, h := r.health()
	if got != health || health != 200 && h.Connection.Reason+h.Process.Reason+h.Business.Reason == "" {
		r.t.Errorf("/healthz is %d, want %d: %+v", got, health, h)
	}
}

var outages = []struct {
	name  string
	fault sim.Fault
	class string
}{
	{"refuse", sim.Fault{Do: "refuse"}, "network"},
	{"reset", sim.Fault{Do: "reset"}, "network"},
	{"html", sim.Fault{Do: "html"}, "protocol"},
	{"empty", sim.Fault{Do: "empty"}, "protocol"},
	{"502", sim.Fault{Do: "status", Status: 502}, "server"},
}

// An outage of any kind: said within seconds with its class, nothing is lost
// and nothing sent twice, each chat keeps its order, nobody has to log in.
func TestOutages(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Options{})
			r.start()
			r.awaitConnected()
			r.text("before", "Alice", "alice", "before")
			r.final("before")
			r.wantHealth(200, 200, 200)
			logins := r.logins()

			r.fault(o.fault)
			began := time.Now()
			c := r.awaitState(wire.StateReconnecting)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("noticed after %s", took)
			}
			if c.Reason == nil || c.Reason.Class != o.class || c.Reason.Message == "" || c.Sending != "held" || c.UserAction != "none" && c.UserAction != "wait" {
				t.Errorf("the state is %+v, reason %+v, want class %s", c, c.Reason, o.class)
			}
			r.wantHealth(200, 503, 503)
			for n := range 6 {
				to := []string{"Alice", "Team"}[n%2]
				r.text(fmt.Sprintf("during-%d", n), to, map[string]string{"Alice": "alice", "Team": "team"}[to], fmt.Sprintf("during %d", n))
				r.say(sim.Message{From: "alice", Type: "text", Text: fmt.Sprintf("in %d", n)})
			}
			r.eventually("all are accepted", func() bool { return r.chain("during-5") == "accepted" })
			if n := len(r.sim.Sent()); n != 1 {
				t.Errorf("WeChat has %d messages during the outage", n)
			}
			r.sim.ClearFaults()
			r.awaitConnected()
			r.reckon(0)
			r.noLoginSince(logins)
			r.eventually("it is ready again", func() bool { s, _ := r.get("/readyz"); return s == 200 })
			r.wantHealth(200, 200, 200)
		})
	}
}

// What says nothing final about the session costs neither it nor a login:
// sends go on where WeChat takes them, what comes in is there afterwards.
func TestDoubtsCostNoSession(t *testing.T) {
	for name, f := range map[string]sim.Fault{
		"synccheck Ret 3":           {On: []string{"synccheck"}, Do: "ret", Ret: 3},
		"webwxsync Ret 3":           {On: []string{"webwxsync"}, Do: "ret", Ret: 3},
		"both Ret 3":                {On: []string{"synccheck", "webwxsync"}, Do: "ret", Ret: 3},
		"webwxbatchgetcontact 1205": {On: []string{"webwxbatchgetcontact"}, Do: "ret", Ret: 1205},
		"false alarms":              {On: []string{"synccheck"}, Do: "ret", Selector: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Options{})
			r.start()
			r.awaitConnected()
			logins := r.logins()
			r.fault(f)
			r.say(sim.Message{From: "frank", Room: "hidden", Type: "text", Text: "from a room that was not visible"})
			for n := range 5 {
				r.say(sim.Message{From: "bob", Type: "text", Text: fmt.Sprint(n)})
				r.text(fmt.Sprint("go-on-", n), "Alice", "alice", fmt.Sprint("go on ", n))
				if d := r.final(fmt.Sprint("go-on-", n)); d.State != wire.Sent {
					t.Errorf("%+v", d)
				}
			}
			r.eventually("WeChat met the fault a few times", func() bool { return r.sim.Faults()[0].Hits >= 2 || f.Ret == 1205 })
			r.sim.ClearFaults()
			r.reckon(0)
			r.noLoginSince(logins)
			for len(r.states) > 0 {
				if c := <-r.states; c.State != wire.StateConnected {
					t.Errorf("it was %s: %+v", c.State, c.Reason)
				}
			}
		})
	}
}

// 1205 on sends: slower, and all of them arrive.
func TestTooOftenSlowsDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	logins := r.logins()
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "ret", Ret: 1205, Count: 1})
	for n := range 4 {
		r.text(fmt.Sprint("slow-", n), "Alice", "alice", fmt.Sprint("slow ", n))
	}
	c := r.await("slowed", func(c wire.Connection) bool { return c.Sending == "slowed" })
	if c.State != wire.StateConnected {
		t.Errorf("state %+v", c)
	}
	if s, body := r.get("/readyz"); s != 200 {
		t.Errorf("/readyz is %d: %s", s, body)
	}
	if _, h := r.health(); h.Business.Status != "warn" || h.Connection.Status != "pass" {
		t.Errorf("health: %+v", h)
	}
	r.reckon(0)
	r.noLoginSince(logins)
}

// The answer of a send gets lost after WeChat took it: never silent.
func TestLostAnswers(t *testing.T) {
	for _, mode := range []string{"resend", "report"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Options{})
			r.start()
			r.awaitConnected()
			r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "accept_then_drop", Count: 1})
			r.text("lost", "Alice", "alice", "lost", "on_unknown", mode)
			d := r.final("lost")
			sent := r.sim.Sent()
			switch mode {
			case "resend":
				if d.State != wire.Sent || !d.PossibleDuplicate || len(sent) != 2 {
					t.Errorf("%d at WeChat, record %+v", len(sent), d)
				}
				if sent[0].ClientMsgID != sent[1].ClientMsgID {
					t.Errorf("the client's ids differ: %s, %s", sent[0].ClientMsgID, sent[1].ClientMsgID)
				}
			case "report":
				if d.State != wire.Unknown || d.Certain || len(sent) != 1 {
					t.Errorf("%d at WeChat, record %+v", len(sent), d)
				}
			}
			r.send(map[string]any{"id": "lost", "to": "Alice", "text": "lost", "on_unknown": mode})
			r.text("after", "Alice", "alice", "after")
			r.reckon(1)
		})
	}
}

// A WeChat that freezes with the sockets open is seen within the hold time of
// a poll and ten seconds.
func TestFrozenWeChatIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.text("before", "Alice", "alice", "before")
	r.final("before")
	logins := r.logins()
	r.fault(sim.Fault{Do: "hang"})
	began := time.Now()
	c := r.awaitFor(45*time.Second, "reconnecting", func(c wire.Connection) bool { return c.State == wire.StateReconnecting })
	if took := time.Since(began); took > 40*time.Second || c.Reason == nil || c.Reason.Code != "no_pulse" {
		t.Errorf("seen after %s: %+v", took, c.Reason)
	}
	r.wantHealth(200, 503, 503)
	r.text("during", "Alice", "alice", "during")
	r.say(sim.Message{From: "alice", Type: "text", Text: "hello?"})
	r.sim.ClearFaults()
	r.awaitConnected()
	r.reckon(1)
	r.noLoginSince(logins)
}

// A reason leads to its page, which the bridge itself serves.
func TestAReasonHasAPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{On: []string{"*"}, Do: "refuse"})
	c := r.awaitState(wire.StateReconnecting)
	page, found := strings.CutPrefix(c.Reason.HelpURL, "http://"+r.info.HTTP)
	if !found {
		t.Fatalf("help_url %q", c.Reason.HelpURL)
	}
	status, body := r.get(page)
	if status != http.StatusOK || !strings.Contains(string(body), c.Reason.Code) || !strings.Contains(string(body), c.Reason.MessageZH) {
		t.Errorf("%s: %d %s", page, status, body)
	}
	for path, want := range map[string]int{"/errors/": 200, "/errors/README.md": 200, page + ".md": 200, "/errors/nothing": 404} {
		if got, _ := r.get(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// A simulator that is started again, as on a laptop, is the same WeChat with
// the same account: `run` trusts it and goes on. It has forgotten the session,
// and as that is less than a minute old, a person has to say that it is no
// restriction.
func TestSimulatorIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	addr := r.sim.Addr()
	if err := r.sim.Close(); err != nil {
		t.Fatal(err)
	}
	r.awaitState(wire.StateReconnecting)
	s, err := sim.Start(sim.Options{Listen: addr, CAFile: r.cfg.WechatCA, AutoLogin: true, Echo: "off", Hold: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r.awaitState(wire.StateBlocked)
	if _, code := r.ask("login", LoginRequest{Force: true}); code != "" {
		t.Fatal(code)
	}
	r.awaitConnected()
	r.send(map[string]any{"id": "after", "to": "filehelper", "text": "hi"})
	if d := r.final("after"); d.State != wire.Sent || len(s.Sent()) != 1 {
		t.Errorf("%+v; WeChat has %d", d, len(s.Sent()))
	}
}
