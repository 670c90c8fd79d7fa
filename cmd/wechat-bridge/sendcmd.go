package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Text      string        `help:"Text to send; - reads it from standard input." xor:"content" env:"-"`
	Image     string        `help:"Picture to send." type:"existingfile" xor:"content" placeholder:"FILE" env:"-"`
	File      string        `help:"File to send." type:"existingfile" xor:"content" placeholder:"FILE" env:"-"`
	Video     string        `help:"Video to send." type:"existingfile" xor:"content" placeholder:"FILE" env:"-"`
	Link      string        `help:"Address to send as a link." xor:"content" placeholder:"URL" env:"-"`
	Title     string        `help:"Title of the link." env:"-"`
	Mention   []string      `help:"Members of the room to mention, or all." placeholder:"NAME" env:"-"`
	ID        string        `help:"Your own id; the same id is not sent twice." env:"-"`
	TTL       time.Duration `name:"ttl" help:"How long it may wait to be sent." placeholder:"72h" env:"-"`
	Priority  string        `help:"high overtakes, and goes out over the fallback channels when it waits for too long." enum:",normal,high" default:"" env:"-"`
	OnUnknown string        `name:"on-unknown" help:"What to do if it cannot be known whether it arrived: resend or report." enum:",resend,report" default:"" env:"-"`
	Wait      bool          `help:"Print each record and wait for the final one; exit code 0 only if it was sent." env:"-"`

	clientFlags `embed:""`

	upload string // a file that is too large for a command
}

// Help is the long help text of the command.
func (sendCmd) Help() string {
	return `Example:
  wechat-bridge send --to filehelper --text "hello" --wait
  wechat-bridge send --to room:Team --text "lunch?" --mention all
  date | wechat-bridge send --to filehelper --text -`
}

// Run stores the command and, if asked, waits for what becomes of it.
func (c *sendCmd) Run(t *terminal) error {
	body, err := c.command(t.in)
	if err != nil {
		return usageError{err}
	}
	return c.with(t, func(ctx context.Context, client *broker.Client) error {
		if c.upload != "" {
			if err := c.put(t.ctx, client); err != nil {
				return err
			}
			again, cancel := c.within(t) // the time limit is for answers, not for the upload
			defer cancel()
			ctx = again
		}
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
func (c *sendCmd) command(in io.Reader) ([]byte, error) {
	if c.Title != "" && c.Link == "" {
		return nil, errors.New("--title: it goes with --link")
	}
	if c.Text == "-" {
		text, err := io.ReadAll(io.LimitReader(in, maxInline+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("--text: standard input cannot be read: %w", err)
		case len(text) > maxInline:
			return nil, fmt.Errorf("--text: standard input has more than %d bytes; send it as a --file", maxInline)
		}
		if c.Text = strings.TrimRight(string(text), "\r\n"); c.Text == "" {
			return nil, errors.New("--text: standard input is empty")
		}
	}
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
	if c.Priority != "" {
		cmd["priority"] = c.Priority
	}
	if c.OnUnknown != "" {
		cmd["on_unknown"] = c.OnUnknown
	}
	body, err := json.Marshal(cmd)
	if err != nil {
		return nil, err
	}
	if _, rejected := wire.ParseCommand(body, ""); rejected != nil {
		return nil, fmt.Errorf("%s%w", flagOf(rejected.Field), rejected)
	}
	return body, nil
}

// flagOf names the flag that a field of the command comes from.
func flagOf(field string) string {
	name, _, _ := strings.Cut(field, ".")
	name, _, _ = strings.Cut(name, "[")
	if name == "" {
		return ""
	}
	return "--" + strings.ReplaceAll(name, "_", "-") + ": "
}

func (c *sendCmd) content() (map[string]any, error) {
	for _, m := range []struct{ kind, path string }{{"image", c.Image}, {"file", c.File}, {"video", c.Video}} {
		if m.path == "" {
			continue
		}
		media, err := c.media(m.path)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", m.kind, err)
		}
		return map[string]any{m.kind: media}, nil
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
// the rest. What is larger goes through wechat_uploads.
const maxInline = 700 << 10

// media is a file as the contract's JSON has it.
func (c *sendCmd) media(path string) (map[string]any, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	switch {
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty", path)
	case info.Size() > maxInline:
		c.upload = path
		object, err := objectName(path)
		return map[string]any{"object": object, "name": name}, err
	}
	data, err := os.ReadFile(path)
	return map[string]any{"data": data, "name": name}, err
}

// objectName is where a large file rests. It follows the content: the same
// command again is the same one, another file with that id a conflict.
func objectName(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return "send/" + hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

func (c *sendCmd) put(ctx context.Context, client *broker.Client) error {
	object, err := objectName(c.upload)
	if err != nil {
		return err
	}
	file, err := os.Open(c.upload)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := client.Upload(ctx, object, file); err != nil {
		return fmt.Errorf("put %s into wechat_uploads: %w", c.upload, err)
	}
	return nil
}

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
