package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// show plays a script in the background.
type show struct {
	t     *testing.T
	done  chan error
	mu    sync.Mutex
	began time.Time
	all   []Event
	clock []time.Duration // when each event came, from the begin
	react func(Event)     // called in a goroutine of its own
	tasks sync.WaitGroup
}

func play(ctx context.Context, t *testing.T, s *Server, sc Script, speed float64, react func(Event)) *show {
	v := &show{t: t, done: make(chan error, 1), react: react}
	go func() {
		err := s.Play(ctx, sc, PlayOptions{Speed: speed, OnStep: v.on})
		v.tasks.Wait()
		v.done <- err
	}()
	return v
}

func (v *show) on(e Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.What == EventBegin {
		v.began = time.Now()
	}
	v.all, v.clock = append(v.all, e), append(v.clock, time.Since(v.began))
	if v.react != nil {
		v.tasks.Go(func() { v.react(e) })
	}
}

func (v *show) events(what string) []Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.all), func(e Event) bool { return e.What != what })
}

func parse(t *testing.T, text string) Script {
	t.Helper()
	sc, err := ParseScript([]byte("name: test\n" + text))
	must(t, err)
	return sc
}

// arrive logs in and polls once, which is when offsets begin to count.
func (c *client) arrive() {
	c.t.Helper()
	c.login()
	c.poke()
}

// poke asks once whether there is news, whatever the answer.
func (c *client) poke() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.syncCheckURL(), nil)
	must(c.t, err)
	_, _, _ = c.do(req) // held longer than that
}

// pushLogin asks the phone to confirm, and waits until it does.
func (c *client) pushLogin() {
	_, body := c.get("https://" + c.host + cgiBin + "webwxpushloginurl?uin=" + c.uin)
	var a pushAnswer
	must(c.t, json.Unmarshal([]byte(body), &a))
	c.finish(a.UUID)
	c.poke()
}

// In virtual time each step comes to the nanosecond, and an hour of long polls
// costs nothing.
func TestPlayKeepsTime(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *Server, c *client) {
		v := play(t.Context(), t, s, parse(t, `
lasts: 1h
load: {incoming: {every: 10m, times: 4, from: bob, room: team}}
steps:
  - {at: 50m, client: kill}
  - {at: 5m, as: short, fault: {on: [webwxsendmsg], do: ret, ret: 1205}}
  - {at: 6m, clear: short}
  - {at: 15m, repeat: {every: 20m}, message: {from: alice, text: hello}}
  - {at: 45m, fault: {on: [webwxlogout], do: reset, count: 1}}
`), 1, nil)
		c.arrive()
		polls, texts := 0, 0
		for begin := time.Now(); time.Since(begin) < time.Hour-DefaultHold; polls++ {
			if code, sel := c.syncCheck(); code != "0" {
				t.Fatalf("poll %d: %s", polls, code)
			} else if sel != "0" {
				m := c.sync()
				texts += strings.Count(fmt.Sprint(m["AddMsgList"]), "Content:hello") + strings.Count(fmt.Sprint(m["AddMsgList"]), "incoming ")
			}
		}
		must(t, <-v.done)
		if polls < 3600/25-1 || texts != 7 {
			t.Errorf("%d polls, %d messages", polls, texts)
		}
		var got []string
		for i, e := range v.all {
			if v.clock[i] != e.At || e.Err != nil {
				t.Errorf("%s %s came at %s, want %s (%v)", e.What, e.Step, v.clock[i], e.At, e.Err)
			}
			got = append(got, fmt.Sprint(e.At, " ", e.What, " ", e.Time))
		}
		want := "0s begin 0|0s incoming 1|5m0s step 1|6m0s step 1|10m0s incoming 2|15m0s step 1|20m0s incoming 3|30m0s incoming 4|35m0s step 2|" +
			"45m0s step 1|50m0s step 1|55m0s step 3|1h0m0s end 0"
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
		if f := s.Faults(); len(f) != 1 || f[0].Do != "reset" || f[0].Hits != 0 {
			t.Errorf("left: %+v", f)
		}
	})
}

// Speed divides all times of the script, and multiplies rates.
func TestPlayAtSpeed(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *Server, c *client) {
		v := play(t.Context(), t, s, parse(t, `
speed: 60
lasts: 1h
steps:
  - {at: 10m, fault: {on: [webwxsync], do: delay, delay: 2s, for: 30m}}
  - {at: 20m, fault: {on: [webwxsendmsg], do: throttle, rate: 20/m}}
`), 0, nil)
		c.arrive()
		must(t, <-v.done)
		if d := v.clock[len(v.clock)-1]; d != time.Minute || v.clock[1] != 10*time.Second {
			t.Errorf("took %v", v.clock)
		}
		f := s.Faults()
		if len(f) != 2 || f[0].For != 30*time.Second || f[0].Delay != time.Second/30 || f[1].Rate != "1200/m" || f[1].Burst != 20 {
			t.Errorf("%+v", f)
		}
	})
}

