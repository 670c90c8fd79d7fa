package webwx

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// tap records the requests of one transport, and answers some by itself.
type tap struct {
	mu     sync.Mutex
	seen   []seen
	answer func(*http.Request) *http.Response
}

type seen struct {
	req  *http.Request
	body string
}

func (w *world) tap() *tap {
	tp := &tap{}
	w.tr.wrap = func(base http.RoundTripper) http.RoundTripper { return &tapped{tp, base} }
	return tp
}

type tapped struct {
	*tap
	base http.RoundTripper
}

func (t *tapped) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	t.mu.Lock()
	t.seen = append(t.seen, seen{req, string(body)})
	answer := t.answer
	t.mu.Unlock()
	if answer != nil {
		if resp := answer(req); resp != nil {
			return resp, nil
		}
	}
	return t.base.RoundTrip(req)
}

func (t *tap) to(endpoint string) []seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []seen
	for _, s := range t.seen {
		if strings.HasSuffix(s.req.URL.Path, "/"+endpoint) {
			out = append(out, s)
		}
	}
	return out
}

// say makes the tap answer an endpoint with a body.
func (t *tap) say(endpoint, body string) { t.reply(endpoint, func() string { return body }) }

func (t *tap) reply(endpoint string, body func() string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.answer
	t.answer = func(req *http.Request) *http.Response {
		if strings.HasSuffix(req.URL.Path, "/"+endpoint) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body())), Request: req}
		}
		if before != nil {
			return before(req)
		}
		return nil
	}
}

func medium(name string, data []byte) *wechat.OutMedia {
	return &wechat.OutMedia{Name: name, Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func mediaTo(p wechat.Peer, k wechat.Kind, name string, data []byte) wechat.Outgoing {
	return wechat.Outgoing{To: p, Kind: k, Media: medium(name, data), ClientID: "17000000000000001"}
}

var (
	pngBytes = append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), bytes.Repeat([]byte{7}, 2000)...)
	gifBytes = append([]byte("GIF89a"), bytes.Repeat([]byte{1}, 500)...)
	mp4Bytes = append([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), bytes.Repeat([]byte{2}, 900)...)
)

func TestTrap01RepeatsEveryRequest(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	w.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "accept_then_drop"})
	_, err := s.Send(w.ctx(), textTo(w.peer("Alice"), "once", "1"))
	f := faultOf(t, err)
	if f.Phase != classifier.PhaseSent || f.Op != classifier.OpSend {
		t.Errorf("fault %+v", f)
	}
	if n := w.sim.Requests("webwxsendmsg"); n != 1 || len(w.sim.Sent()) != 1 {
		t.Errorf("%d requests, %d accepted, want one each", n, len(w.sim.Sent()))
	}
}

func TestTrap02ClientMsgIDFromTheClock(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	tp := "30000000000000007"
	for range 2 { // a repeat has the same id
		_, err := s.Send(w.ctx(), textTo(w.peer("Alice"), "x", tp))
		must(t, err)
	}
	_, err := s.Send(w.ctx(), mediaTo(w.peer("Alice"), wechat.Image, "a.png", pngBytes))
	must(t, err)
	sent := w.sim.Sent()
	if sent[0].ClientMsgID != tp || sent[1].ClientMsgID != tp || sent[2].ClientMsgID != "17000000000000001" {
		t.Errorf("ids %q %q %q", sent[0].ClientMsgID, sent[1].ClientMsgID, sent[2].ClientMsgID)
	}
}

func TestTrap11UploadNamesThePath(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	for give, want := range map[string]string{
		"/tmp/secret/pic one.png": "pic one.png", `C:\Users\me\报告.png`: "报告.png", "../../a.png": "a.png", "": "image.png", "noending": "noending.png",
	} {
		before := len(w.sim.Sent())
		_, err := s.Send(w.ctx(), mediaTo(w.peer("Alice"), wechat.Image, give, pngBytes))
		must(t, err)
		if got := w.sim.Sent()[before].Media; got == nil || got.Name != want {
			t.Errorf("%q arrived as %+v, want %q", give, got, want)
		}
	}
}

func TestTrap12WrongRequests(t *testing.T) {
	w := newWorld(t)
	tp := w.tap()
	s := w.login(wechat.QR)
	_, err := s.Send(w.ctx(), mediaTo(w.peer("Alice"), wechat.Video, "v.mp4", mp4Bytes))
	must(t, err)
	if got := tp.to("webwxsendvideomsg")[0].req.URL.Query().Get("pass_ticket"); got != s.line.login().PassTicket || got == "" {
		t.Errorf("the video went out with pass_ticket %q", got)
	}
	uploads := w.sim.Requests("webwxuploadmedia")
	large := medium("big.bin", []byte("x"))
	large.Size = maxFile + 1
	for name, out := range map[string]wechat.Outgoing{
		"zero bytes":        mediaTo(w.peer("Alice"), wechat.File, "empty.txt", nil),
		"too large":         {To: w.peer("Alice"), Kind: wechat.File, Media: large, ClientID: "1"},
		"zero bytes inside": {To: w.peer("Alice"), Kind: wechat.File, ClientID: "1", Media: &wechat.OutMedia{Name: "a", Size: 1, Open: medium("a", nil).Open}},
		"more than said":    {To: w.peer("Alice"), Kind: wechat.File, ClientID: "1", Media: &wechat.OutMedia{Name: "a", Size: 1, Open: medium("a", []byte("xyz")).Open}},
	} {
		_, err := s.Send(w.ctx(), out)
		if f := faultOf(t, err); f.Phase != classifier.PhasePrepare || f.Text == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if n := w.sim.Requests("webwxuploadmedia"); n != uploads {
		t.Errorf("%d uploads for refused files", n-uploads)
	}
}

func TestTrap25EmoticonAsText(t *testing.T) {
	w := newWorld(t)
	tp := w.tap()
	s := w.login(wechat.QR)
	_, err := s.Send(w.ctx(), mediaTo(w.peer("Alice"), wechat.Emoticon, "wave.gif", gifBytes))
	must(t, err)
	body := tp.to("webwxsendemoticon")[0].body
	if !strings.Contains(body, `"Type":47`) || !strings.Contains(body, `"EmojiFlag":2`) {
		t.Errorf("sent %s", body)
	}
	if w.sim.Sent()[0].Type != "emoticon" {
		t.Errorf("ledger %+v", w.sim.Sent()[0])
	}
}
