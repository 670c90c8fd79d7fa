package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"wechat-bridge/bridge/wire"
)

// shown is a screen and what it has written.
func shown(lang string, live bool) (*screen, *bytes.Buffer) {
	var out bytes.Buffer
	s := newScreen(&terminal{ctx: nil, out: &out, err: &out, lang: lang})
	s.live = live
	return s, &out
}

func scanning(text string, n int, until time.Time) wire.Connection {
	return wire.Connection{State: wire.StateAwaitingScan, Login: &wire.Login{QRText: text, QRNumber: n, ExpiresAt: until}}
}

func TestCountdown(t *testing.T) {
	now := time.Now()
	s, out := shown("en", true)
	s.Show(scanning("https://login.weixin.qq.com/l/abc", 2, now.Add(90*time.Second)))
	s.Tick(now.Add(time.Second))
	s.Tick(now.Add(2 * time.Second))
	if got := out.String(); !strings.HasSuffix(got, "\r\x1b[KScan code 2 with WeChat on your phone. It is good for 1m29s."+
		"\r\x1b[KScan code 2 with WeChat on your phone. It is good for 1m28s.") {
		t.Errorf("on a terminal each second rewrites the line: %q", got[max(0, len(got)-200):])
	}
	out.Reset()
	if _, err := s.logs(out).Write([]byte("a log line\n")); err != nil {
		t.Fatal(err)
	}
	s.Show(wire.Connection{State: wire.StateAwaitingConfirm})
	s.Tick(now.Add(3 * time.Second))
	if got := out.String(); got != "\r\x1b[Ka log line\nNow press the button on the phone.\n" {
		t.Errorf("other lines replace it: %q", got)
	}
}

func TestCountdownInAFileIsOncePerMinute(t *testing.T) {
	now := time.Now()
	s, out := shown("zh", false)
	s.Show(scanning("https://login.weixin.qq.com/l/abc", 1, now.Add(5*time.Minute)))
	if !strings.HasSuffix(out.String(), "请用手机微信扫描第 1 个二维码，5m0s 内有效。\n") {
		t.Errorf("got %q", out)
	}
	out.Reset()
	for i := range 200 {
		s.Tick(now.Add(time.Duration(i) * time.Second))
	}
	want := "请用手机微信扫描第 1 个二维码，4m0s 内有效。\n" +
		"请用手机微信扫描第 1 个二维码，3m0s 内有效。\n请用手机微信扫描第 1 个二维码，2m0s 内有效。\n"
	if got := out.String(); got != want {
		t.Errorf("got %q", got)
	}
}

func TestCodeThatIsNoLongerGoodIsNotCountedOn(t *testing.T) {
	now := time.Now()
	s, out := shown("en", false)
	s.Show(scanning("https://login.weixin.qq.com/l/abc", 1, now.Add(5*time.Minute)))
	retry := now.Add(5 * time.Second)
	s.Show(wire.Connection{State: wire.StateAwaitingScan, RetryAt: &retry})
	out.Reset()
	s.Tick(now.Add(time.Minute))
	if out.Len() > 0 {
		t.Errorf("got %q", out)
	}
	s.Show(scanning("https://login.weixin.qq.com/l/def", 2, now.Add(6*time.Minute)))
	if !strings.Contains(out.String(), "Scan code 2") {
		t.Errorf("got %q", out)
	}
}

func TestAnOutageIsToldOnce(t *testing.T) {
	s, out := shown("en", false)
	at := time.Now()
	reason := &wire.Reason{Code: "connection_reset", Message: "The connection was cut.", Fix: "It is tried again."}
	for i := range 20 {
		s.Show(wire.Connection{State: wire.StateReconnecting, Sending: "held", Attempt: i, RetryAt: &at, Reason: reason, Backlog: wire.Backlog{Messages: uint64(i)}})
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	s.Show(wire.Connection{State: wire.StateConnected, Sending: "flowing", Identity: &wire.Identity{Name: "A\x1b[2J\u202eB\nC"}})
	if err := printableText(out.String()); err != nil || !strings.Contains(out.String(), "Connected as A") {
		t.Errorf("%v: %q", err, out)
	}
}

// Poll faults of a connection that stays are no news; a real change is.
func TestConnectedIsToldOnChangesOnly(t *testing.T) {
	s, out := shown("en", false)
	up := wire.Connection{State: wire.StateConnected, Sending: "flowing", Identity: &wire.Identity{Name: "A"}}
	faulty := up
	faulty.Reason = &wire.Reason{Code: "connection_reset", Message: "The connection was cut."}
	for _, c := range []wire.Connection{up, faulty, up, faulty, up} {
		s.Show(c)
	}
	if n := strings.Count(out.String(), "Connected as"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out)
	}
	s.Show(wire.Connection{State: wire.StateReconnecting, Reason: faulty.Reason})
	s.Show(up)
	paused := up
	paused.Sending, paused.Reason = wire.SendingPaused, &wire.Reason{Code: "identity_changed", Message: "Somebody else."}
	s.Show(paused)
	if n := strings.Count(out.String(), "Connected as"); n != 3 || !strings.HasSuffix(out.String(), "sending is paused. Somebody else.\n") {
		t.Errorf("told %d times:\n%s", n, out)
	}
}

