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

// copy copies an entry's medium to where only the bridge writes, and then
// acknowledges the command. What cannot be read ends as rejected.
func (in *intake) copy(ctx context.Context, e *entry) {
	size := len(e.cmd.Media.Data)
	in.copies.begin(size)
	in.jobs.Go(func() {
		defer in.copies.end(size)
		select {
		case in.copies.slots <- struct{}{}:
			defer func() { <-in.copies.slots }()
		case <-ctx.Done():
			return
		}
		if in.copyOne(ctx, e) == nil {
			_ = in.done(ctx, e) // its only error is the end
		}
	})
}

// copyOne keeps a medium or rejects its deliveries. The error is the context's.
func (in *intake) copyOne(ctx context.Context, e *entry) error {
	c := copying{in: in, e: e}
	if err := persist(ctx, in.log, "keep medium", func() error { return c.try(ctx) }); err != nil {
		return err
	}
	if c.refused != nil {
		return in.rejectAll(ctx, e, c.refused)
	}
	return in.dropUseless(ctx, e)
}

// dropUseless removes a medium whose deliveries have all ended before it came,
// such as by their expiry: they did not find it.
func (in *intake) dropUseless(ctx context.Context, e *entry) error {
	for _, it := range e.items {
		last, err := in.chain.last(ctx, it.Key)
		if err != nil {
			return err
		}
		if last.of(it.command()) && !last.State.Final() {
			return nil
		}
	}
	return in.lists.dropMedium(ctx, e.items[0])
}

// copying is one medium on its way to where it rests.
type copying struct {
	in      *intake
	e       *entry
	bad     int             // failures of the source while NATS answered
	refused *wire.Rejection // it never will be there
}

// maxBadReads is after how many failures an object counts as damaged.
const maxBadReads = 3

// try copies once. It gives up when the time of the deliveries is over: the
// expirer ends them.
func (c *copying) try(ctx context.Context) error {
	if !time.Now().Before(c.e.items[0].Expires) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.in.cfg.MediaTime)
	defer cancel()
	if m := c.e.cmd.Media; m.Object == "" {
		return c.keep(ctx, &watched{Reader: bytes.NewReader(m.Data)})
	}
	return c.object(ctx)
}

// keep hands the bytes to the store.
func (c *copying) keep(ctx context.Context, src *watched) error {
	name := c.e.items[0].Media.Object
	err := c.in.cfg.Objects.Keep(ctx, name, src)
	switch {
	case err == nil:
		c.in.copies.worked()
		return nil
	case errors.Is(err, wire.ErrFull):
		c.refused = c.notKept(codeMediaFull, "There is no room to keep the medium until it is sent; send it again later.")
		return nil
	case src.err != nil:
		return c.failed(ctx, src.err)
	case c.away(ctx):
		return fmt.Errorf("keep %s: %w", name, err)
	}
	patience := c.in.cfg.MediaTime
	if c.in.copies.refuses(time.Now(), 3*patience) >= patience {
		c.refused = c.notKept(codeMediaNotKept, "The medium could not be kept until it is sent: its store takes none now.")
		return nil
	}
	return fmt.Errorf("keep %s: %w", name, err)
}

// notKept is a medium for which the store has no place.
func (c *copying) notKept(code, message string) *wire.Rejection {
	return &wire.Rejection{Code: code, Field: string(c.e.cmd.Kind), Message: message}
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
	return c.keep(ctx, &watched{Reader: io.LimitReader(r, size+1)})
}

// failed tells a damaged object from a NATS that is away: that one answers
// nothing else either.
func (c *copying) failed(ctx context.Context, err error) error {
	if c.away(ctx) {
		return err
	}
	if c.bad++; c.bad < maxBadReads {
		return err
	}
	c.refused = unreadable(c.e.cmd.Kind, c.e.cmd.Media.Object)
	return nil
}

// away reports that NATS answers nothing at all.
func (c *copying) away(ctx context.Context) bool {
	_, err := c.in.chain.peek(context.WithoutCancel(ctx), c.e.key)
	return err != nil
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

// rejectAll rejects the deliveries of an accepted command.
func (in *intake) rejectAll(ctx context.Context, e *entry, r *wire.Rejection) error {
	return in.endAll(ctx, e, func(it *item, _ *record) wire.Delivery {
		return rejected(it.base(in.cfg.Account, in.cfg.Epoch), r, nil, time.Now())
	})
}

// keptName is where a command's medium rests: no other command has this name,
// not even one with its id and its sequence in a stream that was made anew.
func keptName(key string, c command) string {
	return key + "." + strconv.FormatUint(c.seq, 10) + "." + strconv.FormatInt(c.at.UnixNano(), 36)
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
