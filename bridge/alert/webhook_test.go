package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// secretKey is what a receiver keeps: base64 with + and /, so that nothing of
// it is lost in a URL.
var secretKey = []byte("\xfb\xef\xbe\xff\xff\xff\x01\x02key of twenty-four bytes+")

var secretText = "whsec_" + base64.StdEncoding.EncodeToString(secretKey)

// verify is a receiver as https://www.standardwebhooks.com describes it,
// written without the sender's code.
func verify(h http.Header, body []byte, key []byte) error {
	id, stamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	if id == "" || strings.Contains(id, ".") {
		return errors.New("no good webhook-id: " + id)
	}
	sec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return err
	}
	if age := time.Since(time.Unix(sec, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return errors.New("webhook-timestamp is " + age.String() + " away")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	for one := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		version, sum, _ := strings.Cut(one, ",")
		got, err := base64.StdEncoding.DecodeString(sum)
		if err == nil && version == "v1" && hmac.Equal(got, mac.Sum(nil)) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

// hooked makes a webhook to a server of the test.
func hooked(t *testing.T, serverURL string) *webhook {
	t.Helper()
	c, err := newWebhook("webhook+" + serverURL + "/hook?token=tok-1234567#" + secretText)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*webhook)
}

func someMessage(t *testing.T) Message {
	t.Helper()
	m, err := message(English, Notice{Kind: KindHeld, Outage: outageID("connection", start), At: start, Since: start, Account: "default", Connection: held(2)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWebhookIsSigned(t *testing.T) {
	var mu sync.Mutex
	var header http.Header
	var body []byte
	var uri string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		header, uri = r.Header.Clone(), r.Method+" "+r.URL.RequestURI()
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	m := someMessage(t)
	if err := hooked(t, s.URL).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := verify(header, body, secretKey); err != nil {
		t.Error(err)
	}
	if verify(header, body, []byte("another")) == nil || verify(header, append([]byte(" "), body...), secretKey) == nil {
		t.Error("the verifier of this test takes anything")
	}
	if uri != "POST /hook?token=tok-1234567" || header.Get("Content-Type") != "application/cloudevents+json" || header.Get("Webhook-Id") != m.ID {
		t.Errorf("%s %v", uri, header)
	}
	var event struct {
		SpecVersion, ID, Type, Source, Time string
		Data                                struct{ Kind, Account string }
	}
	if err := json.Unmarshal(body, &event); err != nil || event.SpecVersion != "1.0" || event.Type != "wechat.alert" ||
		event.Source != "wechat/default" || event.ID != m.ID || event.Data.Kind != "held" || event.Data.Account != "default" {
		t.Errorf("%v %+v", err, event)
	}
}

func TestWebhookAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   *Failure
	}{
		{"200", status(200), nil},
		{"204", status(204), nil},
		{"400", status(400), &Failure{Reason: ReasonStatus, Status: 400}},
		{"500", status(500), &Failure{Reason: ReasonStatus, Status: 500}},
		{"503 and a wait", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(503)
		}, &Failure{Reason: ReasonStatus, Status: 503, Wait: 7 * time.Second}},
		{"429 and ten years", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "315360000")
			w.WriteHeader(429)
		}, &Failure{Reason: ReasonStatus, Status: 429, Wait: maxWait}},
		{"503 and minus one", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "-1")
			w.WriteHeader(503)
		}, &Failure{Reason: ReasonStatus, Status: 503}},
		{"302 would lose the body", redirect(302, "/other"), &Failure{Reason: ReasonRedirect, Status: 302}},
		{"303", redirect(303, "/other"), &Failure{Reason: ReasonRedirect, Status: 303}},
		{"307 without a place", status(307), &Failure{Reason: ReasonRedirect, Status: 307}},
		{"a circle", redirect(307, "/again"), &Failure{Reason: ReasonRedirect}},
		{"another scheme", redirect(307, "file:///etc/passwd"), &Failure{Reason: ReasonRedirect}},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, &Failure{Reason: ReasonConnect}},
		{"endless body", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, nil},
		{"endless headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, &Failure{Reason: ReasonOther}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var calls atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				test.answer(w, r)
			}))
			defer s.Close()
			err := hooked(t, s.URL).Send(t.Context(), someMessage(t))
			f := failure(err)
			if (f == nil) != (test.want == nil) || f != nil && *f != *test.want {
				t.Errorf("%v, want %v", f, test.want)
			}
			if n := calls.Load(); n > maxRedirects+1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func redirect(code int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(code)
	}
}

// A server that takes a request and never answers costs its time limit.
func TestWebhookHangs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer s.Close()
	w := hooked(t, s.URL)
	w.limit = 50 * time.Millisecond
	began := time.Now()
	defer func() {
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %s", d)
		}
	}()
	if f := failure(w.Send(t.Context(), someMessage(t))); f == nil || f.Reason != ReasonTimeout {
		t.Errorf("%v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f := failure(w.Send(ctx, someMessage(t))); f == nil || f.Reason != ReasonCancelled {
		t.Errorf("%v", f)
	}
}

// abroad is a connection that looks like one to a public address.
type abroad struct{ net.Conn }

func (abroad) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("8.8.8.8:443"))
}

