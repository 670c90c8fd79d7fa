package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

// sendCmd publishes one command.
type sendCmd struct {
	To        []string      `help:"Recipient: a name, or id:…, remark:…, nickname:…, alias:… or room:…. Several give one delivery each." required:"" sep:"none" placeholder:"WHO" env:"-"`
	Text      string        `help:"Text to send." xor:"content" env:"-"`
	Image     string        `help:"Picture to send." type:"existingfile" xor:"content" placeholder:"FILE" env:"-"`
	File      string        `help:"File to send." type:"existingfile" xor:"content" placeholder:"FILE" env:"-"`
	Video     string        `help:"Video to send." type:"existingfile" xor:"content" placeholder:"FILE" env:"-"`
	Link      string        `help:"Address to send as a link." xor:"content" placeholder:"URL" env:"-"`
	Title     string        `help:"Title of the link." env:"-"`
	Mention   []string      `help:"Members of the room to mention, or all." placeholder:"NAME" env:"-"`
	ID        string        `help:"Your own id; the same id is not sent twice." env:"-"`
	TTL       time.Duration `name:"ttl" help:"How long it may wait to be sent." placeholder:"72h" env:"-"`
	OnUnknown string        `name:"on-unknown" help:"What to do if it cannot be known whether it arrived: resend or report." enum:",resend,report" default:"" env:"-"`
	Wait      bool          `help:"Print each record and wait for the final one; exit code 0 only if it was sent." env:"-"`

	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (sendCmd) Help() string {
	return `Example:
  wechat-bridge send --to filehelper --text "hello" --wait
  wechat-bridge send --to room:Team --text "lunch?" --mention all`
}

// Run stores the command and, if asked, waits for what becomes of it.
func (c *sendCmd) Run(t *terminal) error {
	body, err := c.command()
	if err != nil {
		return usageError{err}
	}
	return c.with(t, func(ctx context.Context, client *broker.Client) error {
		receipt, err := client.Send(ctx, c.Account, "", body)
		if err != nil {
			return err
		}
		if !c.Wait {
			return c.stored(t, receipt)
		}
		return c.follow(ctx, t, client, receipt)
	})
}

func (c *sendCmd) stored(t *terminal, r broker.Receipt) error {
	if c.JSON {
		return printJSON(t, map[string]any{"id": c.ID, "stream_seq": r.Seq})
	}
	fmt.Fprintf(t.out, t.say("stored as %s; what becomes of it: wechat-bridge get %s\n", "已保存为 %s；查看结果：wechat-bridge get %s\n"), wire.Printable(c.ID, 128), wire.Printable(c.ID, 128))
	return nil
}

func (c *sendCmd) follow(ctx context.Context, t *terminal, client *broker.Client, r broker.Receipt) error {
	p := printer{t: t, json: c.JSON}
	final, err := client.Wait(ctx, c.Account, c.ID, r, p.record)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf(t.say("not final after %s; it goes on: wechat-bridge get %s", "%s 后还没有最终结果；处理仍在继续：wechat-bridge get %s"), c.Timeout, wire.Printable(c.ID, 128))
	}
	if err != nil {
		return err
	}
	if final.State != wire.Sent && (final.State != wire.Corrected || final.Was == wire.Sent) {
		return exitError{code: exitFailed}
	}
	return nil
}

// command writes the JSON of the contract and checks it as the bridge will, so
// that what is wrong is told here. An id is made if there is none.
func (c *sendCmd) command() ([]byte, error) {
	if c.ID == "" {
		c.ID = newID()
	}
	cmd := map[string]any{"id": c.ID, "to": recipients(c.To)}
	content, err := c.content()
	if err != nil {
		return nil, err
	}
	for k, v := range content {
		cmd[k] = v
	}
	if len(c.Mention) == 1 && c.Mention[0] == "all" {
		cmd["mention"] = "all"
	} else if len(c.Mention) > 0 {
		cmd["mention"] = c.Mention
	}
	if c.TTL != 0 {
		cmd["ttl"] = c.TTL.String()
	}
	if c.OnUnknown != "" {
		cmd["on_unknown"] = c.OnUnknown
	}
	body, err := json.Marshal(cmd)
	if err != nil {
		return nil, err
	}
	if _, rejected := wire.ParseCommand(body, ""); rejected != nil {
		return nil, fmt.Errorf("--%s: %w", strings.ReplaceAll(rejected.Field, "_", "-"), rejected)
	}
	return body, nil
}

func (c *sendCmd) content() (map[string]any, error) {
	media := []struct{ kind, path string }{{"image", c.Image}, {"file", c.File}, {"video", c.Video}}
	for _, m := range media {
		if m.path == "" {
			continue
		}
		data, err := os.ReadFile(m.path)
		if err != nil {
			return nil, err
		}
		if len(data) > maxInline {
			return nil, fmt.Errorf("%s has %d bytes; a command takes at most %d: put it into wechat_uploads with `nats object put` and send {\"object\":…}", m.path, len(data), maxInline)
		}
		return map[string]any{m.kind: map[string]any{"data": data, "name": filepath.Base(m.path)}}, nil
	}
	switch {
	case c.Link != "":
		return map[string]any{"link": wire.Link{URL: c.Link, Title: c.Title}}, nil
	case c.Text != "":
		return map[string]any{"text": c.Text}, nil
	}
	return nil, errors.New("nothing to send: give --text, --image, --file, --video or --link")
}

// maxInline is what fits into a command of 960 KiB as base64, with room for
// the rest.
const maxInline = 700 << 10

// recipients reads the prefix of each name; a bare name stays one.
func recipients(names []string) any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = recipient(name)
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func recipient(name string) any {
	field, value, found := strings.Cut(name, ":")
	if found {
		switch field {
		case "id", "remark", "nickname", "alias", "room":
			return map[string]string{field: value}
		}
	}
	return name
}
