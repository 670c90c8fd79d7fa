package outbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	m := e.cmd.Media
	name := e.key + "." + strconv.FormatUint(e.stored.Seq, 10)
	var size int64
	var rej *wire.Rejection
	err := persist(ctx, in.log, "keep medium", func() (err error) {
		limited, cancel := context.WithTimeout(ctx, in.cfg.MediaTime)
		defer cancel()
		if m.Object == "" {
			size = int64(len(m.Data))
			return in.cfg.Objects.Keep(limited, name, bytes.NewReader(m.Data))
		}
		size, rej, err = in.keepObject(limited, e.cmd, name)
		return err
	})
	if err != nil {
		return err
	}
	if rej != nil {
		return in.rejectAll(ctx, e, rej)
	}
	m.Data = nil
	for _, it := range e.items {
		it.Media = &kept{Object: name, Name: mediaName(e.cmd), Size: size}
	}
	return nil
}

// keepObject copies what a user put into wechat_uploads.
func (in *intake) keepObject(ctx context.Context, c *wire.Command, name string) (int64, *wire.Rejection, error) {
	field := string(c.Kind) + ".object"
	size, open, err := in.cfg.Objects.Upload(ctx, c.Media.Object)
	if err != nil {
		return 0, unreadable(field, c.Media.Object), nil
	}
	switch {
	case size == 0:
		return 0, &wire.Rejection{Code: codeEmptyFile, Field: field, Message: "The object has no bytes."}, nil
	case size > in.limit(c.Kind):
		return 0, tooLarge(c.Kind, "object", in.limit(c.Kind)), nil
	}
	r, err := open(ctx)
	if err != nil {
		return 0, unreadable(field, c.Media.Object), nil
	}
	defer r.Close()
	src := &watched{Reader: io.LimitReader(r, size+1)}
	if err := in.cfg.Objects.Keep(ctx, name, src); err != nil {
		if src.err != nil {
			return 0, unreadable(field, c.Media.Object), nil
		}
		return 0, nil, fmt.Errorf("keep %s: %w", name, err)
	}
	return size, nil, nil
}

// watched tells the source's failure from the store's.
type watched struct {
	io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && err != io.EOF {
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

func unreadable(field, object string) *wire.Rejection {
	return &wire.Rejection{
		Code: codeNoObject, Field: field,
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
