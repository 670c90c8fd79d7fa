package wechattest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func sendsEachKind(t *testing.T, h Harness) {
	tr := h.Transport(t)
	s := login(t, tr, wechat.QR)
	to := meet(t, h, s)
	for i, kind := range tr.Abilities().Kinds {
		if kind == wechat.Revoke {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			out := wechat.Outgoing{To: to, Kind: kind, ClientID: digits(10 + i), Text: "5 < 6 & <b> 😀 " + string(kind)}
			sample, isMedium := samples[kind]
			if isMedium {
				out.Text, out.Media = "", medium(sample.name, sample.data)
			}
			n := len(h.Sent())
			r, err := s.Send(limited(t), out)
			must(t, err)
			all := h.Sent()
			if len(all) != n+1 {
				t.Fatalf("%d messages arrived", len(all)-n)
			}
			got := all[n]
			if r.MessageID == "" || got.MessageID != r.MessageID || got.ClientID != out.ClientID || r.Peer.ID != to.ID {
				t.Errorf("receipt %+v, arrived %+v", r, got)
			}
			checkArrived(t, got, out, isMedium)
		})
	}
}

func checkArrived(t *testing.T, got Sent, out wechat.Outgoing, isMedium bool) {
	t.Helper()
	want := out.Kind
	if want == wechat.Link { // goes out as a text where there are no cards
		want = got.Kind
	}
	switch {
	case got.Kind != want:
		t.Errorf("arrived as %s", got.Kind)
	case isMedium && (got.Name != out.Media.Name || got.Size != out.Media.Size):
		t.Errorf("arrived as %q with %d bytes", got.Name, got.Size)
	case !isMedium && got.Text != out.Text:
		t.Errorf("arrived as %q", got.Text)
	}
}

// refuses: what cannot be sent is refused before a byte leaves.
func refuses(t *testing.T, h Harness) {
	tr := h.Transport(t)
	s := login(t, tr, wechat.QR)
	to := meet(t, h, s)
	a := tr.Abilities()
	cases := map[string]wechat.Outgoing{
		"nobody":     text(wechat.Peer{}, "x", digits(1)),
		"empty text": text(to, "", digits(2)),
		"no id":      text(to, "x", ""),
	}
	if a.MaxText > 0 {
		cases["long text"] = text(to, strings.Repeat("字", a.MaxText+1), digits(3))
	}
	for kind, sample := range samples {
		if !a.Can(kind) {
			cases["cannot "+string(kind)] = wechat.Outgoing{To: to, Kind: kind, ClientID: digits(4), Media: medium(sample.name, sample.data)}
			continue
		}
		cases["empty "+string(kind)] = wechat.Outgoing{To: to, Kind: kind, ClientID: digits(5), Media: medium(sample.name, nil)}
		cases["no "+string(kind)] = wechat.Outgoing{To: to, Kind: kind, ClientID: digits(6)}
		if limit := a.MaxBytes[kind]; limit > 0 {
			large := medium(sample.name, sample.data)
			large.Size = limit + 1
			cases["large "+string(kind)] = wechat.Outgoing{To: to, Kind: kind, ClientID: digits(7), Media: large}
		}
	}
	n := len(h.Sent())
	for name, out := range cases {
		_, err := s.Send(limited(t), out)
		f := faultOf(t, err)
		if v := classifier.Judge(f); f.Phase != classifier.PhasePrepare || !v.Certain || v.Disconnect || f.Text == "" {
			t.Errorf("%s: %+v, verdict %+v", name, f, v)
		}
	}
	if got := len(h.Sent()); got != n {
		t.Errorf("%d of the refused messages arrived", got-n)
	}
}

func revokes(t *testing.T, h Harness) {
	tr := h.Transport(t)
	if !tr.Abilities().Can(wechat.Revoke) {
		return
	}
	s := login(t, tr, wechat.QR)
	to := meet(t, h, s)
	r, err := s.Send(limited(t), text(to, "not this", digits(1)))
	must(t, err)
	out := wechat.Outgoing{To: r.Peer, Kind: wechat.Revoke, Revoke: r.MessageID, ClientID: digits(2)}
	_, err = s.Send(limited(t), out)
	must(t, err)
	if all := h.Sent(); !all[len(all)-1].Revoked {
		t.Errorf("the message is still there: %+v", all[len(all)-1])
	}
	_, err = s.Send(limited(t), out)
	if f := faultOf(t, err); f.Op != classifier.OpRevoke || !f.HasCode || classifier.Judge(f).Disconnect {
		t.Errorf("taken back twice: %+v", f)
	}
}

