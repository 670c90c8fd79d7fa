package inbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

const (
	mediaTries = 3
	mediaPause = time.Second // before the second try; doubles
	// storeTries are how often the object store may refuse one medium while
	// events can be stored: a full bucket must not stop what is received.
	storeTries = 5
	storeSlack = 30 * time.Second // for the object store, beyond the download
	headBytes  = 3072             // what the type is told from
)

var (
	errSlow  = errors.New("WeChat did not give it in time")
	errBig   = errors.New("it is larger than what is kept")
	errEmpty = errors.New("WeChat gave no bytes")
)

// medium is what became of one received medium.
type medium struct {
	wire.EventMedia
}

// event is the medium as its event tells it.
func (m *medium) event() *wire.EventMedia {
	if m == nil {
		return nil
	}
	out := m.EventMedia
	return &out
}

// fetch brings one medium into the object store. The error is storage's: the
// batch has to come again. Everything else is a medium with a reason. patience ends when the batch has waited long enough.
func (i *Inbox) fetch(ctx, patience context.Context, id string, in *wechat.InMedia) (*medium, error) {
	if m := i.media.get(id); m != nil {
		return m, nil
	}
	m := &medium{wire.EventMedia{Name: safeName(in.Name, in.MIME), Size: max(in.Size, 0), MIME: in.MIME}}
	if in.Size > i.cfg.MaxMedia {
		return i.without(m, errBig), nil
	}
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-patience.Done():
		return i.without(m, errSlow), nil
	}
	patience, stop := context.WithTimeoutCause(patience, i.cfg.MediaTimeout, errSlow)
	defer stop()
	return i.tries(ctx, patience, id, in, m)
}

func (i *Inbox) tries(ctx, patience context.Context, id string, in *wechat.InMedia, m *medium) (*medium, error) {
	var err error
	for n := range mediaTries {
		if n > 0 && !pause(patience, mediaPause<<(n-1)) {
			return i.without(m, errSlow), nil
		}
		var storage error
		err, storage = i.once(ctx, patience, id, in, m)
		switch {
		case storage != nil && i.media.refused(id) < storeTries:
			return nil, fmt.Errorf("store a medium: %w", storage)
		case storage != nil:
			return i.without(m, errors.New("NATS did not take it into its object store")), nil
		case err == nil:
			m.State = wire.MediaStored
			i.media.put(id, m)
			return m, nil
		case errors.Is(err, errBig) || errors.Is(err, errSlow):
			return i.without(m, err), nil
		}
	}
	if !errors.Is(err, errEmpty) { // an error's text may hold an address with keys
		err = fmt.Errorf("WeChat failed to give it %d times", mediaTries)
	}
	return i.without(m, err), nil
}

// without is a medium that is not there, with the reason. If it was the batch
// that ended, nobody sees it: nothing more of it is stored.
func (i *Inbox) without(m *medium, why error) *medium {
	m.State, m.Error, m.Object, m.SHA256 = wire.MediaMissing, why.Error()+".", "", ""
	if errors.Is(why, errBig) {
		m.State = wire.MediaTooLarge
		m.Error = fmt.Sprintf("It has more than the %d bytes that are kept.", i.cfg.MaxMedia)
	}
	return m
}

// once downloads into the object store. err is the download's fault, storage
// that of the object store.
func (i *Inbox) once(ctx, patience context.Context, id string, in *wechat.InMedia, m *medium) (err, storage error) {
	pr, pw := io.Pipe()
	stop := context.AfterFunc(patience, func() { pw.CloseWithError(context.Cause(patience)) })
	defer stop()
	go func() { pw.CloseWithError(download(patience, in, pw)) }()
	defer pr.CloseWithError(errSlow)

	src := &source{r: pr, left: i.cfg.MaxMedia}
	buf := bufio.NewReaderSize(src, headBytes)
	head, err := buf.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err, nil
	}
	if len(head) == 0 {
		return errEmpty, nil
	}
	m.MIME = mimeOf(head)
	m.Name = safeName(in.Name, m.MIME)
	m.Object = "in/" + i.cfg.Account + "/" + wire.Key(id) + "/" + m.Name
	sctx, cancel := context.WithTimeout(ctx, i.cfg.MediaTimeout+storeSlack)
	defer cancel()
	size, sum, err := i.cfg.Media.Put(sctx, m.Object, buf)
	if src.err != nil {
		return src.err, nil
	}
	if err != nil {
		return nil, err
	}
	m.Size, m.SHA256 = size, sum
	return nil, nil
}

// download copies a medium to w. A panic of the transport is an error.
func download(ctx context.Context, in *wechat.InMedia, w io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the download panicked: %T", p)
		}
	}()
	if in.Open == nil {
		return errEmpty
	}
	body, err := in.Open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	defer context.AfterFunc(ctx, func() { _ = body.Close() })()
	_, err = io.Copy(w, body)
	return err
}

// source bounds a download and remembers its own fault, which the object
// store would hand back as if it were one of storage.
type source struct {
	r    io.Reader
	left int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	if s.left < 0 {
		n, err = 0, errBig
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func mimeOf(head []byte) string { return mimetype.Detect(head).String() }

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// shelf remembers the media of the batch that is being stored, so that a batch
// that comes again does not fetch them again.
type shelf struct {
	mu      sync.Mutex
	have    map[string]*medium
	refusal map[string]int
}

func newShelf() *shelf { return &shelf{have: map[string]*medium{}, refusal: map[string]int{}} }

func (s *shelf) get(id string) *medium {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have[id]
}

func (s *shelf) put(id string, m *medium) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have[id] = m
}

// refused counts the object store's refusals of one medium.
func (s *shelf) refused(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal[id]++
	return s.refusal[id]
}

func (s *shelf) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.have, id)
	delete(s.refusal, id)
}

// keepOnly forgets the media of other batches.
func (s *shelf) keepOnly(ids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.have {
		if !ids[id] {
			delete(s.have, id)
		}
	}
	for id := range s.refusal {
		if !ids[id] {
			delete(s.refusal, id)
		}
	}
}
