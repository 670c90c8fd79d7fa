//go:build nights

package bridge

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// nightRow is a row of docs/nights.md.
type nightRow struct {
	name, what  string
	loud, lines int     // during the fault
	rate        float64 // requests a second beside the sends
	noticed     time.Duration
	flips       int // of /healthz between good and bad, in the whole night
	sent, kept  int
	failed      int
	lostOut     int
	lostIn      int
	doubts      int
	twice       int // in WeChat's ledger
	back        time.Duration
	wasDown     bool
	logins      int
	codes       int
	cpu         float64
	rss, peak   int
}

// reckon waits until all is final and stored, and compares the ledgers.
func (n *realNight) reckon(ctx context.Context) verify.Report {
	in := verify.Input{Told: n.told, MaxAmbiguous: 1000}
	var mu sync.Mutex
	finals := map[string]bool{}
	heard := map[string]bool{}
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = n.client.Watch(ctx, broker.Watch{Status: true, Events: true, History: true}, func(r broker.Record) error {
			mu.Lock()
			defer mu.Unlock()
			var m wire.Message
			if _, err := wire.OpenAs(r.Body, wire.TypeMessage, &m); err == nil {
				in.Stored, heard[m.MessageID] = append(in.Stored, m.MessageID), true
			}
			if rec, err := verify.ReadRecord(r.Stored); err == nil {
				in.Records = append(in.Records, rec)
				finals[rec.ID] = finals[rec.ID] || rec.Final
			}
			return nil
		})
	})
	n.until(2*time.Minute, "all is final and stored", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range n.commands {
			if !finals[c.ID] {
				return false
			}
		}
		for _, id := range n.told {
			if !heard[id] {
				return false
			}
		}
		return true
	})
	stop()
	watching.Wait()
	in.Commands = n.commands
	for _, e := range n.sim.Sent() {
		in.Ledger = append(in.Ledger, verify.Entry{Seq: e.Seq, ToID: e.ToID, To: e.To, Type: e.Type, Content: e.Content, ClientMsgID: e.ClientMsgID, MsgID: e.MsgID})
	}
	r := verify.Check(in)
	if !r.OK() {
		n.t.Errorf("the ledgers:\n%s", r)
	}
	return r
}

// row sums up.
func (n *realNight) row(before realSample, r verify.Report) nightRow {
	n.mu.Lock()
	defer n.mu.Unlock()
	begin, end := n.script.Faults()
	if end == begin {
		begin, end = 0, n.script.Lasts
	}
	from, over, gone, well := n.began.Add(begin), n.began.Add(end), n.began.Add(n.script.Lasts), n.began.Add(n.well())
	row := nightRow{
		name: n.script.Name, what: n.script.Description.EN, sent: r.ByState[wire.Sent], kept: n.kept, failed: r.Commands - r.ByState[wire.Sent],
		lostOut: len(r.Lost) + len(r.SentWithoutLedger), lostIn: len(r.ReceivedLost), doubts: len(r.Ambiguous), twice: r.Accepted - r.Commands, noticed: -1,
	}
	first, last, good := before, before, before.code == http.StatusOK
	for _, s := range n.samples {
		if s.at.Before(from) || first.at.IsZero() { // of a night from the start there is none before
			first = s
			continue
		}
		if ok := s.code == http.StatusOK; ok != good {
			good = ok
			row.flips++
			if !ok && row.noticed < 0 {
				row.noticed = s.at.Sub(from)
			}
			if ok {
				row.back = s.at.Sub(well)
			} else {
				row.wasDown = true
			}
		}
		if !s.at.After(over) {
			last = s
		}
		row.peak = max(row.peak, s.rss)
		if !s.at.After(gone) {
			row.rss = s.rss
		}
	}
	seconds := last.at.Sub(first.at).Seconds()
	row.rate = float64(last.requests["*"]-first.requests["*"]-(last.requests["webwxsendmsg"]-first.requests["webwxsendmsg"])) / seconds
	row.lines, row.loud = last.lines-first.lines, last.loud-first.loud
	if cpu := last.cpu - first.cpu; cpu > 0 {
		row.cpu = cpu.Seconds() / seconds
	}
	final := n.sim.State()
	row.logins, row.codes = final.Logins-before.logins, final.Requests["jslogin"]-before.requests["jslogin"]
	return row
}

