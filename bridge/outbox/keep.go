package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"time"

	"wechat-bridge/bridge/wire"
)

// keep copies an entry's medium to where only the bridge writes, beside the
// line. What cannot be read ends as rejected.
func (in *intake) keep(ctx context.Context, e *entry) {
	if len(e.items) == 0 || e.cmd.Media == nil {
		return
	}
	e.kept = make(chan struct{})
	in.jobs.Go(func() {
		select {
		case in.media <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-in.media }()
		if in.keepOne(ctx, e) != nil {
			return
		}
		close(e.kept)
		select {
		case in.ready <- struct{}{}:
		default:
		}
	})
}

// keepOne keeps a medium or rejects its deliveries. The error is the context's.
func (in *intake) keepOne(ctx context.Context, e *entry) error {
	c := copying{in: in, e: e, name: e.key + "." + strconv.FormatUint(e.stored.Seq, 10)}
	if err := persist(ctx, in.log, "keep medium", func() error { return c.try(ctx) }); err != nil {
		return err
	}
	if c.refused != nil {
		return in.rejectAll(ctx, e, c.refused)
	}
	for _, it := range e.items {
		it.Media = &kept{Object: c.name, Name: mediaName(e.cmd), Size: c.size}
	}
	e.cmd.Media.Data = nil
	return nil
}

// copying is one medium on its way to where it rests.
type copying struct {
	in      *intake
	e       *entry
	name    string
	size    int64
	bad     int             // failures of the source while NATS answered
	refused *wire.Rejection // it never will be there
}

// maxBadReads is after how many failures an object counts as damaged.
const maxBadReads = 3

// try copies once.
func (c *copying) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.in.cfg.MediaTime)
	defer cancel()
	m := c.e.cmd.Media
	if m.Object == "" {
		c.size = int64(len(m.Data))
		return c.in.cfg.Objects.Keep(ctx, c.name, bytes.NewReader(m.Data))
	}
	return c.object(ctx)
}

// object copies what a user put into wechat_uploads.
func (c *copying) object(ctx context.Context) error {
	kind, name := c.e.cmd.Kind, c.e.cmd.Media.Object
	size, open, err := c.in.cfg.Objects.Upload(ctx, name)
	limit := c.in.limit(kind)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid):
		c.refused = unreadable(kind, name)
		return nil
	case err != nil:
		return c.failed(ctx, err)
	case size == 0:
		c.refused = &wire.Rejection{Code: wire.CodeEmptyFile, Field: string(kind) + ".object", Message: "The object has no bytes."}
		return nil
	case size > limit:
		c.refused = tooLarge(kind, "object", limit)
		return nil
	}
	r, err := open(ctx)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer r.Close()
	src := &watched{Reader: io.LimitReader(r, size+1)}
	if err = c.in.cfg.Objects.Keep(ctx, c.name, src); err == nil {
		c.size = size
		return nil
	}
	if src.err != nil {
		return c.failed(ctx, src.err)
	}
	return fmt.Errorf("keep %s: %w", c.name, err)
}

// failed tells a damaged object from a NATS that is away: that one answers
// nothing else either.
func (c *copying) failed(ctx context.Context, err error) error {
	if _, away := c.in.chain.peek(context.WithoutCancel(ctx), c.e.key); away != nil {
		return err
	}
	if c.bad++; c.bad < maxBadReads {
		return err
	}
	c.refused = unreadable(c.e.cmd.Kind, c.e.cmd.Media.Object)
	return nil
}

// watched tells the source's failure from the store's.
type watched struct {
	io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// rejectAll ends the deliveries of an accepted command, a list's own chain
// too, and leaves nothing to store.
func (in *intake) rejectAll(ctx context.Context, e *entry, r *wire.Rejection) error {
	states := make([]wire.State, len(e.items))
	for i, it := range e.items {
		last, err := in.chain.last(ctx, it.Key)
		if err != nil {
			return err
		}
		_, err = in.chain.settle(ctx, it.Key, e.trace, last, func(last record) (wire.Delivery, bool) {
			open := last.of(e.command()) && last.State == wire.Accepted
			return rejected(it.base(in.cfg.Account, in.cfg.Epoch), r, nil, time.Now()), open
		})
		if err != nil {
			return err
		}
		states[i] = wire.Rejected
	}
	if e.cmd.List {
		if err := newLists(in.chain).end(ctx, e.key, e.items[0], e.trace, states); err != nil {
			return err
		}
	}
	e.items = nil
	return nil
}

func mediaName(c *wire.Command) string {
	if c.Media.Name != "" {
		return c.Media.Name
	}
	if base := path.Base(c.Media.Object); c.Media.Object != "" && wire.ValidFileName(base) {
		return base
	}
	return map[wire.Kind]string{
		wire.KindImage: "image.jpg", wire.KindVideo: "video.mp4", wire.KindEmoticon: "emoticon.gif",
	}[c.Kind]
}

func unreadable(k wire.Kind, object string) *wire.Rejection {
	return &wire.Rejection{
		Code: codeNoObject, Field: string(k) + ".object",
		Message: `The object "` + wire.Printable(object, 64) + `" is not in wechat_uploads, is a link, or cannot be read.`,
	}
}

func tooLarge(k wire.Kind, source string, limit int64) *wire.Rejection {
	return &wire.Rejection{
		Code: codeTooLarge, Field: string(k) + "." + source,
		Message: fmt.Sprintf("This transport takes %s of at most %d bytes.", k, limit),
	}
}

func tooLong(n, limit int) *wire.Rejection {
	return &wire.Rejection{
		Code: wire.CodeNotSupportedYet, Field: "text",
		Message: fmt.Sprintf("The text has %d characters; this transport takes %d, and splitting is not supported yet.", n, limit),
	}
}
