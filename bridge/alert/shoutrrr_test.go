package alert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// good are addresses of all services, as docs/alerts.md has them. SESAME
// stands for what nobody may see.
var good = []string{
	"bark://:SESAMEkey@bark.example/",
	"discord://SESAMEtoken@123456789",
	"googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=SESAMEk&token=SESAMEt",
	"gotify://gotify.example/ASESAMEtoken.xx",
	"ifttt://SESAMEkey/?events=one",
	"join://shoutrrr:SESAMEkey@join/?devices=one",
	"lark://open.feishu.cn/SESAMEtoken?secret=SESAMEsign",
	"matrix://user:SESAMEpass@matrix.example/?rooms=a",
	"mattermost://bridge@mattermost.example/SESAMEtoken/channel",
	"notifiarr://SESAMEkey",
	"ntfy://user:SESAMEpass@ntfy.example/topic",
	"opsgenie://api.opsgenie.com/SESAMEkey",
	"pagerduty://events.pagerduty.com/0123456789abcdef0123456789abcdef",
	"pushbullet://o.SESAMEabcdefghijklmnopqrstuvwxyz/device",
	"pushover://shoutrrr:SESAMEtoken@user/",
	"rocketchat://bridge@rocket.example/SESAMEa/SESAMEb/channel",
	"signal://user:SESAMEpass@signal.example:8080/+491700000000/+491700000001",
	"slack://hook:T00000000-B00000000-SESAMExxxxxxxxxxxxxxxxxx@webhook",
	"smtp://user:SESAMEpass@mail.example:587/?from=a@example.com&to=b@example.com",
	"telegram://110201543:SESAMEaaaabbbbccccddddeeeeffffgggghhhh@telegram?chats=@channel",
	"wecom://SESAME-693axxx6-7aoc",
	"zulip://bot%40example.com:SESAMEkey@zulip.example/?stream=a&topic=b",
}

func TestShoutrrrAddresses(t *testing.T) {
	seen := map[string]bool{}
	for _, raw := range good {
		scheme, _, _ := strings.Cut(raw, "://")
		seen[scheme] = true
		if _, err := New(Config{Account: "default", Targets: []Target{{URL: raw, Alerts: true}}}); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, s := range shoutrrrSchemes {
		if !seen[s] && s != "teams" {
			t.Errorf("%s is allowed and has no address here", s)
		}
	}
}

func TestWrongAddressesAreNamedByNumber(t *testing.T) {
	wrong := []struct{ url, name, why string }{
		{"", "1:", "no known scheme"},
		{"SESAME", "1:", "no known scheme"},
		{"xoxb-SESAME:SESAME", "1:", "no known scheme"},
		{"SESAME://host/path", "1:", "no known scheme"},
		{"https://hooks.example/SESAME", "1:", "no known scheme"},
		{"generic+https://hooks.example/SESAME", "1:", "no known scheme"},
		{"logger://", "1:", "no known scheme"},
		{"telegram://SESAME@telegram?chats=@channel", "1 (telegram):", "not as this service wants it"},
		{"telegram://SESAME%zz@telegram", "1 (telegram):", "not as this service wants it"},
		{"slack://SESAME@nowhere", "1 (slack):", "not as this service wants it"},
		{"matrix://user:SESAME@/?SESAME=1", "1 (matrix):", "not as this service wants it"},
		{"discord://SESAME\x00\x1b[31m@1", "1 (discord):", "not as this service wants it"},
		{"ntfy+x://SESAME", "1 (ntfy):", "not as this service wants it"},
		{"webhook+https://hooks.example/SESAME", "1 (webhook+https):", "whsec_"},
		{"webhook+https://%zzSESAME", "1 (webhook+https):", "webhook+https://host/path"},
		{"webhook+http://hooks.example/SESAME#" + secretText, "1 (webhook+http):", "without TLS"},
	}
	for _, w := range wrong {
		_, err := New(Config{Account: "default", Targets: []Target{{URL: w.url, Alerts: true}}})
		if err == nil {
			t.Errorf("%q was taken", w.url)
			continue
		}
		if !strings.Contains(err.Error(), "alert channel "+w.name) || !strings.Contains(err.Error(), w.why) {
			t.Errorf("%q: %v, want %s %s", w.url, err, w.name, w.why)
		}
		leaks(t, w.url, err)
	}
	_, err := New(Config{Targets: []Target{{URL: good[0]}, {URL: "SESAME", Alerts: true}, {URL: good[1], Fallback: true}}})
	if err == nil || !strings.Contains(err.Error(), "channel 1 (bark): it is neither") || !strings.Contains(err.Error(), "channel 2:") {
		t.Errorf("%v", err)
	}
}

// leaks is the shared test: whatever goes wrong, no error shows a part of the
// address that is a secret, however it is printed.
func leaks(t *testing.T, what string, err error) {
	t.Helper()
	for _, s := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range []string{"SESAME", "tok-1234567", secretText[8:20], "0123456789abcdef"} {
			if strings.Contains(strings.ToLower(s), strings.ToLower(secret)) {
				t.Errorf("%s: %s shows %s", what, s, secret)
			}
		}
	}
}