// A login counts once its client polls: the script waits for that, and plays
// what comes after each login.
func TestPlayWaitsForLogins(t *testing.T) {
	bubble(t, func(o *Options) { o.AutoLogin = false }, func(t *testing.T, s *Server, c *client) {
		v := play(t.Context(), t, s, parse(t, `
auto_login: always
lasts: 10m
steps:
  - after_login: 4s
    repeat: {times: 2}
    phone: {do: logout, retcode: 1102}
`), 1, nil)
		time.Sleep(time.Hour) // the bubble's time
		c.login()
		time.Sleep(time.Hour)
		if n := len(v.events(EventBegin)); n != 0 {
			t.Fatal("began before the client polled")
		}
		for i := range 3 {
			if i > 0 {
				c.login()
			}
			c.poke()
			time.Sleep(2900 * time.Millisecond)
			if code, _ := c.syncCheck(); i < 2 && code != "1102" || i == 2 && code != "0" {
				t.Errorf("login %d: %s after 4 s", i+1, code)
			}
		}
		must(t, <-v.done)
		if e := v.events(EventStep); len(e) != 2 || e[0].At != 4*time.Second || e[1].Time != 2 {
			t.Errorf("%+v", e)
		}
	})
}

// The phone waits for something to do; what never comes is an error that names
// the step.
func TestPlayPhone(t *testing.T) {
	bubble(t, func(o *Options) { o.AutoLogin = false }, func(t *testing.T, s *Server, c *client) {
		v := play(t.Context(), t, s, parse(t, `
from: start
lasts: 1h
steps:
  - {at: 1m, phone: {do: scan}}
  - {at: 2m, repeat: {every: 1m, times: 3}, phone: {do: decline}}
  - {at: 20m, phone: {do: forget}}
`), 1, nil)
		time.Sleep(10 * time.Minute)
		uuid := c.uuid()
		synctest.Wait()
		if body := c.poll(uuid); body != "window.code=400;" {
			t.Errorf("after scan and decline: %s", body)
		}
		must(t, <-v.done)
		if e := v.events(EventStep); len(e) != 3 || e[0].Step.Phone.Do != "scan" || e[0].At != time.Minute || e[1].Step.Phone.Do != "decline" {
			t.Errorf("%+v", e)
		}
		v = play(t.Context(), t, s, parse(t, "from: start\nsteps:\n  - {at: 1m, phone: {do: confirm}}"), 1, nil)
		if err := <-v.done; err == nil || !strings.Contains(err.Error(), "line 4, phone confirm: nothing waited") {
			t.Error(err)
		}
		if s.Decline() == nil {
			t.Error("declined nothing")
		}
	})
}

// auto_login: first scans once, whatever the simulator was started with.
func TestPlayAutoLogin(t *testing.T) {
	for auto, want := range map[string][2]bool{"first": {true, false}, "always": {true, true}, "never": {false, false}} {
		for _, from := range []string{FromLogin, FromStart} {
			if auto == "never" && from == FromLogin {
				continue
			}
			bubble(t, func(o *Options) { o.AutoLogin = auto == "never" }, func(t *testing.T, s *Server, c *client) {
				v := play(t.Context(), t, s, parse(t, "lasts: 1h\nauto_login: "+auto+"\nfrom: "+from+"\nsteps: []"), 1, nil)
				synctest.Wait()
				for i := range want {
					uuid := c.uuid()
					c.poll(uuid)
					if got := strings.Contains(c.poll(uuid), "window.code=200"); got != want[i] {
						t.Errorf("%s from %s, login %d: %v", auto, from, i+1, got)
					}
					if want[i] {
						c.arrive()
					}
					synctest.Wait()
				}
				must(t, <-v.done)
			})
		}
	}
}

