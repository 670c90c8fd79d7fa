package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// demoSend is one message of the story.
type demoSend struct {
	id, to, toID, text string
	receipt            broker.Receipt
	kept               bool // it was published while sending was held
	final              wire.Delivery
}

// tell plays the chapters; each one checks that it came true.
func (d *demo) tell(ctx context.Context) error {
	d.title()
	chapters := []func(context.Context) error{d.login, d.firstSend, d.reply, d.outage, d.recovery, d.reckoning}
	for _, chapter := range chapters {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) title() {
	fmt.Fprintf(d.Out, "%s\n\n", d.Say("wechat-bridge demo: simulated WeChat, NATS and the worker, all on this machine; nobody real gets anything.",
		"wechat-bridge 演示：模拟微信、NATS 和 worker 都在本机；不会有真人收到任何消息。"))
	fmt.Fprintf(d.Out, "  WeChat  https://%s (%s http://%s)\n", d.sim.Addr(), d.Say("control", "控制"), d.sim.ControlAddr())
	fmt.Fprintf(d.Out, "  NATS    %s\n  HTTP    http://%s/healthz\n", d.info.NATS, d.info.HTTP)
}

func (d *demo) login(ctx context.Context) error {
	d.chapter(1, "Login", "登录")
	if _, err := d.await(ctx, inState(wire.StateAwaitingScan)); err != nil {
		return err
	}
	d.line("WeChat shows a QR code; the phone scans it", "微信给出二维码；手机扫码")
	if err := d.sim.Scan(); err != nil {
		return err
	}
	if _, err := d.await(ctx, inState(wire.StateAwaitingConfirm)); err != nil {
		return err
	}
	d.line("and somebody presses the button", "有人在手机上点击确认")
	if err := d.sim.Confirm(); err != nil {
		return err
	}
	c, err := d.await(ctx, inState(wire.StateConnected))
	if err != nil {
		return err
	}
	d.line("connected as %s, sending %s", "已以 %s 身份连接，发送状态 %s", wire.Printable(c.Identity.Name, 40), c.Sending)
	return nil
}

func (d *demo) firstSend(ctx context.Context) error {
	d.chapter(2, "A message goes out", "发送一条消息")
	if err := d.send(ctx, demoSend{id: "demo-1", to: "Alice", toID: "alice", text: "Hello Alice"}); err != nil {
		return err
	}
	return d.finals(ctx, true)
}

// send publishes to wechat.send, as any program would.
func (d *demo) send(ctx context.Context, s demoSend) error {
	body, err := d.publish(ctx, s)
	if err == nil {
		d.line("wechat.send ← %s", "wechat.send ← %s", body)
	}
	return err
}

func (d *demo) publish(ctx context.Context, s demoSend) (body []byte, err error) {
	if body, err = json.Marshal(map[string]string{"id": s.id, "to": s.to, "text": s.text}); err != nil {
		return nil, err
	}
	receipt, err := d.client.Send(ctx, "default", "", body)
	if err != nil {
		return nil, err
	}
	s.receipt = receipt
	d.sends = append(d.sends, s)
	return body, nil
}

// finals waits for the final record of each message that has none.
func (d *demo) finals(ctx context.Context, show bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	for i := range d.sends {
		s := &d.sends[i]
		if s.final.Final {
			continue
		}
		final, err := d.client.Wait(ctx, "default", s.id, s.receipt, func(r broker.Record) {
			if rec, _, err := wire.OpenDelivery(r.Body); show && err == nil {
				d.line("wechat.status → %s %s", "wechat.status → %s %s", rec.ID, rec.State)
			}
		})
		if err != nil {
			return fmt.Errorf("%w: %s has no final record: %w", ErrDemo, s.id, err)
		}
		s.final = final
	}
	return nil
}

func (d *demo) reply(ctx context.Context) error {
	d.chapter(3, "An answer comes in", "收到回复")
	id, err := d.sim.Say(sim.Message{From: "alice", Type: "text", Text: "Hi! I got it."})
	if err != nil {
		return err
	}
	d.told = append(d.told, id)
	select {
	case m := <-d.events:
		d.heard = append(d.heard, m.MessageID)
		d.line("wechat.events → %s: %s", "wechat.events → %s：%s", wire.Printable(m.From.Name, 40), wire.Printable(m.Text, 60))
		return nil
	case <-time.After(demoStep):
		return fmt.Errorf("%w: the answer did not arrive", ErrDemo)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) outage(ctx context.Context) error {
	d.chapter(4, "WeChat goes away", "微信掉线")
	if _, err := d.sim.AddFault(sim.Fault{On: []string{"*"}, Do: "refuse"}); err != nil {
		return err
	}
	c, err := d.await(ctx, inState(wire.StateReconnecting))
	if err != nil {
		return err
	}
	d.line("%s: %s (sending %s)", "%s：%s（发送 %s）", c.State, d.Say(c.Reason.Message, c.Reason.MessageZH), c.Sending)
	for n := 2; n <= 6; n++ {
		s := demoSend{id: fmt.Sprintf("demo-%d", n), to: "Alice", toID: "alice", text: fmt.Sprintf("Message %d", n)}
		if n%2 == 1 {
			s.to, s.toID = "Team", "team"
		}
		if err := d.send(ctx, s); err != nil {
			return err
		}
	}
	if err := d.kept(ctx); err != nil {
		return err
	}
	d.line("all kept on disk; /healthz says %s", "全部保存在磁盘上；/healthz 显示 %s", d.health(ctx))
	return nil
}

// kept waits until each message of the outage is accepted, and wants none of
// them to be further.
func (d *demo) kept(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	for _, s := range d.sends[1:] {
		for {
			records, err := d.client.Get(ctx, "default", s.id)
			if err != nil {
				return fmt.Errorf("%w: %s was not accepted: %w", ErrDemo, s.id, err)
			}
			if len(records) > 0 {
				break
			}
			if !pause(ctx, 50*time.Millisecond) {
				return fmt.Errorf("%w: %s was not accepted", ErrDemo, s.id)
			}
		}
	}
	if n := len(d.sim.Sent()); n != 1 {
		return fmt.Errorf("%w: WeChat was away and has %d messages", ErrDemo, n)
	}
	return nil
}

func (d *demo) health(ctx context.Context) string {
	code, h, err := d.askHealth(ctx)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d: process %s, connection %s, business %s", code, h.Process.Status, h.Connection.Status, h.Business.Status)
}

// askHealth asks as a monitor would.
func (d *demo) askHealth(ctx context.Context) (code int, h wire.Health, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.info.HTTP+"/healthz", nil)
	if err != nil {
		return 0, h, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, h, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&h)
	return resp.StatusCode, h, err
}

func (d *demo) recovery(ctx context.Context) error {
	d.chapter(5, "WeChat comes back", "微信恢复")
	d.sim.ClearFaults()
	if _, err := d.await(ctx, inState(wire.StateConnected)); err != nil {
		return err
	}
	d.line("connected again, without a scan", "已重新连接，无需扫码")
	if err := d.finals(ctx, false); err != nil {
		return err
	}
	d.line("what waited has gone out", "等待的消息已全部发出")
	return nil
}

// reckoning compares what was published, what the simulator accepted and what
// the bridge has stored.
func (d *demo) reckoning(ctx context.Context) error {
	d.chapter(6, "What became of each message", "每条消息的结果")
	ledger := d.sim.Sent()
	d.table(ledger)
	report, err := d.check(ctx, ledger)
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("%w: the ledgers do not agree: %s", ErrDemo, report)
	}
	fmt.Fprintf(d.Out, "\n%5.1fs %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(
		d.Say("WeChat's ledger agrees: %d published, %d accepted by WeChat, 0 lost, 0 twice, in the order of each chat.",
			"与微信的账本一致：发布 %d 条，微信收下 %d 条，丢失 0，重复 0，每个聊天顺序正确。"), len(d.sends), len(ledger)))
	return nil
}