// A public address must not lead a message to this machine; one on this
// machine may.
func TestWebhookRedirectInward(t *testing.T) {
	var inside atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && verify(r.Header, b, secretKey) == nil {
			inside.Add(1)
		}
	}))
	defer target.Close()
	port := target.URL[strings.LastIndex(target.URL, ":"):]
	for _, place := range []string{target.URL, "http://localhost" + port, "http://[::1]" + port, "http://[::ffff:127.0.0.1]" + port, "http://0.0.0.0" + port, "http://2130706433" + port} {
		s := httptest.NewServer(redirect(307, place+"/inside"))
		w := hooked(t, s.URL)
		w.open.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return abroad{c}, err
		}
		f := failure(w.Send(t.Context(), someMessage(t)))
		if f == nil || f.Reason != ReasonInward && f.Reason != ReasonDNS {
			t.Errorf("%s: %v, want that it is refused", place, f)
		}
		s.Close()
	}
	if inside.Load() != 0 {
		t.Fatal("a redirect from outside reached this machine")
	}
	s := httptest.NewServer(redirect(308, target.URL+"/inside"))
	defer s.Close()
	if err := hooked(t, s.URL).Send(t.Context(), someMessage(t)); err != nil || inside.Load() != 1 {
		t.Errorf("from this machine to this machine: %v, %d arrived", err, inside.Load())
	}
}

func TestWebhookTLS(t *testing.T) {
	var got atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	defer s.Close()
	w := hooked(t, s.URL)
	if f := failure(w.Send(t.Context(), someMessage(t))); f == nil || f.Reason != ReasonTLS {
		t.Errorf("a certificate that nobody knows: %v", f)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	w.open.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	if err := w.Send(t.Context(), someMessage(t)); err != nil || got.Load() != 1 {
		t.Errorf("%v, %d arrived", err, got.Load())
	}
	plain := httptest.NewServer(status(200))
	defer plain.Close()
	s.Config.Handler = redirect(307, plain.URL)
	if f := failure(w.Send(t.Context(), someMessage(t))); f == nil || f.Reason != ReasonRedirect {
		t.Errorf("from TLS to plain: %v", f)
	}
}

// No proxy of the environment is taken: http.ProxyFromEnvironment never is for
// loopback, so the transport itself is looked at.
func TestWebhookTakesNoProxy(t *testing.T) {
	w := hooked(t, "http://127.0.0.1:1")
	for _, c := range []*http.Client{w.open, w.guarded} {
		if c.Transport.(*http.Transport).Proxy != nil {
			t.Error("it asks for a proxy")
		}
	}
}

// 500, then good: the courier and the webhook together, in real time.
func TestWebhookTriedAgain(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	from := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
		if ids = append(ids, r.Header.Get("Webhook-Id")); len(ids) == 1 {
			w.WriteHeader(500)
		}
	}))
	defer s.Close()
	c := newCourier(way{channel: hooked(t, s.URL), name: "1"}, zerolog.Nop())
	c.tell(Notice{Kind: KindHeld}, someMessage(t), time.Now())
	it := c.queue.head()
	err := c.try(t.Context(), it)
	if err == nil {
		t.Fatal("500 was taken for a success")
	}
	c.failed(it, err, time.Now())
	if s := c.status(); s.Pending != 1 || s.LastError != "it refused: HTTP 500" {
		t.Errorf("status %+v", s)
	}
	if err := c.try(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	if s := c.status(); s.Sent != 1 || s.Pending != 0 || s.LastError != "" {
		t.Errorf("status %+v", s)
	}
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] == "" {
		t.Errorf("webhook-ids %q", ids)
	}
	if len(from) != 2 { // a kept connection would not be checked at dial time
		t.Errorf("connections %v", from)
	}
}

func TestLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "192.168.1.1": true, "fd00::1": true, "localhost": true, "gotify": true,
		"nas.local": true, "a.internal.": true, "8.8.8.8": false, "example.com": false, "local.example": false, "2001:4860::1": false,
	} {
		if local(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}

func TestWebhookURLs(t *testing.T) {
	for raw, want := range map[string]error{
		"webhook+https://example.com/a#" + secretText:       nil,
		"webhook+http://127.0.0.1:9/a#" + secretText:        nil,
		"webhook+http://example.com/a#" + secretText:        errWebhookPlain,
		"webhook+https:///a#" + secretText:                  errWebhookURL,
		"webhook+https://exa mple/a#" + secretText:          errWebhookURL,
		"webhook+https://example.com/a":                     errWebhookSecret,
		"webhook+https://example.com/a#whsec_c2hvcnQ=":      errWebhookSecret,
		"webhook+https://example.com/a#whsec_!!":            errWebhookSecret,
		"webhook+https://example.com/a#" + secretText[6:]:   errWebhookSecret,
		"webhook+https://example.com/a?whsec=" + secretText: errWebhookSecret,
	} {
		c, err := newWebhook(raw)
		if !errors.Is(err, want) || (c == nil) != (want != nil) {
			t.Errorf("%s: %v, want %v", raw, err, want)
		}
		if want == nil {
			if u := c.(*webhook).url; u.Fragment != "" || strings.Contains(u.String(), "whsec") {
				t.Error("the secret would be sent")
			}
		}
	}
}