// well is when it can be well again: at the end of the faults, when somebody
// confirms, when the killed process is started; or from its start.
func (n *realNight) well() time.Duration {
	_, at := n.script.Faults()
	if n.script.From == sim.FromStart {
		return 0
	}
	for _, s := range n.script.Steps {
		if s.Client == "start" || s.Phone != nil && s.Phone.Do == "confirm" {
			at = s.At
		}
	}
	return at
}

// judge is "What the bridge must show" of the nights measured on the peer.
func (n *realNight) judge(row nightRow) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			n.t.Errorf(row.name+": "+format, args...)
		}
	}
	name := n.script.Name[len("peer-"):]
	want(row.lostOut == 0 && row.failed == 0 && row.lostIn == 0, "out: %d lost, %d not sent; in: %d lost", row.lostOut, row.failed, row.lostIn)
	want(row.logins <= n.script.Expect.Logins && row.codes <= n.script.Expect.QRCodes, "%d logins, %d codes", row.logins, row.codes)
	want(row.loud < 20, "%d warnings and errors", row.loud)
	want(row.cpu < 0.05, "%.3f of a core", row.cpu)
	want(row.peak < 150, "%d MB", row.peak)
	want(!nightSecrets.MatchString(n.log.String()), "the log has %q", nightSecrets.FindString(n.log.String()))
	switch name {
	case "2", "2b", "3":
		want(row.noticed >= 0 && row.noticed <= 10*time.Second && row.flips == 2, "noticed after %s, %d changes of health", row.noticed, row.flips)
		want(row.back <= n.patience(), "back after %s", row.back)
		want(row.twice <= row.doubts, "%d twice, %d said to be", row.twice, row.doubts)
	case "1", "1b", "5", "5b":
		want(row.flips == 0, "health changed %d times", row.flips)
		// What comes in is a poll and a sync each.
		want(row.rate < 0.5+0.4, "%.2f requests a second beside the sends", row.rate)
	case "4":
		want(row.wasDown && row.logins == 1 && row.codes == 0, "%d logins, %d codes", row.logins, row.codes)
	case "6":
		want(row.doubts == 5, "%d of 5 marked", row.doubts)
	case "7":
		want(row.doubts <= Defaults().MaxInFlight && row.sent == 50, "%d in doubt, %d sent", row.doubts, row.sent)
	}
}

// patience is how soon it must be back: 10 s, or at the try that the back-off
// had planned, a minute at most.
func (n *realNight) patience() time.Duration {
	_, end := n.script.Faults()
	over := n.began.Add(end)
	patience := 10 * time.Second
	for _, s := range n.samples {
		// A try that was under way at the end may have planned the next one since.
		if s.at.Before(over.Add(2*time.Second)) && s.health.Connection.RetryAt != nil && s.health.Connection.RetryAt.After(over) {
			patience = s.health.Connection.RetryAt.Sub(over) + 10*time.Second
		}
	}
	return patience
}

func (r nightRow) String() string {
	health := "good all the time"
	if r.wasDown {
		health = fmt.Sprintf("bad after %.1f s, %d changes", r.noticed.Seconds(), r.flips)
	}
	back := "–"
	if r.wasDown {
		back = fmt.Sprintf("%.1f s", r.back.Seconds())
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "| %s | %d; %d | %.2f | %s | %d / %d / %d; %d marked | %d | %s; %d, %d | %.3f, %d |",
		r.what, r.loud, r.lines, r.rate, health, r.sent, r.kept, r.lostOut+r.failed, r.doubts, r.lostIn, back, r.logins, r.codes, r.cpu, r.peak)
	return b.String()
}