// However a play ends early, it says so and leaves nothing behind.
func TestPlayEndsEarly(t *testing.T) {
	sc := parse(t, `
lasts: 1h
load: {incoming: {every: 1s}}
steps:
  - {at: 1s, phone: {do: confirm}}
  - {after_login: 30m, phone: {do: logout}}
  - {at: 40m, clear: true}
`)
	stopped := errors.New("stopped")
	for name, tc := range map[string]struct {
		end  func(*Server, context.CancelCauseFunc)
		want error
	}{
		"cancelled": {func(_ *Server, cancel context.CancelCauseFunc) { cancel(stopped) }, stopped},
		"closed":    {func(s *Server, _ context.CancelCauseFunc) { _ = s.Close() }, ErrClosed},
	} {
		for _, begun := range []bool{false, true} {
			bubble(t, nil, func(t *testing.T, s *Server, c *client) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				v := play(ctx, t, s, sc, 1, nil)
				if begun {
					c.arrive()
					time.Sleep(10 * time.Second)
				}
				tc.end(s, cancel)
				begin := time.Now()
				if err := <-v.done; !errors.Is(err, tc.want) || time.Since(begin) != 0 {
					t.Errorf("%s, begun %v: %v after %v", name, begun, err, time.Since(begin))
				}
				if n := len(v.events(EventEnd)); n != 0 {
					t.Error("it says that it went to its end")
				}
			})
		}
	}
}

func TestPlayRefusesWhatDoesNotFit(t *testing.T) {
	s := start(t, nil)
	for text, want := range map[string]string{
		"steps:\n  - {at: 1s, message: {from: alcie}}":                `line 3: nobody in the world is "alcie"`,
		"steps:\n  - {at: 1s, message: {from: alice, room: tame}}":    `line 3: no room in the world is "tame"`,
		"load: {incoming: {every: 1s, times: 1, from: m}}\nsteps: []": `line 2: nobody in the world is "m"`,
	} {
		var se *ScriptError
		if err := s.Play(t.Context(), parse(t, text), PlayOptions{}); !errors.As(err, &se) || !strings.Contains(err.Error(), want) || se.Known == nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, speed := range []float64{-1, 0.1, maxSpeed + 1} {
		if err := s.Play(t.Context(), parse(t, "steps: []"), PlayOptions{Speed: speed}); !errors.Is(err, ErrInvalid) {
			t.Errorf("speed %v: %v", speed, err)
		}
	}
	if len(s.Faults()) != 0 || s.State().Requests["*"] != 0 {
		t.Error("something happened")
	}
	// What goes wrong on the way is counted, and the rest is played.
	sc := parse(t, "from: start\nsteps:\n  - {at: 1ms, repeat: {every: 1ms, times: 30}, message: {from: bob, room: hidden}}\n  - {at: 50ms, fault: {do: reset}}")
	err := s.Play(t.Context(), sc, PlayOptions{})
	if err == nil || strings.Count(err.Error(), "no member") != maxFailures || !strings.Contains(err.Error(), "and 20 more") || len(s.Faults()) != 1 {
		t.Error(err)
	}
}

// stubborn asks for everything every 20 s, as the bot of the story does, and
// never learns.
func (c *client) stubborn(ctx context.Context) {
	urls := []string{"https://login.wx.qq.com/cgi-bin/mmwebwx-bin/login?loginicon=true&uuid=x",
		c.cgi("webwxsync", nil), c.cgi("webwxbatchgetcontact", url.Values{"type": {"ex"}})}
	for wait(ctx, 20*time.Second) == nil {
		for _, u := range urls {
			_ = c.try(u) // an error is the point
		}
	}
}

// The night of the story, in virtual time: who asks again and again gets 1,328
// errors.
func TestTheNightHas1328Errors(t *testing.T) {
	sc, ok := Night("night-1328")
	if !ok {
		t.Fatal("not shipped")
	}
	bubble(t, nil, func(t *testing.T, s *Server, c *client) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		hits, kinds := map[int]int{}, map[int]string{}
		v := play(t.Context(), t, s, sc, 1, func(e Event) {
			if e.What == EventBegin {
				go c.stubborn(ctx)
			}
		})
		c.arrive()
		for { // until the morning clears them
			time.Sleep(5 * time.Minute)
			list := s.Faults()
			for _, f := range list {
				hits[f.ID], kinds[f.ID] = f.Hits, fmt.Sprintf("%s %d", f.Do, f.Ret)
			}
			if len(list) == 0 && len(hits) > 0 {
				break
			}
		}
		must(t, <-v.done)
		stop()
		total, counts := 0, map[string]int{}
		for id, n := range hits {
			total += n
			counts[kinds[id]] += n
		}
		if total != 1328 || counts["ret 3"] != 150 || counts["ret 1205"] != 128 || counts["refuse 0"] != 150 || counts["ret 400"] != 900 {
			t.Errorf("%d errors: %v", total, counts)
		}
	})
}
