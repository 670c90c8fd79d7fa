package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// announce says what is played, and how time is pressed.
func (n *night) announce() {
	cfg := Defaults()
	fmt.Fprintf(n.Out, "\n%s\n%s\n\n", n.Say(n.script.Description.EN, n.script.Description.ZH), fmt.Sprintf(n.Say(
		"%s of it in %s: one second is %g minutes. Pressed too: people are told after %s instead of %s. Not pressed: the bridge's own back-off and time-outs.",
		"%s 压缩到 %s：一秒等于 %g 分钟。同样压缩：%s 后告警（平时 %s）。不压缩：桥接自己的退避与超时。"),
		hours(n.script.Lasts), nightTime(n.script.Lasts), (nightSpeed*time.Second).Minutes(),
		nightTime(cfg.Alerts.AlertAfter), cfg.Alerts.AlertAfter))
}

// hours leaves out minutes and seconds that are none.
func hours(d time.Duration) string { return strings.TrimSuffix(d.String(), "0m0s") }

// reckoning prints the table and says whether all agrees.
func (n *night) reckoning(ctx context.Context) error {
	n.demo.told, n.demo.heard = n.told, n.heard
	n.doubts = Defaults().MaxInFlight * n.lost // each loss may cut those in flight
	report, err := n.check(ctx, n.sim.Sent())
	if err != nil {
		return err
	}
	n.table(report)
	if err := n.judge(report); err != nil {
		return err
	}
	fmt.Fprintf(n.Out, "\n%s\n", n.Say("All of it agrees: WeChat's ledger, the stored records, and what was said in the night.",
		"全部一致：微信的账本、已存储的记录，以及当夜所说的一切。"))
	return nil
}

func (n *night) table(r verify.Report) {
	after := n.sim.State()
	w := tabwriter.NewWriter(n.Out, 0, 0, 2, ' ', 0)
	row := func(en, zh, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", n.Say(en, zh), fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	row("faults met, by kind", "遇到的故障（按种类）", "%s", strings.Join(n.hits(), " · "))
	row("log lines", "日志行数", n.Say("%d (the bot of the story wrote 1,328 errors)", "%d（故事里的机器人写了 1,328 条错误）"), n.lines.n.Load())
	row("connection lost", "掉线", n.Say("%d time, for %s of the night", "%d 次，合当夜 %s"), n.lost, (n.away * nightSpeed).Round(time.Minute))
	row("alerts", "告警", "%d  %s", len(n.alerts), kinds(n.alerts))
	row("/healthz", "/healthz", "%s  %s", strip(n.health, nightCells), n.Say("· pass  ▒ warn  █ fail", "· 正常  ▒ 注意  █ 故障"))
	kept, replayed := 0, 0
	for _, s := range n.sends {
		if s.kept {
			kept++
		}
		if s.kept && s.final.State == wire.Sent {
			replayed++
		}
	}
	row("messages out", "发出的消息", n.Say("%d published, %d kept while WeChat was away, %d replayed, %d lost", "发布 %d，离线期间保存 %d，补发 %d，丢失 %d"),
		len(n.sends), kept, replayed, lostOut(r))
	row("", "", n.Say("%d twice without a word, %d out of order, %d marked as possibly twice", "未声明的重复 %d，乱序 %d，标为可能重复 %d"),
		len(r.SilentDoubles), len(r.OrderBreaks), len(r.Ambiguous))
	row("messages in", "收到的消息", n.Say("%d told by WeChat, %d lost", "微信告知 %d，丢失 %d"), len(n.told), len(r.ReceivedLost))
	row("new logins, QR codes", "新登录、二维码", "%d, %d", after.Logins-n.before.Logins, n.codes(after))
	_ = w.Flush()
}

// lostOut are the messages that WeChat should have and has not.
func lostOut(r verify.Report) int {
	return len(r.Lost) + len(r.SentWithoutLedger) + r.Commands - r.ByState[wire.Sent]
}

func (n *night) codes(after sim.State) int {
	return after.Requests["jslogin"] - n.before.Requests["jslogin"]
}

// hits are the faults by kind, the ones that the bridge did not even meet too.
func (n *night) hits() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(n.faults)) {
		f := n.faults[id]
		what := strings.Join(f.On, "/") + " " + f.Do
		if f.Ret != 0 {
			what = fmt.Sprintf("%s %d", strings.Join(f.On, "/"), f.Ret)
		}
		out = append(out, fmt.Sprintf("%s ×%d", strings.TrimPrefix(what, "* "), f.Hits))
	}
	return out
}

func kinds(alerts []alert.Kind) string {
	var out []string
	for _, k := range alerts {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// strip is health over time, a sign for each stretch: the worst of it.
func strip(statuses []string, cells int) string {
	signs := map[string]string{monitor.Pass: "·", monitor.Warn: "▒", monitor.Fail: "█"}
	var b strings.Builder
	cells = min(cells, len(statuses))
	for i := range cells {
		part := statuses[i*len(statuses)/cells : (i+1)*len(statuses)/cells]
		worst := monitor.Pass
		for _, s := range part {
			if s == monitor.Fail || s == monitor.Warn && worst == monitor.Pass {
				worst = s
			}
		}
		b.WriteString(signs[worst])
	}
	return b.String()
}

// judge names all that is not as the night should end.
func (n *night) judge(r verify.Report) error {
	after := n.sim.State()
	var wrong []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	want(r.OK(), "the ledgers do not agree: %s", r)
	want(lostOut(r) == 0, "%d messages did not go out", lostOut(r))
	want(n.now.State == wire.StateConnected && n.now.Sending != wire.SendingHeld, "it ends %s, sending %s", n.now.State, n.now.Sending)
	want(after.Logins == n.before.Logins && n.codes(after) == 0, "a session that was good was thrown away")
	want(n.lost > 0 && slices.Contains(n.health, monitor.Fail), "health did not tell that WeChat was away")
	want(len(n.health) > 0 && n.health[len(n.health)-1] != monitor.Fail, "health is still bad")
	want(slices.Equal(n.alerts, []alert.Kind{alert.KindHeld, alert.KindBack}), "the alerts are %s, not one that messages are held and one that all is back", kinds(n.alerts))
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDemo, errors.Join(wrong...))
}
