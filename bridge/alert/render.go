package alert

import (
	"fmt"
	"strings"
	"time"

	"wechat-bridge/bridge/wire"
)

// Languages of alerts.
const (
	English = "en"
	Chinese = "zh"
)

// text is one sentence in both languages.
type text struct{ en, zh string }

func (t text) in(lang string) string {
	if lang == Chinese && t.zh != "" {
		return t.zh
	}
	return t.en
}

const maxSentence = 300 // characters of what a record brings

var titles = map[Kind]text{
	KindHeld:     {"WeChat is away, messages are kept", "微信不可用，消息已保留"},
	KindLogin:    {"a person is needed: log in to WeChat", "需要人工处理：请登录微信"},
	KindBlocked:  {"a person is needed: WeChat refuses the account", "需要人工处理：微信拒绝了该账号"},
	KindConfig:   {"a person is needed: the configuration is wrong", "需要人工处理：配置有误"},
	KindIdentity: {"a person is needed: another WeChat account has logged in", "需要人工处理：登录的是另一个微信账号"},
	KindPerson:   {"a person is needed", "需要人工处理"},
	KindBack:     {"WeChat is back", "微信已恢复"},
	KindBroker:   {"NATS is away", "NATS 不可用"},
	KindBrokerOK: {"NATS is back", "NATS 已恢复"},
	KindTest:     {"this is a test", "这是一条测试消息"},
}

// strange is the title when nobody knows the reason: that is said loudly.
var strange = text{"WeChat is away for a reason that nobody knows, messages are kept", "微信因未知原因不可用，消息已保留"}

var actions = map[string]text{
	"scan_qr":          {"Scan the QR code with the phone. It is on the page, and `wechat-bridge login` shows it.", "请用手机扫描二维码；页面上或运行 `wechat-bridge login` 可见。"},
	"confirm_on_phone": {"Press the button that WeChat shows on the phone.", "请在手机微信上点击确认。"},
	"enter_code":       {"Type the digits that the phone shows: wechat-bridge login --code DIGITS", "请输入手机上显示的数字：wechat-bridge login --code 数字"},
	"open_phone":       {"Open WeChat on the phone and see what it says. Do not try to log in again and again.", "请打开手机微信查看提示，不要反复尝试登录。"},
	"contact_wechat":   {"Ask WeChat's support.", "请联系微信客服。"},
	"fix_config":       {"Mend the configuration and start the bridge again.", "请修正配置后重新启动桥接。"},
}

// Render gives title and body of a notice, in English or Chinese ("zh"). Both
// are safe to print: what comes from outside went through wire.Printable.
func Render(lang string, n Notice) (title, body string) {
	words := titles[n.Kind]
	if n.Kind == KindHeld && n.unknown() {
		words = strange
	}
	title = "[" + wire.Printable(n.Account, 32) + "] " + words.in(lang)
	if n.Connection.Simulated {
		title += text{" (simulated)", "（模拟）"}.in(lang)
	}
	var lines []string
	add := func(t text, args ...any) { lines = append(lines, fmt.Sprintf(t.in(lang), args...)) }
	switch n.Kind {
	case KindTest:
		add(text{"If you can read this, alerts of the WeChat bridge reach you here.", "如果您能看到此消息，说明微信桥接的告警可以送达此处。"})
	case KindBack:
		add(text{"Messages go out again. The outage began at %s and lasted %s.", "消息恢复发送。中断始于 %s，持续 %s。"}, n.clock(n.Since), short(n.Down))
		add(text{"At most %d messages waited; they go out in order.", "期间最多有 %d 条消息等待，将按顺序发出。"}, n.Waited)
	case KindBroker:
		add(text{"The bridge has not reached NATS for %s. Messages that NATS has taken are kept there; new ones cannot be taken. Check the NATS server.", "桥接已有 %s 无法连接 NATS。NATS 已接收的消息仍保留，但无法接收新消息。请检查 NATS 服务器。"}, short(n.Down))
	case KindBrokerOK:
		add(text{"The bridge reaches NATS again. It was away from %s for %s.", "桥接已重新连接 NATS。中断始于 %s，持续 %s。"}, n.clock(n.Since), short(n.Down))
	default:
		lines = append(lines, outageLines(lang, n)...)
	}
	if n.Link != "" {
		add(text{"Page: %s", "页面：%s"}, n.Link)
	}
	return title, strings.Join(lines, "\n")
}

// outageLines say what there is to do, why, and what waits.
func outageLines(lang string, n Notice) []string {
	var lines []string
	add := func(t text, args ...any) { lines = append(lines, fmt.Sprintf(t.in(lang), args...)) }
	c := n.Connection
	todo, known := actions[c.UserAction]
	switch {
	case n.Kind == KindHeld && n.OnAndOff:
		add(text{"The connection comes and goes: %s lost in all.", "连接时断时续，累计中断 %s。"}, short(n.Down))
	case n.Kind == KindHeld:
		add(text{"Nothing could be sent for %s.", "已有 %s 无法发送消息。"}, short(n.Down))
	case n.Kind == KindIdentity:
		// The reason's own sentence says it.
	case known:
		lines = append(lines, todo.in(lang))
	default:
		add(text{"The bridge asks for: %s.", "桥接需要：%s。"}, wire.Printable(c.UserAction, 40))
	}
	lines = append(lines, reasonLines(lang, n)...)
	if c.Backlog.Messages > 0 {
		add(text{"%d messages wait, the oldest for %s. They are kept.", "有 %d 条消息等待，最早的已等待 %s；消息均已保留。"},
			c.Backlog.Messages, short(time.Duration(c.Backlog.OldestAgeMS)*time.Millisecond))
	}
	if n.Kind == KindHeld && c.RetryAt != nil {
		add(text{"Next try: %s.", "下次尝试：%s。"}, n.clock(*c.RetryAt))
	}
	return lines
}

func reasonLines(lang string, n Notice) []string {
	r := n.Connection.Reason
	if r == nil {
		return nil
	}
	message := text{r.Message, r.MessageZH}.in(lang)
	fix := text{r.Fix, r.FixZH}.in(lang)
	lines := []string{fmt.Sprintf(text{"Reason: %s (%s, %s)", "原因：%s（%s, %s）"}.in(lang),
		wire.Printable(message, maxSentence), wire.Printable(r.Class, 40), wire.Printable(r.Code, 60))}
	if fix != "" && (n.Kind != KindLogin || r.Code == "qr_unattended") { // for a login the action has said it
		lines = append(lines, wire.Printable(fix, maxSentence))
	}
	return lines
}

func short(d time.Duration) string { return d.Round(time.Second).String() }

// clock shows all times of a notice in one zone.
func (n Notice) clock(t time.Time) string { return t.In(n.At.Location()).Format(time.RFC3339) }
