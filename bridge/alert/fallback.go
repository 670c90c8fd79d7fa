package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"wechat-bridge/bridge/wire"
)

const (
	maxFallback = 900 // characters of a text for people: some services take 4,096 bytes
	maxLines    = 60
	maxName     = 64
)

// Result is what one channel made of a message.
type Result struct {
	Channel string // such as "2 (wecom)"
	Err     error  // nil: it was taken; shows no secret
}

// Delivery is what goes out over the fallback channels.
type Delivery struct {
	ID         string
	To         string // as a person would call the recipient
	Kind       wire.Kind
	Text       string
	Link       *wire.Link
	MediaName  string
	MediaSize  int64 // bytes, 0 if not known
	AcceptedAt time.Time
}

// FallbackData is the data of a wechat.fallback: texts went through
// wire.Printable, line by line.
type FallbackData struct {
	Account    string     `json:"account"`
	ID         string     `json:"id"`
	To         string     `json:"to"`
	Kind       wire.Kind  `json:"kind"`
	Text       string     `json:"text"`
	AcceptedAt *time.Time `json:"accepted_at,omitempty"`
}

// Errors of Fallback.
var (
	ErrNoFallback = errors.New("no fallback channel is configured")
	ErrNoContent  = errors.New("this kind of delivery cannot go out over a fallback channel")
	ErrNotTaken   = errors.New("surely no fallback channel took it")
	ErrInDoubt    = errors.New("no fallback channel said that it took it, but one may have")
)

// Fallback sends a delivery once over each fallback channel, side by side, 30
// seconds at most. It is done when one of them took it; the results say which.
// ErrInDoubt says that one may have taken it all the same, ErrNotTaken that it
// may be tried again.
// It does not remember what it sent: that is the caller's record.
func (a *Alerter) Fallback(ctx context.Context, d Delivery) ([]Result, error) {
	var ways []way
	for _, w := range a.ways {
		if w.fallback {
			ways = append(ways, w)
		}
	}
	if len(ways) == 0 {
		return nil, ErrNoFallback
	}
	m, err := a.fallbackMessage(d, time.Now())
	if err != nil {
		return nil, err
	}
	results := each(ctx, ways, m)
	return results, verdict(results)
}

// verdict sums up what the channels made of a delivery.
func verdict(results []Result) error {
	err := ErrNotTaken
	for _, r := range results {
		var f *Failure
		switch {
		case r.Err == nil:
			return nil
		case !errors.As(r.Err, &f) || !f.NotTaken():
			err = ErrInDoubt
		}
	}
	return err
}

// Test sends a test message over each channel, side by side, 30 seconds at
// most.
func (a *Alerter) Test(ctx context.Context) []Result {
	now := time.Now()
	n := Notice{Kind: KindTest, Outage: outageID("test", now), At: now, Account: a.cfg.Account, Link: a.cfg.PublicURL}
	m, err := message(a.cfg.Language, n)
	if err != nil {
		return []Result{{Channel: "all", Err: err}}
	}
	return each(ctx, a.ways, m)
}

func each(ctx context.Context, ways []way, m Message) []Result {
	results := make([]Result, len(ways))
	var wg sync.WaitGroup
	for i, w := range ways {
		wg.Go(func() { results[i] = Result{Channel: w.name, Err: w.once(ctx, m)} })
	}
	wg.Wait()
	return results
}

func (a *Alerter) fallbackMessage(d Delivery, now time.Time) (Message, error) {
	content, err := d.content(a.cfg.Language)
	if err != nil {
		return Message{}, err
	}
	to := wire.Printable(d.To, maxName)
	id := a.cfg.Account + "-fallback-" + wire.Key(d.ID)
	data := FallbackData{Account: a.cfg.Account, ID: d.ID, To: to, Kind: d.Kind, Text: printable(content)}
	if !d.AcceptedAt.IsZero() {
		at := d.AcceptedAt.UTC()
		data.AcceptedAt = &at
	}
	event, err := wire.Seal(a.cfg.Account, TypeFallback, id, d.ID, now, "", data)
	if err != nil {
		return Message{}, err
	}
	title := fmt.Sprintf(text{"[%s] for %s, while WeChat is away", "[%s] 微信不可用，转发给 %s 的消息"}.in(a.cfg.Language), a.cfg.Account, to)
	return Message{ID: id, Kind: KindFallback, Title: title, Body: quote(content), Event: event}, nil
}

// content is the delivery in words; media are described.
func (d Delivery) content(lang string) (string, error) {
	switch {
	case d.Kind == wire.KindRevoke:
		return "", ErrNoContent
	case d.Link != nil:
		return strings.Join(nonEmpty(d.Link.Title, d.Link.Description, d.Link.URL), "\n"), nil
	case d.Kind != wire.KindText && d.Kind != "":
		s := fmt.Sprintf("[%s] %s", d.Kind, d.MediaName)
		if d.MediaSize > 0 {
			s += fmt.Sprintf(text{" (%d bytes)", "（%d 字节）"}.in(lang), d.MediaSize)
		}
		return strings.Join(nonEmpty(s, d.Text), "\n"), nil
	case d.Text == "":
		return "", ErrNoContent
	}
	return d.Text, nil
}

func nonEmpty(parts ...string) []string {
	var out []string
	for _, p := range parts {
		if strings.TrimSpace(p) != "" {
			out = append(out, p)
		}
	}
	return out
}

// printable filters line by line.
func printable(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = wire.Printable(l, len(l)+1)
	}
	return strings.Join(lines, "\n")
}

// quote marks each line, so that a text cannot pass as a line of ours, and
// bounds the whole.
func quote(s string) string {
	left := maxFallback
	var out []string
	for _, l := range strings.Split(printable(s), "\n") {
		if left <= 0 || len(out) == maxLines {
			out = append(out, "…")
			break
		}
		l = wire.Printable(l, left)
		left -= len([]rune(l)) + 1
		out = append(out, "> "+l)
	}
	return strings.Join(out, "\n")
}
