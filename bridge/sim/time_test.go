package sim

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a test with a simulator whose time is synctest's.
func bubble(t *testing.T, change func(*Options), test func(*testing.T, *Server, *client)) {
	synctest.Test(t, func(t *testing.T) {
		ln := NewMemory()
		s := start(t, func(o *Options) {
			o.Listener, o.Hold = ln, 0
			if change != nil {
				change(o)
			}
		})
		c := newClient(t, s)
		tr := &http.Transport{DialContext: ln.Dial, TLSClientConfig: &tls.Config{RootCAs: s.CAPool()}}
		defer tr.CloseIdleConnections()
		c.http.Transport, c.http.Timeout = tr, time.Hour
		test(t, s, c)
	})
}

func TestHoldIsTwentyFiveSeconds(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *Server, c *client) {
		c.login()
		begin := time.Now()
		if code, sel := c.syncCheck(); code != "0" || sel != "0" || time.Since(begin) != DefaultHold {
			t.Errorf("%s/%s after %v", code, sel, time.Since(begin))
		}
	})
}

func TestQRLivesFiveMinutes(t *testing.T) {
	bubble(t, func(o *Options) { o.AutoLogin = false }, func(t *testing.T, _ *Server, c *client) {
		uuid, begin, polls := c.uuid(), time.Now(), 0
		for c.poll(uuid) == "window.code=408;" {
			polls++
		}
		if d := time.Since(begin); d != DefaultQRLife || polls < 11 {
			t.Errorf("expired after %v, %d polls", d, polls)
		}
	})
}

func TestRevokeOnlyWithinTwoMinutes(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *Server, c *client) {
		c.login()
		for wait, want := range map[time.Duration]int{revokeTime: retOK, revokeTime + time.Second: retSystem} {
			m := c.text("filehelper", "x")
			time.Sleep(wait) // the bubble's time
			c.wantRet(c.post("webwxrevokemsg", nil, map[string]any{"SvrMsgId": m["MsgID"], "ToUserName": "filehelper"}), want)
		}
	})
}

func TestFaultsEndInTime(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *Server, c *client) {
		c.login()
		fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "hang", For: 30 * time.Second})
		begin := time.Now()
		c.wantRet(c.text("filehelper", "x"), 0)
		if d := time.Since(begin); d != 30*time.Second {
			t.Errorf("hung for %v", d)
		}
		fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "delay", Delay: 3 * time.Second, For: time.Minute})
		begin = time.Now()
		c.wantRet(c.text("filehelper", "x"), 0)
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("delayed by %v", d)
		}
		fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "throttle", Rate: "2/m", Burst: 1})
		time.Sleep(time.Minute) // the bubble's time
		var codes []string
		for range 4 {
			codes = append(codes, ret(c.text("filehelper", "x")))
			time.Sleep(20 * time.Second)
		}
		if got := strings.Join(codes, " "); got != "0 1205 0 1205" {
			t.Errorf("2 a minute: %s", got)
		}
	})
}

func TestCloseEndsHeldPolls(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *Server, c *client) {
		c.login()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = c.try(c.syncCheckURL()) // cut off
		}()
		synctest.Wait()
		begin := time.Now()
		must(t, s.Close())
		<-done
		if time.Since(begin) != 0 {
			t.Errorf("took %v", time.Since(begin))
		}
	})
}