func (d *demo) table(ledger []sim.Entry) {
	place := map[string]int{}
	for _, e := range ledger {
		place[e.MsgID] = e.Seq
	}
	w := tabwriter.NewWriter(d.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n  %s\n", d.Say("id\tto\ttext\tbecame\tnumber at WeChat", "id\t收件人\t内容\t结果\t微信账本序号"))
	for _, s := range d.sends {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%d\n", s.id, s.to, s.text, s.final.State, place[s.final.MessageID])
	}
	_ = w.Flush()
}

func (d *demo) check(ctx context.Context, ledger []sim.Entry) (verify.Report, error) {
	in := verify.Input{Told: d.told, Stored: d.heard, MaxAmbiguous: d.doubts}
	for _, e := range ledger {
		in.Ledger = append(in.Ledger, verify.Entry{Seq: int(e.Seq), ToID: e.ToID, To: e.To, Type: e.Type, Content: e.Content, ClientMsgID: e.ClientMsgID, MsgID: e.MsgID, Notice: e.Notice})
	}
	for _, s := range d.sends {
		in.Commands = append(in.Commands, verify.Command{Account: "default", ID: s.id, StreamSeq: s.receipt.Seq, To: s.toID, Digest: verify.Digest(s.text)})
		records, err := d.client.Get(ctx, "default", s.id)
		if err != nil {
			return verify.Report{}, err
		}
		for _, r := range records {
			rec, err := verify.ReadRecord(r.Stored)
			if err != nil {
				return verify.Report{}, err
			}
			in.Records = append(in.Records, rec)
		}
	}
	return verify.Check(in), nil
}

// whatNext lists what to type in another terminal.
func (d *demo) whatNext() {
	flag := ""
	if d.info.NATS != "nats://127.0.0.1:4222" {
		flag = " --nats " + d.info.NATS
	}
	fmt.Fprintf(d.Out, "\n%s\n", d.Say("It stays up. In another terminal:", "演示继续运行。在另一个终端可以输入："))
	for _, c := range []string{"watch", "send --to Bob --text 'hi' --wait", "status", "get demo-3"} {
		line := "wechat-bridge " + c + flag
		fmt.Fprintf(d.Out, "  %s\n", d.Say(line, line))
	}
	for _, c := range []string{"sub wechat.events", "sub wechat.status", `req wechat.send '{"to":"filehelper","text":"hi"}'`} {
		fmt.Fprintf(d.Out, "  nats -s %s %s\n", d.info.NATS, c)
	}
	fmt.Fprintf(d.Out, "  curl -X POST http://%s/sim/v1/messages -d '{\"from\":\"bob\",\"room\":\"team\",\"type\":\"text\",\"text\":\"hello\"}'\n", d.sim.ControlAddr())
	fmt.Fprintf(d.Out, "%s\n", d.Say("Ctrl-C ends it.", "按 Ctrl-C 结束。"))
}