// What a person does not have to do is not advised, and what ended a connection
// is not why the next one is being made.
func TestAdviceOnlyWhereAPersonIsNeeded(t *testing.T) {
	s, out := shown("en", false)
	at := time.Now()
	gone := &wire.Reason{Code: "session_expired", Class: "session_expired", Message: "The session was logged out.", Fix: "Confirm the login on the phone."}
	s.Show(wire.Connection{State: wire.StateReconnecting, Reason: gone, UserAction: "wait", RetryAt: &at})
	want := "WeChat is away: The session was logged out. Messages are kept; next try at " + at.Local().Format(time.TimeOnly) + ".\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
	s.Show(wire.Connection{State: wire.StateAwaitingConfirm, Reason: gone, UserAction: "confirm_on_phone"})
	out.Reset()
	s.Show(wire.Connection{State: wire.StateConnecting, Reason: gone, UserAction: "wait"})
	if out.Len() > 0 {
		t.Errorf("after the button was pressed: %q", out)
	}
	for _, retry := range []*time.Time{&at, nil, &at} { // a try fails, another one begins and fails
		s.Show(wire.Connection{State: wire.StateConnecting, Reason: &wire.Reason{Code: "timeout", Message: "No answer."}, UserAction: "wait", RetryAt: retry})
	}
	if n := strings.Count(out.String(), "WeChat cannot be reached: No answer. Messages are kept"); n != 1 {
		t.Errorf("%d times:\n%s", n, out)
	}
	for action, want := range map[string]string{"none": "", "wait": "", "": "", "confirm_on_phone": gone.Fix, "scan_qr": gone.Fix} {
		if got := s.t.fix(wire.Connection{Reason: gone, UserAction: action}); got != want {
			t.Errorf("%s: %q", action, got)
		}
	}
}

func TestStatusSaysWhoIsLoggedIn(t *testing.T) {
	tm := &terminal{lang: "en"}
	me := &wire.Identity{Name: "A"}
	for state, want := range map[string]string{
		wire.StateConnected: "A", wire.StateReconnecting: "A", wire.StateLoggedOut: "- (last: A)", wire.StateBlocked: "- (last: A)", wire.StateAwaitingScan: "- (last: A)",
	} {
		if got := identity(tm, wire.Connection{State: state, Identity: me}); got != want {
			t.Errorf("%s: %q", state, got)
		}
	}
}

func TestRefusedAccountSaysWhyAndWhatToDo(t *testing.T) {
	for lang, want := range map[string]string{
		"en": "WeChat refuses this account. Messages are kept.\n  why   Restricted.\n  fix   Wait a day.\n  then  wechat-bridge login --force\n",
		"zh": "微信拒绝了此账号，消息会保留。\n  原因  受限。\n  处理  等一天。\n  然后  wechat-bridge login --force\n",
	} {
		s, out := shown(lang, false)
		s.Show(wire.Connection{State: wire.StateBlocked, Reason: &wire.Reason{
			Code: "restricted_account", Message: "Restricted.", MessageZH: "受限。", Fix: "Wait a day.", FixZH: "等一天。",
		}})
		if got := out.String(); got != want {
			t.Errorf("%s: got %q", lang, got)
		}
	}
}

// TestTerminalQR reads the drawing back, module by module.
func TestTerminalQR(t *testing.T) {
	const text = "https://login.weixin.qq.com/l/4ZtmXMrrZQ=="
	drawn, err := terminalQR(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSuffix(colour.Replace(drawn), "\n"), "\n")
	for i, row := range rows {
		for j, r := range []rune(row) {
			x, y := j-quietZone, 2*i-quietZone
			top, bottom := r == '█' || r == '▀', r == '█' || r == '▄'
			if top != code.Black(x, y) || bottom != code.Black(x, y+1) {
				t.Fatalf("module %d,%d is wrong", x, y)
			}
		}
	}
	if len(rows) < code.Size/2+quietZone {
		t.Errorf("%d rows for %d modules", len(rows), code.Size)
	}
}

func TestPlainJSONIsTheSameJSON(t *testing.T) {
	in := "{\"a\":\"漢字 👪 \u202e\u009b\u200b\U000e0041 <b>\"}"
	got := string(plainJSON([]byte(in)))
	if want := `{"a":"漢字 👪 \u202e\u009b\u200b\udb40\udc41 <b>"}`; got != want {
		t.Errorf("got %s", got)
	}
}
