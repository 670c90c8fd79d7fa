package webwx

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// afterMention is the narrow space that WeChat's clients put behind a mention.
const afterMention = "\u2005"

// Send hands one message to WeChat. Every request goes out exactly once. What
// cannot be sent is refused before the first byte (phase prepare).
func (s *Session) Send(ctx context.Context, out wechat.Outgoing) (wechat.Receipt, error) {
	op := opOf(out.Kind)
	if s.ctx.Err() != nil {
		return wechat.Receipt{}, closedFault(op)
	}
	if f := check(out); f != nil {
		return wechat.Receipt{}, s.line.enrich(f)
	}
	joined, done := s.join(ctx)
	defer done()
	id, err := s.deliver(joined, out)
	if err != nil {
		return wechat.Receipt{}, s.cut(ctx, op, err)
	}
	return wechat.Receipt{MessageID: id, Peer: out.To}, nil
}

func opOf(k wechat.Kind) classifier.Operation {
	if k == wechat.Revoke {
		return classifier.OpRevoke
	}
	return classifier.OpSend
}

// cut tells a close in the middle of a send from a cancellation by the caller:
// the outcome of the first is open, and only a fault can say so.
func (s *Session) cut(ctx context.Context, op classifier.Operation, err error) error {
	var known *classifier.Fault
	if ctx.Err() != nil || errors.As(err, &known) || !errors.Is(err, ErrClosed) {
		return err
	}
	f := closedFault(op)
	f.Phase = classifier.PhaseSent
	return s.line.enrich(f)
}

// check refuses what WeChat would refuse, or worse, would take.
func check(out wechat.Outgoing) *classifier.Fault {
	op := opOf(out.Kind)
	switch {
	case out.To.ID == "":
		return refused(op, "the recipient has no id")
	case out.ClientID == "" || strings.Trim(out.ClientID, "0123456789") != "":
		return refused(op, "the client message id is not made of digits")
	}
	switch out.Kind {
	case wechat.Text, wechat.Link:
		return checkText(op, body(out))
	case wechat.Image, wechat.Video, wechat.File, wechat.Emoticon:
		return checkMedia(op, out)
	case wechat.Revoke:
		if out.Revoke == "" {
			return refused(op, "no message id to take back")
		}
		return nil
	}
	return refused(op, "the web protocol cannot send %s", out.Kind)
}

func checkText(op classifier.Operation, text string) *classifier.Fault {
	switch {
	case strings.TrimSpace(text) == "":
		return refused(op, "the text is empty")
	case !utf8.ValidString(text):
		return refused(op, "the text is not valid UTF-8")
	case utf8.RuneCountInString(text) > maxText:
		return refused(op, "the text has more than %d characters", maxText)
	}
	return nil
}

func checkMedia(op classifier.Operation, out wechat.Outgoing) *classifier.Fault {
	limit := maxBytes()[out.Kind]
	switch {
	case out.Media == nil || out.Media.Open == nil:
		return refused(op, "no medium to send")
	case out.Media.Size == 0:
		return refused(op, "the file is empty")
	case out.Media.Size > limit:
		return refused(op, "the file has %d bytes, at most %d can be sent", out.Media.Size, limit)
	}
	return nil
}

// body is the text with its mentions in front, in the form of WeChat's clients.
func body(out wechat.Outgoing) string {
	var b strings.Builder
	mention := func(name string) {
		at := "@" + name + afterMention
		if name != "" && !strings.Contains(out.Text, at) {
			b.WriteString(at)
		}
	}
	if out.MentionAll {
		mention("所有人")
	}
	for _, p := range out.Mention {
		mention(p.Name)
	}
	return b.String() + out.Text
}

func (s *Session) deliver(ctx context.Context, out wechat.Outgoing) (string, error) {
	switch out.Kind {
	case wechat.Revoke:
		return out.Revoke, s.revoke(ctx, out)
	case wechat.Image, wechat.Video, wechat.File, wechat.Emoticon:
		return s.deliverMedia(ctx, out)
	}
	msg := s.message(out)
	msg.Content = body(out)
	return s.submit(ctx, func(ctx context.Context) (*http.Response, error) {
		return s.line.lib.WebWxSendMsg(ctx, &openwechat.ClientWebWxSendMsgOptions{
			LoginInfo: s.line.login(), BaseRequest: s.line.base(), Message: msg,
		})
	})
}

// message is the library's message with an id of our own: its own comes from
// the clock, so that two sends can collide and a repeat looks like a new one.
func (s *Session) message(out wechat.Outgoing) *openwechat.SendMessage {
	return &openwechat.SendMessage{
		Type: openwechat.MsgTypeText, FromUserName: s.me.ID, ToUserName: out.To.ID,
		LocalID: out.ClientID, ClientMsgId: out.ClientID,
	}
}

type sentAnswer struct {
	envelope
	MsgID text
}

// submit makes the request that decides: after it WeChat has the message.
func (s *Session) submit(ctx context.Context, do request) (string, error) {
	ex := &exchange{op: classifier.OpSend}
	var a sentAnswer
	if err := s.line.ask(ctx, ex, s.line.times.quick, do, &a); err != nil {
		return "", err
	}
	if a.MsgID == "" || a.MsgID == "0" {
		return "", s.line.enrich(ex.unreadable("accepted without a message id", nil))
	}
	return string(a.MsgID), nil
}

