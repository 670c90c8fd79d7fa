package webwx

import (
	"bytes"
	"context"
	"crypto/md5" // WeChat identifies files by it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

const (
	chunkBytes  = 512 << 10 // bytes of one chunk (webwx)
	checkAbove  = 25 << 20  // larger files are announced first (webwx)
	uploadKind  = 2         // UploadType (webwx)
	attachment  = 4         // MediaType (webwx)
	checkedFile = 7         // FileType of the announcement (webwx)
)

// spooled is an outgoing medium on disk: its MD5 has to be known before the
// first chunk goes out, and memory must not hold 50 MB.
type spooled struct {
	file *os.File
	name string // as the recipient will see it, never a path
	mime string
	md5  string
	size int64
}

func (f *spooled) remove() {
	_ = f.file.Close()
	_ = os.Remove(f.file.Name())
}

// spool copies the medium into the temporary folder.
func (s *Session) spool(ctx context.Context, out wechat.Outgoing) (*spooled, error) {
	src, err := out.Media.Open(ctx)
	if err != nil {
		return nil, s.unopened(ctx, err)
	}
	defer func() { _ = src.Close() }()
	file, err := os.CreateTemp(s.t.cfg.TempDir, "wechat-out-*")
	if err != nil {
		return nil, s.unopened(ctx, err)
	}
	_ = os.Remove(file.Name()) // where the system allows it: then no crash leaves a file behind
	f := &spooled{file: file, mime: out.Media.MIME}
	if err := f.fill(ctx, src, maxBytes()[out.Kind]); err != nil {
		f.remove()
		return nil, s.unopened(ctx, err)
	}
	if fault := f.judge(out); fault != nil {
		f.remove()
		return nil, s.line.enrich(fault)
	}
	return f, nil
}

// unopened is a failure on our own side, before WeChat was asked.
func (s *Session) unopened(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f := refused(classifier.OpUpload, "the medium cannot be read")
	f.Cause = err
	return s.line.enrich(f)
}

func (f *spooled) fill(ctx context.Context, src io.Reader, limit int64) error {
	sum := md5.New()
	head := &prefix{}
	n, err := io.Copy(io.MultiWriter(f.file, sum, head), io.LimitReader(&contextReader{ctx, src}, limit+1))
	if err != nil {
		return err
	}
	f.size, f.md5 = n, hex.EncodeToString(sum.Sum(nil))
	if f.mime == "" {
		f.mime = http.DetectContentType(head.b)
	}
	return nil
}

// judge compares what came with what was announced.
func (f *spooled) judge(out wechat.Outgoing) *classifier.Fault {
	f.name = uploadName(out, f.mime)
	limit := maxBytes()[out.Kind]
	switch {
	case f.size == 0:
		return refused(classifier.OpSend, "the file is empty")
	case f.size > limit:
		return refused(classifier.OpSend, "the file has more than %d bytes", limit)
	case out.Media.Size > 0 && f.size != out.Media.Size:
		return refused(classifier.OpSend, "the file has %d bytes, %d were announced", f.size, out.Media.Size)
	}
	return nil
}

// uploadName is the base name, with an ending that fits where there is none.
func uploadName(out wechat.Outgoing, mime string) string {
	name := out.Media.Name
	if name == "" {
		name = string(out.Kind)
	}
	name = baseName(name)
	if path.Ext(name) != "" {
		return name
	}
	switch mime {
	case "image/png":
		return name + ".png"
	case "image/jpeg":
		return name + ".jpg"
	case "image/gif":
		return name + ".gif"
	case "video/mp4":
		return name + ".mp4"
	}
	return name + extensions[out.Kind]
}

// prefix keeps the first 512 bytes that are written to it.
type prefix struct{ b []byte }

func (p *prefix) Write(b []byte) (int, error) {
	if room := 512 - len(p.b); room > 0 {
		p.b = append(p.b, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

// contextReader ends a copy when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

// uploaded is what WeChat calls a file it has.
type uploaded struct {
	MediaID   string
	AESKey    string
	Signature string
}

// upload brings a file to WeChat in chunks. Nothing of it is a message yet.
func (s *Session) upload(ctx context.Context, out wechat.Outgoing, f *spooled) (uploaded, error) {
	ticket := cookieValue(s.line.jar, "file."+s.line.host(), "webwx_data_ticket")
	if ticket == "" {
		return uploaded{}, s.line.enrich(refused(classifier.OpUpload, "the session has no webwx_data_ticket"))
	}
	var up uploaded
	if f.size > checkAbove {
		var err error
		if up, err = s.announce(ctx, out, f); err != nil || up.MediaID != "" {
			return up, err
		}
	}
	u := &uploader{s: s, out: out, f: f, ticket: ticket, up: up, client: time.Now().UnixMilli()}
	if n, err := strconv.ParseInt(out.ClientID, 10, 64); err == nil {
		u.client = n
	}
	return u.run(ctx)
}

type checkUploadAnswer struct {
	envelope
	MediaID   string `json:"MediaId"`
	AESKey    string
	Signature string
}

// announce asks for the key of a large file, or learns that WeChat has it.
func (s *Session) announce(ctx context.Context, out wechat.Outgoing, f *spooled) (uploaded, error) {
	ex := &exchange{op: classifier.OpUpload}
	var a checkUploadAnswer
	err := s.line.ask(ctx, ex, s.line.times.quick, func(ctx context.Context) (*http.Response, error) {
		return s.line.post(ctx, s.line.page("", "webwxcheckupload", url.Values{}), map[string]any{
			"BaseRequest": s.line.base(), "FileMd5": f.md5, "FileName": f.name, "FileSize": f.size,
			"FileType": checkedFile, "FromUserName": s.me.ID, "ToUserName": out.To.ID,
		})
	}, &a)
	return uploaded{MediaID: a.MediaID, AESKey: a.AESKey, Signature: a.Signature}, err
}

// uploader sends one file.
type uploader struct {
	s      *Session
	out    wechat.Outgoing
	f      *spooled
	ticket string
	up     uploaded
	client int64
}

func (u *uploader) run(ctx context.Context) (uploaded, error) {
	chunks := int((u.f.size + chunkBytes - 1) / chunkBytes)
	var last checkUploadAnswer
	for i := range chunks {
		last = checkUploadAnswer{}
		ex := &exchange{op: classifier.OpUpload}
		err := u.s.line.ask(ctx, ex, u.s.line.times.media, func(ctx context.Context) (*http.Response, error) {
			return u.chunk(ctx, i, chunks)
		}, &last)
		if err != nil {
			return uploaded{}, err
		}
		if i == chunks-1 && last.MediaID == "" {
			return uploaded{}, u.s.line.enrich(ex.unreadable("the upload gave no media id", nil))
		}
	}
	u.up.MediaID = last.MediaID
	return u.up, nil
}

func (u *uploader) chunk(ctx context.Context, i, chunks int) (*http.Response, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	fields, err := u.fields(i, chunks)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if err := form.WriteField(f[0], f[1]); err != nil {
			return nil, err
		}
	}
	part, err := form.CreateFormFile("filename", u.f.name)
	if err != nil {
		return nil, err
	}
	section := io.NewSectionReader(u.f.file, int64(i)*chunkBytes, chunkBytes)
	if _, err := io.Copy(part, section); err != nil {
		return nil, err
	}
	if err := form.Close(); err != nil {
		return nil, err
	}
	target := u.s.line.page("file.", "webwxuploadmedia", url.Values{"f": {"json"}})
	return u.s.line.send(ctx, target, form.FormDataContentType(), &body)
}

// fields are the form's fields, in the order of WeChat's own page.
func (u *uploader) fields(i, chunks int) ([][2]string, error) {
	about := map[string]any{
		"UploadType": uploadKind, "BaseRequest": u.s.line.base(), "ClientMediaId": u.client, "TotalLen": u.f.size,
		"StartPos": 0, "DataLen": u.f.size, "MediaType": attachment, "FromUserName": u.s.me.ID,
		"ToUserName": u.out.To.ID, "FileMd5": u.f.md5,
	}
	if u.up.AESKey != "" {
		about["AESKey"], about["Signature"] = u.up.AESKey, u.up.Signature
	}
	request, err := json.Marshal(about)
	if err != nil {
		return nil, fmt.Errorf("describe the upload: %w", err)
	}
	list := [][2]string{
		{"id", "WU_FILE_0"}, {"name", u.f.name}, {"type", u.f.mime},
		{"lastModifiedDate", time.Now().Format(openwechat.TimeFormat)}, {"size", strconv.FormatInt(u.f.size, 10)},
	}
	if chunks > 1 {
		list = append(list, [2]string{"chunks", strconv.Itoa(chunks)}, [2]string{"chunk", strconv.Itoa(i)})
	}
	return append(list, [2]string{"mediatype", mediaType(u.out.Kind)}, [2]string{"uploadmediarequest", string(request)},
		[2]string{"webwx_data_ticket", u.ticket}, [2]string{"pass_ticket", u.s.line.login().PassTicket}), nil
}

// mediaType is the form's own word for the kind.
func mediaType(k wechat.Kind) string {
	switch k {
	case wechat.Image, wechat.Emoticon:
		return "pic"
	case wechat.Video:
		return "video"
	}
	return "doc"
}
