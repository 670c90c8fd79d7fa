package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// compose makes the message of a delivery. Where it cannot be made, now or
// ever, it gives the outcome instead.
func (c *courier) compose(d *delivery) (wechat.Outgoing, *outcome) {
	out := wechat.Outgoing{
		To: d.peer, Kind: wechat.Kind(d.Kind), Text: d.Text, MentionAll: d.MentionAll,
		ClientID: clientID(c.cfg.Account, d.Key, d.StreamSeq),
	}
	var o *outcome
	switch {
	case d.Kind == wire.KindLink:
		out.Text = linkText(d.Link)
		if !c.cfg.Abilities.Can(wechat.Link) {
			out.Kind = wechat.Text
		}
	case d.Kind == wire.KindRevoke:
		out.Revoke, o = c.target(d)
	case d.Media != nil:
		out.Media, o = c.media(d)
	}
	if o == nil {
		out.Mention, o = c.members(d)
	}
	if o == nil {
		o = c.fits(d, &out)
	}
	return out, o
}

// fits rejects what is too long with the names that WeChat knows.
func (c *courier) fits(d *delivery, out *wechat.Outgoing) *outcome {
	names := make([]string, 0, len(out.Mention)+1)
	if out.MentionAll {
		names = append(names, everybody)
	}
	for _, p := range out.Mention {
		names = append(names, p.Name)
	}
	if r := tooLong(d.Kind, sentLen(out.Text, names), c.cfg.Abilities.MaxText); r != nil {
		return c.rejectNow(d, r, nil)
	}
	return nil
}

// everybody is what WeChat's clients write for a mention of all.
const everybody = "所有人"

// sentLen is how many characters a text has with its mentions: where it does
// not name them itself, each goes before it as @, the name and a space.
func sentLen(text string, names []string) int {
	n := utf8.RuneCountInString(text)
	for _, name := range names {
		if at := "@" + name; !strings.Contains(text, at) {
			n += utf8.RuneCountInString(at) + 1
		}
	}
	return n
}

// tooLong rejects n characters above the transport's limit, 0 = none.
func tooLong(k wire.Kind, n, limit int) *wire.Rejection {
	switch {
	case limit == 0 || n <= limit:
		return nil
	case k == wire.KindLink:
		return &wire.Rejection{
			Code: wire.CodeBadValue, Field: "link",
			Message: fmt.Sprintf("The link has %d characters as text; this transport takes %d.", n, limit),
		}
	}
	return &wire.Rejection{
		Code: wire.CodeNotSupportedYet, Field: "text",
		Message: fmt.Sprintf("The text has %d characters with its mentions; this transport takes %d, and splitting is not supported yet.", n, limit),
	}
}

func linkText(l *wire.Link) string {
	text := ""
	for _, s := range []string{l.Title, l.Description, l.URL} {
		if s != "" && text != "" {
			text += "\n"
		}
		text += s
	}
	return text
}

// members resolves whom a message mentions.
func (c *courier) members(d *delivery) ([]wechat.Peer, *outcome) {
	if len(d.Mention) == 0 && !d.MentionAll {
		return nil, nil
	}
	if d.peer.Type != wechat.Room {
		return nil, c.rejectNow(d, &wire.Rejection{
			Code: codeNoRoom, Field: "mention", Message: "mention works in rooms only, and " + d.To.Describe() + " is none.",
		}, nil)
	}
	peers := make([]wechat.Peer, 0, len(d.Mention))
	for i, name := range d.Mention {
		p, err := c.cfg.Peers.ResolveMember(d.peer.ID, name)
		if err != nil {
			return nil, c.noMember(d, i, err)
		}
		peers = append(peers, p)
	}
	return peers, nil
}

func (c *courier) noMember(d *delivery, i int, err error) *outcome {
	var missing *wechat.NotFoundError
	if errors.As(err, &missing) && missing.Loading && time.Since(d.since) < c.cfg.RecipientWait {
		return &outcome{what: repeat, wait: holdTime}
	}
	name := wire.Printable(d.Mention[i], 64)
	var several *wechat.AmbiguousError
	if errors.As(err, &several) {
		return c.rejectNow(d, &wire.Rejection{
			Code: codeAmbiguousMember, Field: memberField(i), Message: `Several members are called "` + name + `".`,
		}, wirePeers(several.Candidates))
	}
	return c.rejectNow(d, &wire.Rejection{
		Code: codeUnknownMember, Field: memberField(i), Nearest: nearestOf(err), Message: `Nobody in the room is called "` + name + `".`,
	}, nil)
}

func (c *courier) rejectNow(d *delivery, r *wire.Rejection, candidates []wire.Peer) *outcome {
	o := c.reject(d, r, candidates)
	return &o
}

// media opens what intake has kept. Where it is missing it is to come as long
// as its command waits to be acknowledged; and it may have come in between.
func (c *courier) media(d *delivery) (*wechat.OutMedia, *outcome) {
	size, open, err := c.cfg.Objects.Kept(c.ctx, d.Media.Object)
	if gone(err) {
		waits, unsure := c.cfg.Commands.Waits(c.ctx, d.StreamSeq)
		if unsure != nil {
			return nil, c.noMedia(d, unsure)
		}
		if waits {
			return nil, &outcome{what: repeat, wait: min(holdTime, max(minMediaWait, time.Since(d.since)/4))}
		}
		size, open, err = c.cfg.Objects.Kept(c.ctx, d.Media.Object)
	}
	if err != nil {
		return nil, c.noMedia(d, err)
	}
	d.source = &source{open: open}
	return &wechat.OutMedia{
		Name: d.Media.Name, MIME: mime.TypeByExtension(path.Ext(d.Media.Name)), Size: size,
		Open: d.source.Open,
	}, nil
}

// gone reports that an object is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) }

// noMedia waits for a NATS that is away, and gives up what it has forgotten.
func (c *courier) noMedia(d *delivery, err error) *outcome {
	if c.ctx.Err() != nil {
		return &outcome{what: left}
	}
	if !gone(err) {
		d.tries++
		c.log.Warn().Err(err).Str("event", "outbox_media").Str("key", d.Key).Msg("a kept medium cannot be read")
		return &outcome{what: repeat, wait: backoff(time.Second, time.Minute, d.tries, 0.5)}
	}
	rec := failed(d.base(c.cfg.Account, c.cfg.Epoch), d.prog, mediaLost, time.Now())
	o := c.end(d, rec)
	return &o
}

var mediaLost = classifier.Verdict{
	Class: classifier.Broker, Code: codeNoObject, Certain: true,
	Message: classifier.Text{EN: "The medium that was kept for this delivery cannot be read any more."},
}