// Every channel that can be pointed to a server of the test is made to fail in
// every way; no error shows its secret, each says what is wrong.
func TestNoErrorLeaksASecret(t *testing.T) {
	var printed bytes.Buffer // the library must not log
	log.SetOutput(&printed)
	defer func() {
		log.SetOutput(os.Stderr)
		if printed.Len() > 0 {
			t.Errorf("logged: %s", &printed)
		}
	}()
	ways := map[string]http.HandlerFunc{
		"401 that repeats all it got": func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"error":"SESAME","errorDescription":"%s %v %q"}`, r.URL, r.Header, b)
		},
		"500":    status(500),
		"html":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); fmt.Fprint(w, "<html>SESAME") },
		"hangup": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect to a bad place": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://SESAME.invalid:99999/SESAME")
			w.WriteHeader(307)
		},
	}
	for name, answer := range ways {
		s := httptest.NewServer(answer)
		for _, raw := range toServer(s.Listener.Addr().String()) {
			check := Target{URL: raw, Alerts: true}
			w, err := check.open()
			if err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			err = w.once(t.Context(), Message{ID: "1", Title: "title", Body: "body", Event: []byte("{}")})
			if err == nil {
				t.Errorf("%s took a message although: %s", raw, name)
				continue
			}
			leaks(t, raw+", "+name, err)
			if f := failure(err); name == "500" && f.Status != 500 && !opaque(raw) {
				t.Errorf("%s: %v says no status", raw, err)
			}
		}
		s.Close()
	}
	for _, raw := range toServer("127.0.0.1:1") { // nobody is there
		w, err := Target{URL: raw, Alerts: true}.open()
		if err != nil {
			t.Fatal(err)
		}
		err = w.once(t.Context(), Message{ID: "1", Title: "title", Body: "body", Event: []byte("{}")})
		if f := failure(err); f == nil || f.Reason != ReasonRefused && !opaque(raw) {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		leaks(t, raw, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// opaque is a service whose login throws its error away.
func opaque(raw string) bool { return strings.HasPrefix(raw, "matrix:") }

func toServer(addr string) []string {
	return []string{
		"webhook+http://" + addr + "/SESAMEpath?token=tok-1234567#" + secretText,
		"ntfy://user:SESAMEpass@" + addr + "/SESAMEtopic?disabletls=yes",
		"gotify://" + addr + "/ASESAMEtoken.xx?disabletls=yes",
		"bark://:SESAMEkey@" + addr + "/?scheme=http",
		"matrix://user:SESAMEpass@" + addr + "/?rooms=a&disabletls=yes",
		"mattermost://bridge@" + addr + "/SESAMEtoken/channel?disabletls=yes",
		"signal://user:SESAMEpass@" + addr + "/+491700000000/+491700000001?disabletls=yes",
	}
}

// taking is a server that keeps what it is sent.
func taking(t *testing.T) (addr string, bodies func() []string) {
	var mu sync.Mutex
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Title")+"\n"+string(b))
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(func() { s.Close(); http.DefaultClient.CloseIdleConnections() })
	return s.Listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestShoutrrrSends(t *testing.T) {
	for _, form := range []string{"ntfy://%s/topic?disabletls=yes", "mattermost://bridge@%s/token/channel?disabletls=yes", "gotify://%s/Aaaaaaaaaaaa.aa?disabletls=yes"} {
		addr, bodies := taking(t)
		w, err := Target{URL: fmt.Sprintf(form, addr), Alerts: true}.open()
		if err != nil {
			t.Fatal(err)
		}
		m := someMessage(t)
		if err := w.once(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if got := strings.Join(bodies(), "\n"); !strings.Contains(got, m.Title) || !strings.Contains(got, strings.Split(m.Body, "\n")[0]) {
			t.Errorf("%s: %q", form, got)
		}
	}
}

// A service that never answers costs the time of the context, and at most
// three goroutines.
func TestShoutrrrHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	w, err := Target{URL: "ntfy://" + l.Addr().String() + "/topic?disabletls=yes", Alerts: true}.open()
	if err != nil {
		t.Fatal(err)
	}
	for range abandoned + 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if f := failure(w.once(ctx, Message{Title: "t", Body: "b"})); f == nil || f.Reason != ReasonTimeout {
			t.Errorf("%v", f)
		}
		cancel()
	}
	if n := len(w.channel.(*shoutrrr).slots); n != abandoned {
		t.Errorf("%d sends are left", n)
	}
	l.Close()
	wg.Wait()
	for _, c := range conns {
		c.Close()
	}
	for range abandoned { // all of them end
		w.channel.(*shoutrrr).slots <- struct{}{}
	}
}

// Whatever a library's error says, nothing of it but a status gets through.
func TestFailureIsAClosedSet(t *testing.T) {
	known := map[string]bool{}
	for _, r := range []string{ReasonTimeout, ReasonCancelled, ReasonDNS, ReasonRefused, ReasonConnect, ReasonTLS, ReasonStatus, ReasonRedirect, ReasonInward, ReasonOther} {
		known[r] = true
	}
	for in, want := range map[string]Failure{
		"sending to https://h/SESAME: unexpected status code: 403": {Reason: ReasonStatus, Status: 403},
		"server returned unexpected response status code: 500 x":   {Reason: ReasonStatus, Status: 500},
		"response status 404 Not Found SESAME":                     {Reason: ReasonStatus, Status: 404},
		"dial tcp: lookup SESAME: no such host":                    {Reason: ReasonDNS},
		"Post SESAME: context deadline exceeded":                   {Reason: ReasonTimeout},
		"x509: certificate signed by SESAME":                       {Reason: ReasonTLS},
		"token 443 SESAME 500":                                     {Reason: ReasonOther},
		"":                                                         {Reason: ReasonOther},
	} {
		got := failure(fmt.Errorf("%s", in))
		if *got != want || !known[got.Reason] {
			t.Errorf("%q: %+v, want %+v", in, *got, want)
		}
	}
}

func FuzzFailure(f *testing.F) {
	f.Add("status: 500 SESAME")
	f.Fuzz(func(t *testing.T, s string) {
		got := failure(fmt.Errorf("%s", s))
		if got.Status != 0 && (got.Status < 400 || got.Status > 599) || len(got.Error()) > 100 {
			t.Errorf("%q: %v", s, got)
		}
	})
}
