package webwx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

const (
	emptyTries  = 3                      // an empty body means: try again (webwx)
	emptyPause  = 300 * time.Millisecond // before the second try, then more
	maxDownload = 200 << 20              // bytes of one medium
)

// media describes a received medium. Open asks the session of that moment, so
// that a batch that outlives its session can still be stored.
func (s *Session) media(m *rawMessage, kind wechat.Kind, name string, size int64) *wechat.InMedia {
	lib := &openwechat.Message{
		MsgId: string(m.MsgID), FromUserName: m.FromUserName, MediaId: m.MediaID, EncryFileName: m.EncryFileName,
	}
	if name == "" {
		name = string(kind) + "-" + string(m.MsgID) + extensions[kind]
	}
	t := s.t
	return &wechat.InMedia{
		Name: baseName(name), Size: size, MIME: mimeOf(kind, name),
		Open: func(ctx context.Context) (io.ReadCloser, error) { return t.current(s).download(ctx, kind, lib) },
	}
}

var extensions = map[wechat.Kind]string{
	wechat.Image: ".jpg", wechat.Emoticon: ".gif", wechat.Voice: ".mp3", wechat.Video: ".mp4",
}

// current is the newest session, or the one that asks.
func (t *Transport) current(s *Session) *Session {
	if live := t.live.Load(); live != nil {
		return live
	}
	return s
}

// download opens a medium. Errors are faults.
func (s *Session) download(ctx context.Context, kind wechat.Kind, m *openwechat.Message) (io.ReadCloser, error) {
	if s.ctx.Err() != nil {
		return nil, closedFault(classifier.OpDownload)
	}
	var err error
	for try := range emptyTries {
		if err := pause(ctx, time.Duration(try)*emptyPause); err != nil {
			return nil, err
		}
		var body io.ReadCloser
		var empty bool
		body, empty, err = s.downloadOnce(ctx, kind, m)
		if !empty {
			return body, err
		}
	}
	return nil, err
}

// downloadOnce makes one request; the stream it returns ends with ctx, with the
// session, or with the time-out of a medium.
func (s *Session) downloadOnce(ctx context.Context, kind wechat.Kind, m *openwechat.Message) (body io.ReadCloser, empty bool, err error) {
	ctx, done := s.join(ctx)
	ex := &exchange{op: classifier.OpDownload, stream: true, limit: smallAnswer}
	sctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, exchangeKey{}, ex), s.line.times.media, errSlow)
	stop := func() { cancel(); done() }
	resp, err := guarded(sctx, func(ctx context.Context) (*http.Response, error) { return s.ask(ctx, kind, m) }) //nolint:bodyclose // the stream that is returned closes it
	if err != nil {
		err = s.line.failed(ctx, ex, err)
		stop()
		return nil, false, err
	}
	r := &stream{Reader: bufio.NewReaderSize(io.LimitReader(resp.Body, maxDownload), 4096), body: resp.Body, stop: stop}
	head, _ := r.Reader.Peek(512) // an error shows at the next read
	f := ex.inspect(kind, head)
	if f == nil {
		return r, false, nil
	}
	err = s.line.enrich(f)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	_ = r.Close()
	return nil, f.Body == classifier.BodyEmpty, err
}

func (s *Session) ask(ctx context.Context, kind wechat.Kind, m *openwechat.Message) (*http.Response, error) {
	switch kind {
	case wechat.Voice:
		return s.line.lib.WebWxGetVoice(ctx, m, s.line.login())
	case wechat.Video:
		return s.line.lib.WebWxGetVideo(ctx, m, s.line.login())
	case wechat.File:
		return s.line.lib.WebWxGetMedia(ctx, m, s.line.login())
	}
	return s.line.lib.WebWxGetMsgImg(ctx, m, s.line.login())
}

// inspect tells from the first bytes whether a refusal came instead of the
// medium.
func (ex *exchange) inspect(kind wechat.Kind, head []byte) *classifier.Fault {
	ex.kind = kindOf(head)
	switch {
	case len(head) == 0:
		ex.kind = classifier.BodyEmpty
		return ex.fault(classifier.PhaseAnswer, "empty medium")
	case bytes.HasPrefix(head, []byte(`{"BaseResponse"`)):
		var e envelope
		if json.Unmarshal(head, &e) == nil && e.BaseResponse != nil && e.BaseResponse.Ret != 0 {
			return ex.coded(e.BaseResponse.Ret, e.BaseResponse.ErrMsg)
		}
	case ex.kind == classifier.BodyHTML && kind != wechat.File:
		return ex.fault(classifier.PhaseAnswer, "a web page instead of the medium")
	}
	return nil
}

// stream is an open download.
type stream struct {
	*bufio.Reader
	body io.ReadCloser
	stop func()
}

// Close ends the download.
func (r *stream) Close() error {
	err := r.body.Close()
	r.stop()
	if err != nil {
		return fmt.Errorf("close the download: %w", err)
	}
	return nil
}

// baseName keeps the last part of a name, without what a file system or a
// terminal could take for something else.
func baseName(name string) string {
	name = path.Base(strings.ReplaceAll(printable(name), `\`, "/"))
	if name == "." || name == "/" || name == ".." {
		return "file"
	}
	return name
}
