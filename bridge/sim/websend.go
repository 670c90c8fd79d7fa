package sim

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits as clients name them.
const (
	maxText    = 4000     // characters
	maxImage   = 20 << 20 // bytes, videos too
	maxFile    = 50 << 20
	revokeTime = 2 * time.Minute
)

type sendRequest struct {
	based
	Msg struct {
		Type         int
		Content      string
		FromUserName string
		ToUserName   string
		LocalID      flexText
		ClientMsgId  flexText
		MediaId      string
		EMoticonMd5  string
		Signature    string
	}
	Scene int
}

type sendAnswer struct {
	BaseResponse baseResponse
	MsgID        string
	LocalID      string
}

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }

// draft is what a send would put into the ledger.
type draft struct {
	kind    string
	content string
	url     string // of a link
	upload  *upload
}

// send does what all sends have in common; make checks the content.
func (w *web) send(rw http.ResponseWriter, c call, make func(*sendRequest) (draft, int)) {
	var req sendRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		to := s.ids[req.Msg.ToUserName]
		if to == "" || s.ids[req.Msg.FromUserName] != selfID {
			return nil, retSystem
		}
		d, ret := make(&req)
		if ret != retOK {
			return nil, ret
		}
		return w.accept(s, c, &req, to, d), retOK
	})
}

// accept takes the message: from here on WeChat has it.
func (w *web) accept(s *session, c call, req *sendRequest, to string, d draft) sendAnswer {
	client := string(req.Msg.ClientMsgId)
	key := to + " " + client
	if old := w.deduped[key]; old != "" {
		return sendAnswer{MsgID: old, LocalID: string(req.Msg.LocalID)}
	}
	m := &chatMessage{Message: Message{From: selfID, Type: d.kind, Text: d.content, URL: d.url}, id: w.newMsgID(), at: time.Now(),
		chat: to, author: selfID, inRoom: w.rooms[to] != nil, client: client}
	e := Entry{To: req.Msg.ToUserName, ToID: to, ToName: w.title(to), Type: d.kind, Content: d.content,
		ClientMsgID: client, MsgID: formatID(m.id), At: m.at, Notice: w.noticeFor(to, c.notice), Login: s.number}
	if d.upload != nil {
		e.Media = &Media{Name: d.upload.name, Size: d.upload.size, MD5: d.upload.md5}
		m.Name, m.media = d.upload.name, mediaInfo{size: d.upload.size, md5: d.upload.md5, mediaID: d.upload.mediaID}
		w.media.put(e.MsgID, d.upload.mediaID, d.upload.data)
	}
	if w.opts.DedupeClientMsgID && client != "" {
		w.deduped[key] = e.MsgID
	}
	w.ledger.add(e)
	if w.opts.Echo == "on" || w.opts.Echo == "sometimes" && w.rng.IntN(2) == 0 {
		w.happens(event{kind: evMessage, login: s.number, msg: m})
	}
	if e.Notice != "" {
		w.notice(to, m.inRoom, e.Notice)
	}
	return sendAnswer{MsgID: e.MsgID, LocalID: string(req.Msg.LocalID)}
}

// noticeFor is the in-band answer to a message, if there is one.
func (w *web) noticeFor(to, fault string) string {
	switch {
	case fault != "" || w.isFriend(to):
		return fault
	case w.rooms[to] != nil:
		return noticeLeft
	}
	return w.title(to) + noticeNoFriend
}

func (w *web) sendMsg(rw http.ResponseWriter, c call) {
	w.send(rw, c, func(req *sendRequest) (draft, int) {
		n := utf8.RuneCountInString(req.Msg.Content)
		if n == 0 || n > maxText || !oneOf(strconv.Itoa(req.Msg.Type), "1", "48") {
			return draft{}, retParam
		}
		return draft{kind: "text", content: req.Msg.Content}, retOK
	})
}

// media checks a message that is about an upload.
func (w *web) sendUpload(rw http.ResponseWriter, c call, kind string, msgType int, limit int64) {
	w.send(rw, c, func(req *sendRequest) (draft, int) {
		up := w.ups.done(req.Msg.MediaId)
		if up == nil || req.Msg.Type != msgType || up.size > limit {
			return draft{}, retParam
		}
		return draft{kind: kind, upload: up}, retOK
	})
}

func (w *web) sendImage(rw http.ResponseWriter, c call) { w.sendUpload(rw, c, "image", 3, maxImage) }

func (w *web) sendVideo(rw http.ResponseWriter, c call) { w.sendUpload(rw, c, "video", 43, maxImage) }

// sendEmoticon takes a GIF that was uploaded or one that WeChat knows by MD5.
// The type is 47, but openwechat sends 1 and gets through.
func (w *web) sendEmoticon(rw http.ResponseWriter, c call) {
	w.send(rw, c, func(req *sendRequest) (draft, int) {
		if req.Msg.Type != 47 && req.Msg.Type != 1 {
			return draft{}, retParam
		}
		if req.Msg.MediaId == "" && len(req.Msg.EMoticonMd5) == 32 {
			return draft{kind: "emoticon", content: req.Msg.EMoticonMd5}, retOK
		}
		up := w.ups.done(req.Msg.MediaId)
		if up == nil || up.size > maxImage {
			return draft{}, retParam
		}
		return draft{kind: "emoticon", upload: up}, retOK
	})
}

// appMsg is the part of an app message that the server looks at.
type appMsg struct {
	XMLName xml.Name `xml:"appmsg"`
	Title   string   `xml:"title"`
	URL     string   `xml:"url"`
	Type    int      `xml:"type"`
	Attach  struct {
		TotalLen int64  `xml:"totallen"`
		AttachID string `xml:"attachid"`
	} `xml:"appattach"`
}

func (w *web) sendApp(rw http.ResponseWriter, c call) {
	w.send(rw, c, func(req *sendRequest) (draft, int) {
		var app appMsg
		if err := xml.Unmarshal([]byte(req.Msg.Content), &app); err != nil || req.Msg.Type != app.Type {
			return draft{}, retParam
		}
		switch app.Type {
		case 6:
			up := w.ups.done(app.Attach.AttachID)
			if up == nil || up.size != app.Attach.TotalLen || up.size > maxFile {
				return draft{}, retParam
			}
			return draft{kind: "file", content: app.Title, upload: up}, retOK
		case 5:
			return draft{kind: "link", content: app.URL, url: app.URL}, retOK
		}
		return draft{kind: "app", content: app.Title}, retOK
	})
}

type revokeRequest struct {
	based
	SvrMsgId    flexText
	ToUserName  string
	ClientMsgId flexText
}

// revokeMsg takes a message back, within two minutes.
func (w *web) revokeMsg(rw http.ResponseWriter, c call) {
	var req revokeRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		e, ok := w.ledger.find(string(req.SvrMsgId))
		if !ok || e.ToID != s.ids[req.ToUserName] || e.Revoked || time.Since(e.At) > revokeTime {
			return nil, retSystem
		}
		w.ledger.revoke(e.MsgID)
		return struct {
			BaseResponse baseResponse
			Introduction string
			SysWording   string
		}{Introduction: "你可以撤回2分钟内发送的消息(部分旧版本微信不支持这个功能)。", SysWording: "已撤回"}, retOK
	})
}