func (s *Session) deliverMedia(ctx context.Context, out wechat.Outgoing) (string, error) {
	file, err := s.spool(ctx, out)
	if err != nil {
		return "", unsent(err)
	}
	defer file.remove()
	up, err := s.upload(ctx, out, file)
	if err != nil {
		return "", unsent(err)
	}
	msg := s.message(out)
	return s.submit(ctx, func(ctx context.Context) (*http.Response, error) {
		return s.sendMedia(ctx, out.Kind, msg, file, up)
	})
}

// unsent says in the fault of an upload that the message surely did not go out:
// the request that hands it over was never made, however far the bytes got.
func unsent(err error) error {
	var f *classifier.Fault
	switch {
	case errors.As(err, &f):
		if f.Phase == classifier.PhaseSent {
			f.Phase = classifier.PhaseDial
		}
	case errors.Is(err, ErrClosed):
		return closedFault(classifier.OpUpload)
	}
	return err
}

func (s *Session) sendMedia(ctx context.Context, k wechat.Kind, msg *openwechat.SendMessage, file *spooled, up uploaded) (*http.Response, error) {
	opts := &openwechat.ClientWebWxSendMsgOptions{LoginInfo: s.line.login(), BaseRequest: s.line.base(), Message: msg}
	switch k {
	case wechat.Image:
		msg.MediaId = up.MediaID
		return s.line.lib.WebWxSendMsgImg(ctx, opts)
	case wechat.File:
		content, err := fileContent(file, up.MediaID)
		if err != nil {
			return nil, err
		}
		msg.Content, msg.Signature = content, up.Signature
		return s.line.lib.WebWxSendAppMsg(ctx, msg, opts.BaseRequest)
	case wechat.Video:
		// The library's own sends the words "pass_ticket".
		msg.Type, msg.MediaId = openwechat.MsgTypeVideo, up.MediaID
		return s.postMessage(ctx, "webwxsendvideomsg", url.Values{"fun": {"async"}, "f": {"json"}}, msg)
	}
	// The library's own sends type 1.
	msg.Type, msg.MediaId, msg.EmojiFlag = openwechat.MsgTypeEmoticon, up.MediaID, 2
	return s.postMessage(ctx, "webwxsendemoticon", url.Values{"fun": {"sys"}}, msg)
}

// postMessage is a send that the library gets wrong, built here.
func (s *Session) postMessage(ctx context.Context, name string, q url.Values, msg *openwechat.SendMessage) (*http.Response, error) {
	q.Set("lang", "zh_CN")
	q.Set("pass_ticket", s.line.login().PassTicket)
	return s.line.post(ctx, s.line.page("", name, q), map[string]any{
		"BaseRequest": s.line.base(), "Msg": msg, "Scene": 0,
	})
}

// page is an address on the account's host, or on a host below it ("file.").
func (l *line) page(sub, name string, q url.Values) string {
	return "https://" + sub + l.host() + "/cgi-bin/mmwebwx-bin/" + name + "?" + q.Encode()
}

// appFileID is the app id that web clients name for files (webwx).
const appFileID = "wxeb7ec651dd0aefa9"

type fileXML struct {
	XMLName xml.Name `xml:"appmsg"`
	AppID   string   `xml:"appid,attr"`
	SDKVer  string   `xml:"sdkver,attr"`
	Title   string   `xml:"title"`
	Des     string   `xml:"des"`
	Action  string   `xml:"action"`
	Type    int      `xml:"type"`
	Content string   `xml:"content"`
	URL     string   `xml:"url"`
	LowURL  string   `xml:"lowurl"`
	Attach  struct {
		TotalLen int64  `xml:"totallen"`
		ID       string `xml:"attachid"`
		Ext      string `xml:"fileext"`
	} `xml:"appattach"`
	ExtInfo string `xml:"extinfo"`
}

// fileContent is the app message that carries a file.
func fileContent(file *spooled, mediaID string) (string, error) {
	x := fileXML{AppID: appFileID, Title: file.name, Type: appFile}
	x.Attach.TotalLen, x.Attach.ID = file.size, mediaID
	x.Attach.Ext = strings.TrimPrefix(strings.ToLower(path.Ext(file.name)), ".")
	raw, err := xml.Marshal(x)
	if err != nil {
		return "", fmt.Errorf("describe the file: %w", err)
	}
	return string(raw), nil
}

// revoke takes a message back; WeChat allows it for two minutes.
func (s *Session) revoke(ctx context.Context, out wechat.Outgoing) error {
	var a struct{ envelope }
	ex := &exchange{op: classifier.OpRevoke}
	return s.line.ask(ctx, ex, s.line.times.quick, func(ctx context.Context) (*http.Response, error) {
		return s.line.lib.WebWxRevokeMsg(ctx, &openwechat.SentMessage{
			MsgId:       out.Revoke,
			SendMessage: &openwechat.SendMessage{ClientMsgId: out.ClientID, ToUserName: out.To.ID},
		}, s.line.base())
	}, &a)
}