// failsBeforeTheFirstByte: without a connection a message is certainly not out.
func failsBeforeTheFirstByte(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	to := meet(t, h, s)
	n := len(h.Sent())
	h.Trouble(t, Unreachable)
	eventually(t, "a send fails in dial", func() bool { // the first may still meet a connection that dies
		_, err := s.Send(limited(t), text(to, "x", digits(1)))
		f := faultOf(t, err)
		v := classifier.Judge(f)
		if v.Certain != (f.Phase == classifier.PhaseDial) || !v.Retryable {
			t.Fatalf("%+v, verdict %+v", f, v)
		}
		return f.Phase == classifier.PhaseDial
	})
	if got := len(h.Sent()); got != n {
		t.Errorf("%d messages arrived", got-n)
	}
	h.Trouble(t, NoTrouble)
	_, err := s.Send(limited(t), text(to, "now", digits(1)))
	must(t, err)
}

// failsAfterTheFirstByte: WeChat has the message, the sender cannot know, and
// nothing below repeats the request.
func failsAfterTheFirstByte(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	to := meet(t, h, s)
	n := len(h.Sent())
	h.Trouble(t, SendLost)
	_, err := s.Send(limited(t), text(to, "x", digits(1)))
	f := faultOf(t, err)
	if v := classifier.Judge(f); f.Phase != classifier.PhaseSent || v.Certain || f.Op != classifier.OpSend {
		t.Errorf("%+v, verdict %+v", f, v)
	}
	if got := len(h.Sent()); got != n+1 {
		t.Errorf("%d messages arrived, want one", got-n)
	}
}

func failsByAnswer(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	to := meet(t, h, s)
	n := len(h.Sent())
	h.Trouble(t, SendRefused)
	_, err := s.Send(limited(t), text(to, "x", digits(1)))
	f := faultOf(t, err)
	if v := classifier.Judge(f); f.Phase != classifier.PhaseAnswer || !f.HasCode || !v.Certain {
		t.Errorf("%+v, verdict %+v", f, v)
	}
	if got := len(h.Sent()); got != n {
		t.Errorf("%d messages arrived", got-n)
	}
}

func failsInUpload(t *testing.T, h Harness) {
	tr := h.Transport(t)
	if !tr.Abilities().Can(wechat.Image) {
		return
	}
	s := login(t, tr, wechat.QR)
	to := meet(t, h, s)
	h.Trouble(t, UploadLost)
	out := wechat.Outgoing{To: to, Kind: wechat.Image, ClientID: digits(1), Media: medium(samples[wechat.Image].name, samples[wechat.Image].data)}
	_, err := s.Send(limited(t), out)
	f := faultOf(t, err)
	if v := classifier.Judge(f); f.Op != classifier.OpUpload || !v.Certain || !v.Retryable { // no message was handed over
		t.Errorf("%+v, verdict %+v", f, v)
	}
	if n := len(h.Sent()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
	h.Trouble(t, NoTrouble)
	_, err = s.Send(limited(t), out) // the same message again
	must(t, err)
}

func closes(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	to := meet(t, h, s)
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.Receive(limited(t)); err == nil {
		t.Error("a closed session received")
	}
	_, err := s.Send(limited(t), text(to, "x", digits(1)))
	if v := classifier.Judge(faultOf(t, err)); !v.Certain || !v.Retryable {
		t.Errorf("a send on a closed session: %+v", v)
	}
	if n := len(h.Sent()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

// closesUnderLoad: no panic, no race, no deadlock, no goroutine left (the
// caller's TestMain looks for these), and everything fails from then on. What
// went out is at least what was confirmed.
func closesUnderLoad(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	to := meet(t, h, s)
	n := len(h.Sent())
	var wg sync.WaitGroup
	var mu sync.Mutex
	confirmed := map[string]bool{}
	ctx := limited(t)
	for i := range 4 {
		wg.Go(func() {
			for j := 0; ; j++ {
				r, err := s.Send(ctx, text(to, fmt.Sprintf("%d-%d", i, j), digits(j)))
				if err != nil {
					return
				}
				mu.Lock()
				confirmed[r.MessageID] = true
				mu.Unlock()
			}
		})
	}
	var last error
	wg.Go(func() {
		for last == nil {
			var b wechat.Batch
			if b, last = s.Receive(ctx); last == nil {
				_ = s.Commit(ctx, b.Cursor)
			}
		}
	})
	eventually(t, "some messages", func() bool { return len(h.Sent()) > n+8 })
	must(t, s.Close())
	wg.Wait()
	if errors.Is(last, context.DeadlineExceeded) {
		t.Error("receive did not notice the close")
	}
	arrived := map[string]bool{}
	for _, m := range h.Sent() {
		arrived[m.MessageID] = true
	}
	for id := range confirmed {
		if !arrived[id] {
			t.Errorf("%s was confirmed and did not arrive", id)
		}
	}
}
