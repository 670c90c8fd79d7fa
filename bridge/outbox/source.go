package outbox

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// source is a kept medium as a transport reads it. It remembers that reading
// failed on our side: to the transport that looks like a message that cannot
// be sent, but NATS may only be away.
type source struct {
	open   func(context.Context) (io.ReadCloser, error)
	failed atomic.Bool
}

func (s *source) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := s.open(ctx)
	if err != nil {
		s.note(err)
		return nil, err
	}
	return &sourceReader{r, s}, nil
}

// note keeps what waiting may mend; a medium that is gone stays gone.
func (s *source) note(err error) {
	if !gone(err) {
		s.failed.Store(true)
	}
}

type sourceReader struct {
	io.ReadCloser
	source *source
}

func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.source.note(err)
	}
	return n, err
}

// ours replaces the transport's verdict where it was our medium that could not
// be read: nothing was sent, and it is tried again.
func ours(v classifier.Verdict, m *wechat.OutMedia, s *source) classifier.Verdict {
	if m == nil || s == nil || v.OK() || !v.Certain || !s.failed.Load() {
		return v
	}
	return mediaAway
}

var mediaAway = classifier.Verdict{
	Class: classifier.Broker, Code: codeMediaAway, Retryable: true, Certain: true, Recovery: classifier.RecoverRetry,
	Message: classifier.Text{EN: "The medium that is kept for this delivery cannot be read now.", ZH: "目前无法读取为此消息保存的媒体文件。"},
}
