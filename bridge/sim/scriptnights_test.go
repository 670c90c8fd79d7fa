package sim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// sixNights and the peers, with the messages that come in during each.
var shippedNights = []struct {
	name     string
	sends    int
	incoming int
}{
	{"dns-hour", 180, 90}, {"html-proxy", 90, 45}, {"night-1328", 120, 160}, {"phone-logout", 90, 45}, {"restricted", 70, 35},
	{"throttled", 1300, 160},
	{"peer-0", 75, 30}, {"peer-1", 90, 36}, {"peer-1b", 90, 36}, {"peer-2", 75, 30}, {"peer-2b", 90, 36}, {"peer-3", 75, 30},
	{"peer-4", 75, 30}, {"peer-5", 90, 36}, {"peer-5b", 90, 36}, {"peer-5c", 65, 26}, {"peer-6", 75, 30}, {"peer-7", 50, 0},
}

func TestNightsAreShipped(t *testing.T) {
	nights := Nights()
	if len(nights) != len(shippedNights) {
		t.Errorf("%d nights", len(nights))
	}
	for i, want := range shippedNights {
		sc := nights[i]
		if again, ok := Night(want.name); !ok || sc.Name != want.name || again.Name != want.name {
			t.Fatalf("night %d is %s, want %s", i, sc.Name, want.name)
		}
		must(t, sc.Check(DefaultWorld()))
		if n := occurrences(sc.Load.Sends, sc.Lasts); n != want.sends {
			t.Errorf("%s: %d sends, want %d", sc.Name, n, want.sends)
		}
		if n := occurrences(sc.Load.Incoming, sc.Lasts); n != want.incoming {
			t.Errorf("%s: %d come in, want %d", sc.Name, n, want.incoming)
		}
		if sc.Description.EN == "" || sc.Description.ZH == "" || sc.Seed == 0 || sc.Expect.State == "" || sc.AutoLogin == "" {
			t.Errorf("%s lacks something: %+v", sc.Name, sc)
		}
		if _, end := sc.Faults(); end > sc.Lasts {
			t.Errorf("%s: faults until %s, lasts %s", sc.Name, end, sc.Lasts)
		}
		if d := time.Duration(float64(sc.Lasts) / sc.Speed); !strings.HasPrefix(sc.Name, "peer-") && (d < 40*time.Second || d > 100*time.Second) {
			t.Errorf("%s takes %s at its speed", sc.Name, d)
		}
		for _, s := range sc.Steps {
			if (s.Note.EN == "") != (s.Note.ZH == "") {
				t.Errorf("%s, line %d: a note in one language", sc.Name, s.Line)
			}
		}
	}
	if _, ok := Night("nobody"); ok {
		t.Error("a night that does not exist")
	}
	nights[0].Name = "changed"
	if Nights()[0].Name == "changed" {
		t.Error("a caller can change what is shipped")
	}
}

func occurrences(r Repeat, lasts time.Duration) int {
	if r.Every == 0 {
		return 0
	}
	if r.Until > 0 {
		lasts = r.Until
	}
	n := int((lasts + r.Every - 1) / r.Every)
	if r.Times > 0 {
		n = min(n, r.Times)
	}
	return n
}

// Each night is played through, fast, on real sockets; the control API shows
// what happened.
func TestNightsPlay(t *testing.T) {
	for i, sc := range Nights() {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(o *Options) { o.Control, o.AutoLogin, o.Seed = "127.0.0.1:0", false, sc.Seed })
			c := newClient(t, s)
			v := play(t.Context(), t, s, sc, min(maxSpeed, float64(sc.Lasts/(250*time.Millisecond))), func(e Event) {
				if p := e.Step.Phone; p != nil && p.Do == "logout" && p.Retcode == 1101 {
					c.pushLogin()
				}
			})
			c.arrive()
			if err := <-v.done; err != nil {
				t.Error(err)
			}
			if n := len(v.events(EventIncoming)); n != shippedNights[i].incoming {
				t.Errorf("%d messages came in, want %d", n, shippedNights[i].incoming)
			}
			v.complete(sc)
			if sc.Name == "peer-7" {
				return // nothing that the simulator would show
			}
			v.wantShown(sc, stateOf(t, s))
		})
	}
}

// complete wants each step to be there, as often as it is to happen.
func (v *show) complete(sc Script) {
	v.t.Helper()
	got := map[int]int{}
	for _, e := range v.events(EventStep) {
		if e.Err != nil {
			v.t.Errorf("%s: %v", e.Step, e.Err)
		}
		got[e.Index]++
	}
	for i, s := range sc.Steps {
		want := 1
		if s.Repeat.Every > 0 {
			want = occurrences(s.Repeat, sc.Lasts-s.At)
		}
		if got[i] != want {
			v.t.Errorf("%s happened %d times, want %d", s, got[i], want)
		}
	}
	if len(v.events(EventBegin)) != 1 || len(v.events(EventEnd)) != 1 {
		v.t.Error("no begin or no end")
	}
}

func stateOf(t *testing.T, s *Server) State {
	t.Helper()
	resp, err := http.Get("http://" + s.ControlAddr() + "/sim/v1/state")
	must(t, err)
	defer resp.Body.Close()
	var st State
	must(t, json.NewDecoder(resp.Body).Decode(&st))
	return st
}

// wantShown compares what was played with the control API's state.
func (v *show) wantShown(sc Script, st State) {
	v.t.Helper()
	var want, got []int
	cleared := false
	for _, e := range v.events(EventStep) {
		if e.FaultID > 0 {
			want = append(want, e.FaultID)
		}
		cleared = cleared || e.Step.Clear != ""
	}
	for _, f := range st.Faults {
		got = append(got, f.ID)
	}
	if cleared {
		want = nil
	}
	if !slices.Equal(want, got) {
		v.t.Errorf("faults %v, want %v", got, want)
	}
	logins := 1
	if slices.Contains([]string{"peer-4", "phone-logout"}, sc.Name) {
		logins = 2 // the push login
	}
	if in := sc.Name != "restricted"; st.Logins != logins || st.LoggedIn != in {
		v.t.Errorf("%d logins, logged in %v", st.Logins, st.LoggedIn)
	}
}
