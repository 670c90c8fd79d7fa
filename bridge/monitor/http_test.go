package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"wechat-bridge/bridge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source gives facts whose times are shifted to the present.
type source struct{ f Facts }

func (s source) Process() Process {
	p := s.f.Process
	p.Loops = nil
	for _, l := range s.f.Process.Loops {
		l.Beat = l.Beat.Add(time.Since(now))
		p.Loops = append(p.Loops, l)
	}
	return p
}

func (s source) Connection() wire.Connection {
	c := s.f.Connection
	if c.LastPulse != nil {
		t := c.LastPulse.Add(time.Since(now))
		c.LastPulse = &t
	}
	return c
}

func (s source) Business() Business {
	b := s.f.Business
	b.LastSent = b.LastSent.Add(time.Since(now))
	return b
}

const token = "Rw0s-secret"

func handler(change ...func(*Facts)) http.Handler {
	f := good()
	for _, c := range change {
		c(&f)
	}
	return New(Config{Source: source{f}, Loopback: true, Version: "0.1", Log: zerolog.Nop()})
}

func ask(h http.Handler, method, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8080"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func header(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Add(k, v) } }

func TestStatusCodes(t *testing.T) {
	hang := func(f *Facts) { f.Process.Loops[0].Beat = now.Add(-time.Hour) }
	lost := func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateReconnecting, wire.SendingHeld }
	away := func(f *Facts) { f.Process.NATS.OK = false }
	pause := func(f *Facts) { f.Connection.Sending = wire.SendingPaused }
	tests := []struct {
		name   string
		change func(*Facts)
		live, ready, health,
		root int
	}{
		{"good", func(*Facts) {}, 200, 200, 200, 200},
		{"warn", pause, 200, 503, 200, 200},
		{"WeChat away", lost, 200, 503, 503, 200},
		{"NATS away", away, 200, 503, 503, 200},
		{"loop hangs", hang, 503, 503, 503, 200},
	}
	for _, test := range tests {
		h := handler(test.change)
		for path, want := range map[string]int{"/livez": test.live, "/readyz": test.ready, "/healthz": test.health, "/": test.root, "/nothing": 404, "/healthz/": 404, "/livez/../metrics": 404} {
			if got := ask(h, "GET", path).Code; got != want && !(got == 307 && want == 404) {
				t.Errorf("%s: %s gives %d, want %d", test.name, path, got, want)
			}
		}
	}
}

func TestHealthzIsTheContracts(t *testing.T) {
	w := ask(handler(func(f *Facts) { f.Connection.LastPulse = ago(time.Minute) }), "GET", "/healthz")
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	conn, _ := got["connection"].(map[string]any)
	if got["status"] != "fail" || conn["status"] != "fail" || conn["state"] != "reconnecting" || conn["reason"] == "" || conn["since"] == nil || conn["last_proof"] == nil {
		t.Fatal(w.Body)
	}
	if w.Header().Get("Content-Type") != "application/json" {
		t.Fatal(w.Header())
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	h := handler()
	for _, w := range []*httptest.ResponseRecorder{
		ask(h, "GET", "/"), ask(h, "GET", "/healthz"), ask(h, "GET", "/none"), ask(h, "POST", "/"),
		ask(h, "GET", "/", func(r *http.Request) { r.Host = "evil.example" }),
	} {
		for k, v := range headers {
			if w.Header().Get(k) != v {
				t.Errorf("%d: %s is %q", w.Code, k, w.Header().Get(k))
			}
		}
		for k := range w.Header() {
			if strings.HasPrefix(k, "Access-Control") {
				t.Errorf("CORS: %s", k)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"} {
		w := ask(handler(), m, "/healthz")
		if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", m, w.Code, w.Header())
		}
	}
	if w := ask(handler(), "HEAD", "/healthz"); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	body := func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 }
	if w := ask(handler(), "GET", "/healthz", body); w.Code != 413 {
		t.Errorf("with a body: %d", w.Code)
	}
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	if w := ask(handler(), "GET", "/healthz", chunked); w.Code != 413 {
		t.Errorf("with a chunked body: %d", w.Code)
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LocalHost:1": 200, "127.0.0.1": 200, "127.0.0.1:8080": 200, "[::1]": 200, "[::1]:8080": 200,
		"": 403, "evil.example": 403, "evil.example:8080": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
		"127.0.0.2": 403, "0.0.0.0": 403, "::1": 403, "localhost:80:80": 403, "localhost:http": 403, "localhost@evil.example": 403, "localhost.": 403, "192.168.1.2:8080": 403,
	} {
		for _, path := range []string{"/", "/healthz", "/livez"} {
			if w := ask(handler(), "GET", path, func(r *http.Request) { r.Host = host }); w.Code != want {
				t.Errorf("Host %q, %s: %d, want %d", host, path, w.Code, want)
			}
		}
	}
}

func TestCrossSite(t *testing.T) {
	tests := []struct {
		name, value string
		want        int
	}{
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Sec-Fetch-Site", "", 403},
		{"Sec-Fetch-Site", "same-origin", 200}, {"Sec-Fetch-Site", "none", 200},
		{"Origin", "http://evil.example", 403}, {"Origin", "null", 403}, {"Origin", "", 403}, {"Origin", "http://127.0.0.1:9999", 403},
		{"Origin", "http://localhost:8080", 403}, {"Origin", "http://127.0.0.1:8080", 200}, {"Origin", "https://127.0.0.1:8080", 200}, {"Origin", "%zz", 403},
	}
	for _, test := range tests {
		if w := ask(handler(), "GET", "/healthz", header(test.name, test.value)); w.Code != test.want {
			t.Errorf("%s: %s: %d, want %d", test.name, test.value, w.Code, test.want)
		}
	}
	twice := ask(handler(), "GET", "/", header("Sec-Fetch-Site", "none"), header("Sec-Fetch-Site", "cross-site"))
	if twice.Code != 403 {
		t.Errorf("a second header was not looked at: %d", twice.Code)
	}
}

func TestToken(t *testing.T) {
	with := func(token string) http.Handler {
		return New(Config{Source: source{good()}, Token: token, Log: zerolog.Nop()})
	}
	tests := []struct {
		token, path, auth string
		want              int
	}{
		{token, "/healthz", "Bearer " + token, 200}, {token, "/healthz", "bearer " + token, 200}, {token, "/", "Bearer " + token, 200},
		{token, "/healthz", "", 401}, {token, "/healthz", "Bearer", 401}, {token, "/healthz", "Bearer ", 401}, {token, "/healthz", token, 401},
		{token, "/healthz", "Basic " + token, 401}, {token, "/healthz", "Bearer " + token + "x", 401}, {token, "/healthz", "Bearer " + token[:4], 401},
		{token, "/healthz?token=" + token, "", 401}, {token, "/", "", 401}, {token, "/nothing", "", 401}, {token, "/livez/x", "", 401}, {token, "//livez", "", 401},
		{token, "/livez", "", 200}, {token, "/readyz", "", 200},
		{"", "/healthz", "", 401}, {"", "/healthz", "Bearer ", 401}, {"", "/livez", "", 200},
	}
	for _, test := range tests {
		w := ask(with(test.token), "GET", test.path, func(r *http.Request) {
			r.Host = "bridge.example"
			if test.auth != "" {
				r.Header.Set("Authorization", test.auth)
			}
		})
		if w.Code != test.want {
			t.Errorf("%q at %s: %d, want %d", test.auth, test.path, w.Code, test.want)
		}
		if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%d with %v", w.Code, w.Header())
		}
		if strings.Contains(w.Body.String(), token) {
			t.Error("the token is in an answer")
		}
	}
}

