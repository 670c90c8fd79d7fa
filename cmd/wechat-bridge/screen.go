package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"wechat-bridge/bridge/wire"
)

// screen tells a person at a terminal how the connection is and what is needed
// of them: one line per change, and the QR code when there is one.
type screen struct {
	t     *terminal
	live  bool // a terminal: the countdown may rewrite its line
	mu    sync.Mutex
	last  string // situation
	qr    *wire.Login
	told  string // the countdown that was printed last
	dirty bool   // the cursor is on a countdown line
	away  bool   // NATS is not there
}

func newScreen(t *terminal) *screen { return &screen{t: t, live: isTerminal(t.out)} }

// Show prints what changed.
func (s *screen) Show(c wire.Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.State == wire.StateAwaitingScan {
		s.showCode(c)
	} else {
		s.qr = nil
	}
	if c.State == wire.StateConnecting && c.RetryAt == nil {
		return // a try is under way; its reason is that of the one before
	}
	if key := situation(c); key != s.last {
		s.last = key
		if line := s.line(c); line != "" {
			s.print(line)
		}
	}
}

// NATS says that the server is waited for, and that it is back.
func (s *screen) NATS(connected bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !connected && !s.away:
		s.print(fmt.Sprintf(s.t.say("Waiting for NATS (%s). It is tried again until it is there.", "正在等待 NATS（%s），会一直重试。"), wire.Printable(err.Error(), 200)))
	case connected && s.away:
		s.print(s.t.say("NATS is there.", "NATS 已连接。"))
	}
	s.away = !connected
}

// situation is what a person has to hear about when it changes; another try of
// the same outage is not, nor is a single fault of a connection that stays.
func situation(c wire.Connection) string {
	code := ""
	if c.Reason != nil && (c.State != wire.StateConnected || c.Sending == wire.SendingPaused) {
		code = c.Reason.Code
	}
	return c.State + " " + code + " " + strconv.FormatBool(c.Sending == wire.SendingPaused)
}

func (s *screen) showCode(c wire.Connection) {
	if c.Login == nil && s.qr != nil {
		s.qr = nil
		s.print(fmt.Sprintf(s.t.say("The code is no longer good. A new one comes; %s.", "此二维码已失效，即将出现新的二维码；%s。"), s.retry(c)))
	}
	if c.Login == nil || s.qr != nil && s.qr.QRText == c.Login.QRText {
		return
	}
	s.qr = c.Login
	code, err := terminalQR(c.Login.QRText)
	if err != nil {
		s.print(fmt.Sprintf(s.t.say("This login cannot be drawn as a QR code: %v", "无法绘制登录二维码：%v"), err))
		return
	}
	s.print(strings.TrimSuffix(code, "\n"))
	s.count(time.Now())
}

// count shows for how long the code is good, on a line that the next count
// rewrites if this is a terminal.
func (s *screen) count(now time.Time) {
	line := s.remaining(now)
	if !s.live {
		if line != s.told {
			s.print(line)
		}
		s.told = line
		return
	}
	fmt.Fprintf(s.t.out, "\r\x1b[K%s", line)
	s.dirty = true
}

// logs is where the log goes: not into the middle of a countdown.
func (s *screen) logs(w io.Writer) io.Writer { return &aside{screen: s, w: w} }

type aside struct {
	screen *screen
	w      io.Writer
}

func (a *aside) Write(p []byte) (int, error) {
	a.screen.mu.Lock()
	defer a.screen.mu.Unlock()
	if a.screen.dirty {
		fmt.Fprint(a.screen.t.out, "\r\x1b[K")
		a.screen.dirty = false
	}
	return a.w.Write(p)
}

// Tick counts down for how long the code is good; call it each second.
func (s *screen) Tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.qr == nil {
		return
	}
	left := s.qr.ExpiresAt.Sub(now).Round(time.Second)
	if s.live || left > 0 && left%time.Minute == 0 {
		s.count(now)
	}
}

func (s *screen) remaining(now time.Time) string {
	left := s.qr.ExpiresAt.Sub(now).Round(time.Second)
	if left <= 0 {
		return s.t.say("This code is no longer good; a new one comes.", "此二维码已失效，即将出现新的二维码。")
	}
	return fmt.Sprintf(s.t.say("Scan code %d with WeChat on your phone. It is good for %s.", "请用手机微信扫描第 %d 个二维码，%s 内有效。"), s.qr.QRNumber, left)
}