func TestHostileReasonIsHarmless(t *testing.T) {
	h := handler(func(f *Facts) { f.Process.NATS = Link{Reason: "<script>\x1b[2J\u202e\r\nSet-Cookie: x"} })
	for _, path := range []string{"/", "/readyz"} {
		body := ask(h, "GET", path).Body.String()
		if strings.ContainsAny(body, "\x1b\r\u202e") || path == "/" && strings.Contains(body, "<script>") {
			t.Errorf("%s: %q", path, body)
		}
	}
}

type panics struct{ source }

func (panics) Connection() wire.Connection { panic("a secret") }

func TestPanicIs500AndLogged(t *testing.T) {
	var log strings.Builder
	h := New(Config{Source: panics{source{good()}}, Loopback: true, Log: zerolog.New(&log)})
	w := ask(h, "GET", "/healthz")
	if w.Code != 500 || !strings.Contains(log.String(), logPanic) || strings.Contains(log.String()+w.Body.String(), "secret") {
		t.Fatal(w.Code, log.String())
	}
}

// serve starts a real server and gives its address.
func serve(t *testing.T, cfg Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// talk writes bytes as they are and reads the first line of the answer.
func talk(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, request) // the server may hang up in the middle
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestServe(t *testing.T) {
	addr := serve(t, Config{Source: source{good()}, Log: zerolog.Nop()}) // loopback is found out
	for request, want := range map[string]string{
		"GET /livez HTTP/1.1\r\nHost: " + addr + "\r\n\r\n":                                           "HTTP/1.1 200 OK",
		"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n":                                           "HTTP/1.1 403 Forbidden",
		"GET /livez HTTP/1.0\r\n\r\n":                                                                 "HTTP/1.0 403 Forbidden",
		"GET /livez HTTP/1.1\r\nHost: " + addr + "\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n": "HTTP/1.1 431 Request Header Fields Too Large",
		"GET /livez HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 99999999\r\n\r\n":               "HTTP/1.1 413 Request Entity Too Large",
		"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n":                           "HTTP/1.1 403 Forbidden",
		"nonsense\r\n\r\n": "HTTP/1.1 400 Bad Request",
	} {
		if got := talk(t, addr, request); got != want {
			t.Errorf("%.60q: %s, want %s", request, got, want)
		}
	}
}

func TestServeEndsWithItsListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(t.Context(), ln, Config{Source: source{good()}}); err == nil {
		t.Fatal("no error of a closed listener")
	}
}

func TestLoopback(t *testing.T) {
	for ip, want := range map[string]bool{"127.0.0.1": true, "127.8.8.8": true, "::1": true, "0.0.0.0": false, "::": false, "10.0.0.1": false, "fe80::1": false} {
		if got := loopback(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	if loopback(&net.UnixAddr{}) {
		t.Error("a socket without address is not known to be local")
	}
}

func Example() {
	w := ask(handler(func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateAwaitingScan, wire.SendingHeld }), "GET", "/readyz")
	fmt.Print(w.Code, " ", w.Body)
	// Output: 503 no: A person has to scan the QR code.
}