// leaving says what the end waits for, and that it need not be waited for.
func (s *screen) leaving(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.qr = nil
	s.print(fmt.Sprintf(s.t.say("Leaving: sends in flight may take up to %s. Press Ctrl-C again to leave at once.",
		"正在退出：最多等待 %s 让发送中的消息完成。再按一次 Ctrl-C 立即退出。"), grace))
}

func (s *screen) print(text string) {
	if s.dirty {
		fmt.Fprint(s.t.out, "\r\x1b[K")
		s.dirty = false
	}
	fmt.Fprintln(s.t.out, text)
}

// line says in one sentence how it is and what comes next.
func (s *screen) line(c wire.Connection) string {
	say := s.t.say
	switch c.State {
	case wire.StateConnecting:
		if c.Reason == nil {
			return ""
		}
		return fmt.Sprintf(say("WeChat cannot be reached: %s Messages are kept%s; %s.", "无法连接微信：%s消息已保留%s；%s。"), s.reason(c), s.waiting(c), s.retry(c))
	case wire.StateAwaitingConfirm:
		return say("Now press the button on the phone.", "请在手机上点击确认。")
	case wire.StateAwaitingCode:
		return say("Type the digits that the phone shows: wechat-bridge login --code DIGITS", "请输入手机上显示的数字：wechat-bridge login --code 数字")
	case wire.StateConnected:
		return s.connected(c)
	case wire.StateReconnecting:
		return fmt.Sprintf(say("WeChat is away: %s Messages are kept%s; %s.", "微信连接已断开：%s消息已保留%s；%s。"), s.reason(c), s.waiting(c), s.retry(c))
	case wire.StateLoggedOut:
		return say("Logged out. Messages are kept.", "已退出登录，消息会保留。") + s.why(c, "wechat-bridge login")
	case wire.StateBlocked:
		return say("WeChat refuses this account. Messages are kept.", "微信拒绝了此账号，消息会保留。") + s.why(c, "wechat-bridge login --force")
	}
	return ""
}

// why says on lines of their own what happened and what a person can do.
func (s *screen) why(c wire.Connection, next string) string {
	text := ""
	if r := c.Reason; r != nil {
		text += "\n  " + pad(s.t.say("why", "原因"), 6) + wire.Printable(s.t.say(r.Message, r.MessageZH), 400)
		if fix := s.t.say(r.Fix, r.FixZH); fix != "" {
			text += "\n  " + pad(s.t.say("fix", "处理"), 6) + wire.Printable(fix, 400)
		}
	}
	return text + "\n  " + pad(s.t.say("then", "然后"), 6) + s.t.say(next, next)
}

func (s *screen) connected(c wire.Connection) string {
	name := ""
	if c.Identity != nil {
		name = wire.Printable(c.Identity.Name, 64)
	}
	if c.Sending == wire.SendingPaused {
		return fmt.Sprintf(s.t.say("Connected as %s, but sending is paused. %s", "已以 %s 身份连接，但发送已暂停。%s"), name, s.reason(c))
	}
	return fmt.Sprintf(s.t.say("Connected as %s. Try: wechat-bridge send --to filehelper --text hello --wait",
		"已以 %s 身份连接。试试：wechat-bridge send --to filehelper --text 你好 --wait"), name)
}

func (s *screen) reason(c wire.Connection) string {
	if c.Reason == nil {
		return ""
	}
	text := s.t.say(c.Reason.Message, c.Reason.MessageZH)
	if fix := s.t.fix(c); fix != "" {
		text += s.t.say(" ", "") + fix
	}
	return wire.Printable(text, 400)
}

func (s *screen) waiting(c wire.Connection) string {
	if c.Backlog.Messages == 0 {
		return ""
	}
	return fmt.Sprintf(s.t.say(" (%d waiting)", "（%d 条等待中）"), c.Backlog.Messages)
}

func (s *screen) retry(c wire.Connection) string {
	if c.RetryAt == nil {
		return s.t.say("trying again now", "正在重试")
	}
	return s.t.say("next try at ", "下次重试：") + c.RetryAt.Local().Format(time.TimeOnly)
}
