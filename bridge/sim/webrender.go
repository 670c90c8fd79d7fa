package sim

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// addMsg is a message in a sync answer, with WeChat's field names.
type addMsg struct {
	MsgId                string
	FromUserName         string
	ToUserName           string
	MsgType              int
	Content              string
	Status               int
	ImgStatus            int
	CreateTime           int64
	VoiceLength          int
	PlayLength           int
	FileName             string
	FileSize             string
	MediaId              string
	Url                  string
	AppMsgType           int
	StatusNotifyCode     int
	StatusNotifyUserName string
	RecommendInfo        recommendInfo
	ForwardFlag          int
	AppInfo              struct {
		AppID string
		Type  int
	}
	HasProductId  int
	Ticket        string
	ImgHeight     int
	ImgWidth      int
	SubMsgType    int
	NewMsgId      uint64
	OriContent    string
	EncryFileName string
}

type recommendInfo struct {
	UserName   string
	NickName   string
	QQNum      int64
	Province   string
	City       string
	Content    string
	Signature  string
	Alias      string
	Scene      int
	VerifyFlag int
	AttrStatus int64
	Sex        int
	Ticket     string
	OpCode     int
}

// render is a message as a session is told it; called with mu held.
func (a *account) render(s *session, m *chatMessage) addMsg {
	out := addMsg{MsgId: formatID(m.id), NewMsgId: m.id, CreateTime: m.at.Unix(), Status: 3, ImgStatus: 1}
	chat, self := s.name(m.chat, m.inRoom), s.name(selfID, false)
	out.FromUserName, out.ToUserName = chat, self
	if m.author == selfID {
		out.FromUserName, out.ToUserName = self, chat
	}
	if m.status {
		a.renderStatus(s, &out)
		return out
	}
	kind, ok := renderers[m.Type]
	if !ok {
		kind = renderUnknown
	}
	kind(a, s, m, &out)
	if m.inRoom && m.author != selfID && m.author != m.chat {
		prefix := s.name(m.author, false) + ":<br/>"
		out.Content = prefix + out.Content
	}
	return out
}

// renderStatus is what WeChat says after a login: the recent chats.
func (a *account) renderStatus(s *session, out *addMsg) {
	names := make([]string, 0, 8)
	for _, id := range a.recentChats() {
		names = append(names, s.name(id, a.rooms[id] != nil))
	}
	out.MsgType, out.StatusNotifyCode = 51, 4
	out.StatusNotifyUserName = strings.Join(names, ",")
	out.Content = escapeText("<msg>\n<op id='4'>\n<username>" + out.StatusNotifyUserName + "</username>\n</op>\n</msg>")
}

var renderers = map[string]func(*account, *session, *chatMessage, *addMsg){
	"text": renderText, "image": renderImage, "voice": renderVoice, "video": renderVideo, "file": renderFile,
	"emoticon": renderEmoticon, "location": renderLocation, "link": renderLink, "card": renderCard,
	"transfer": renderTransfer, "red_packet": renderRedPacket, "miniprogram": renderMini, "quote": renderQuote,
	"call": renderCall, "notice": renderNotice, "recall": renderRecall, "friend": renderFriend,
	"app": renderLink, // an own app message that comes back
}

func renderText(a *account, _ *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.Content = 1, escapeText(a.mentions(m)+m.Text)
}

// mentions is "@name" and a special space for each member that is mentioned.
func (a *account) mentions(m *chatMessage) string {
	var b strings.Builder
	r := a.rooms[m.chat]
	for _, id := range m.Mention {
		name := a.person(id).Name
		if id == "all" {
			name = "所有人"
		} else if r != nil && r.Names[id] != "" {
			name = r.Names[id]
		}
		b.WriteString("@" + name + "\u2005")
	}
	return b.String()
}

func renderUnknown(_ *account, _ *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.Content = orDefault(m.MsgType, 12345), escapeText(m.Text)
}

func renderImage(_ *account, _ *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.ImgStatus, out.ImgHeight, out.ImgWidth = 3, 2, 120, 120
	out.Content = escapeText(xmlf("<?xml version=\"1.0\"?>\n<msg>\n\t<img aeskey=\"%s\" encryver=\"1\" cdnthumblength=\"%d\" length=\"%d\" hdlength=\"0\" md5=\"%s\" />\n</msg>\n",
		m.media.md5, m.media.size, m.media.size, m.media.md5))
}

func renderVoice(_ *account, s *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.VoiceLength = 34, 3240
	out.Content = escapeText(xmlf("<msg><voicemsg endflag=\"1\" length=\"%d\" voicelength=\"3240\" clientmsgid=\"%s\" fromusername=\"%s\" downcount=\"0\" cancelflag=\"0\" voiceformat=\"4\" forwardflag=\"0\" bufid=\"%s\" /></msg>",
		m.media.size, m.media.md5, s.name(m.author, false), formatID(m.id)))
}

func renderVideo(_ *account, s *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.PlayLength, out.ImgHeight, out.ImgWidth = 43, 5, 120, 213
	if m.Variant == "short" {
		out.MsgType = 62
	}
	out.Content = escapeText(xmlf("<?xml version=\"1.0\"?>\n<msg>\n\t<videomsg clientmsgid=\"\" playlength=\"5\" length=\"%d\" type=\"0\" status=\"5\" fromusername=\"%s\" aeskey=\"\" md5=\"%s\" newmd5=\"\" />\n</msg>\n",
		m.media.size, s.name(m.author, false), m.media.md5))
}

// app is the XML of an app message around what is special to its type.
func app(appType int, title, des, link, rest string) string {
	return xmlf("<?xml version=\"1.0\"?>\n<msg>\n\t<appmsg appid=\"\" sdkver=\"0\">\n\t\t<title>%s</title>\n\t\t<des>%s</des>\n\t\t<action />\n\t\t<type>%d</type>\n\t\t<showtype>0</showtype>\n\t\t<content />\n\t\t<url>%s</url>\n",
		title, des, appType, link) + rest + "\t</appmsg>\n\t<fromusername></fromusername>\n\t<scene>0</scene>\n\t<appinfo>\n\t\t<version>1</version>\n\t\t<appname></appname>\n\t</appinfo>\n\t<commenturl></commenturl>\n</msg>\n"
}

func (out *addMsg) app(appType int, name, content string) {
	out.MsgType, out.AppMsgType, out.FileName, out.Content = 49, appType, escapeText(name), escapeText(content)
}

func renderFile(a *account, _ *session, m *chatMessage, out *addMsg) {
	name := m.Name
	out.app(6, name, app(6, name, "", "", xmlf("\t\t<appattach>\n\t\t\t<totallen>%d</totallen>\n\t\t\t<attachid>%s</attachid>\n\t\t\t<fileext>%s</fileext>\n\t\t</appattach>\n\t\t<md5>%s</md5>\n",
		m.media.size, m.media.mediaID, strings.TrimPrefix(path.Ext(name), "."), m.media.md5)))
	out.FileSize, out.MediaId = strconv.FormatInt(m.media.size, 10), m.media.mediaID
	out.EncryFileName = url.QueryEscape(name)
}

func renderEmoticon(_ *account, s *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.ImgStatus, out.ImgHeight, out.ImgWidth = 47, 2, 120, 120
	if m.Variant == "store" {
		out.HasProductId = 1
		return
	}
	out.Content = escapeText(xmlf("<msg><emoji fromusername=\"%s\" tousername=\"%s\" type=\"2\" idbuffer=\"media:0_0\" md5=\"%s\" len=\"%d\" productid=\"\" androidmd5=\"%s\" cdnurl=\"\" ></emoji> </msg>",
		out.FromUserName, out.ToUserName, m.media.md5, m.media.size, m.media.md5))
}

func renderLocation(_ *account, s *session, m *chatMessage, out *addMsg) {
	x, y := strconv.FormatFloat(m.Lat, 'f', 6, 64), strconv.FormatFloat(m.Lon, 'f', 6, 64)
	xmlText := xmlf("<?xml version=\"1.0\"?>\n<msg>\n\t<location x=\"%s\" y=\"%s\" scale=\"16\" label=\"%s\" maptype=\"roadmap\" poiname=\"%s\" />\n</msg>\n",
		x, y, m.Text, m.Name)
	if m.Variant == "old" {
		out.MsgType, out.Content = 48, escapeText(xmlText)
		return
	}
	out.MsgType, out.SubMsgType, out.OriContent = 1, 48, xmlText
	out.Url = "http://apis.map.qq.com/uri/v1/geocoder?coord=" + x + "," + y
	out.Content = escapeText(m.Name) + ":<br/>" + cgiBin + "webwxgetpubliclinkimg?url=xxx&amp;msgid=" + out.MsgId + "&amp;pictype=location"
}

func renderLink(_ *account, _ *session, m *chatMessage, out *addMsg) {
	out.app(5, m.Title, app(5, m.Title, m.Text, m.URL, ""))
	out.Url = strings.ReplaceAll(m.URL, "&", "&amp;")
}

func renderCard(a *account, s *session, m *chatMessage, out *addMsg) {
	p := a.person(m.Card)
	out.MsgType = 42
	out.RecommendInfo = recommendInfo{UserName: s.name(p.ID, false), NickName: escapeText(p.Name), Alias: p.Alias,
		Sex: p.Sex, Scene: 17, AttrStatus: int64(stableNumber(p.ID))}
	out.Content = escapeText(xmlf("<?xml version=\"1.0\"?>\n<msg bigheadimgurl=\"\" smallheadimgurl=\"\" username=\"%s\" nickname=\"%s\"  shortpy=\"\" alias=\"%s\" imagestatus=\"3\" scene=\"17\" province=\"\" city=\"\" sign=\"\" sex=\"%d\" certflag=\"0\" certinfo=\"\" brandIconUrl=\"\" brandHomeUrl=\"\" brandSubscriptConfigUrl=\"\" brandFlags=\"0\" regionCode=\"\" />\n",
		"wxid_"+p.ID, p.Name, p.Alias, p.Sex))
}

func renderTransfer(_ *account, _ *session, m *chatMessage, out *addMsg) {
	amount := m.Title
	if amount == "" {
		amount = "￥0.10"
	}
	out.app(2000, "微信转账", app(2000, "微信转账", "收到转账"+strings.TrimPrefix(amount, "￥")+"元。如需收钱，请点此升级至最新版本", "", xmlf(
		"\t\t<wcpayinfo>\n\t\t\t<paysubtype>1</paysubtype>\n\t\t\t<feedesc>%s</feedesc>\n\t\t\t<transcationid>%s</transcationid>\n\t\t\t<pay_memo>%s</pay_memo>\n\t\t</wcpayinfo>\n",
		amount, formatID(m.id), m.Text)))
}

func renderRedPacket(_ *account, _ *session, m *chatMessage, out *addMsg) {
	if m.Variant == "notice" {
		out.MsgType, out.Content = 10000, "收到红包，请在手机上查看"
		return
	}
	greeting := m.Text
	if greeting == "" {
		greeting = "恭喜发财，大吉大利"
	}
	out.app(2001, "微信红包", app(2001, "微信红包", "我给你发了一个红包，赶紧去拆!", "", xmlf(
		"\t\t<wcpayinfo>\n\t\t\t<templateid>7a2a165d31da7fce6dd77e05c300028a</templateid>\n\t\t\t<sendertitle>%s</sendertitle>\n\t\t\t<sceneid>1002</sceneid>\n\t\t</wcpayinfo>\n", greeting)))
}

func renderMini(_ *account, _ *session, m *chatMessage, out *addMsg) {
	out.app(33, m.Title, app(33, m.Title, m.Text, m.URL, xmlf(
		"\t\t<sourcedisplayname>%s</sourcedisplayname>\n\t\t<weappinfo>\n\t\t\t<username>gh_0123456789ab@app</username>\n\t\t\t<appid>wx0123456789abcdef</appid>\n\t\t\t<type>2</type>\n\t\t\t<pagepath>pages/index.html</pagepath>\n\t\t</weappinfo>\n", m.Name)))
}

func renderQuote(a *account, s *session, m *chatMessage, out *addMsg) {
	ref := m.ref
	out.app(57, m.Text, app(57, m.Text, "", "", xmlf(
		"\t\t<refermsg>\n\t\t\t<type>1</type>\n\t\t\t<svrid>%s</svrid>\n\t\t\t<fromusr>%s</fromusr>\n\t\t\t<chatusr>%s</chatusr>\n\t\t\t<displayname>%s</displayname>\n\t\t\t<content>%s</content>\n\t\t\t<createtime>%d</createtime>\n\t\t</refermsg>\n",
		formatID(ref.id), s.name(ref.chat, ref.inRoom), s.name(ref.author, false), a.person(ref.author).Name, ref.Text, ref.at.Unix())))
}

func renderCall(_ *account, _ *session, m *chatMessage, out *addMsg) {
	out.MsgType = 50
	out.Content = escapeText(fmt.Sprintf("<voipinvitemsg><roomid>%d</roomid><key>%d</key><status>1</status><invitetype>0</invitetype></voipinvitemsg><voipextinfo><recvtime>%d</recvtime></voipextinfo>",
		m.id%1_000_000, m.id%1_000_000_007, m.at.Unix()))
}

func renderNotice(_ *account, _ *session, m *chatMessage, out *addMsg) {
	out.MsgType, out.Content = 10000, escapeText(m.Text)
	if m.Variant == "sys" {
		out.MsgType = 9999
	}
}

func renderRecall(a *account, s *session, m *chatMessage, out *addMsg) {
	who := `"` + a.person(m.author).Name + `" `
	if m.author == selfID {
		who = "你"
	}
	out.MsgType = 10002
	out.Content = escapeText(fmt.Sprintf("<sysmsg type=\"revokemsg\"><revokemsg><session>%s</session><oldmsgid>%d</oldmsgid><msgid>%d</msgid><replacemsg><![CDATA[%s撤回了一条消息]]></replacemsg></revokemsg></sysmsg>",
		s.name(m.chat, m.inRoom), m.ref.id, m.ref.id, who))
}

func renderFriend(a *account, s *session, m *chatMessage, out *addMsg) {
	p := a.person(m.author)
	name, ticket := s.name(p.ID, false), m.client
	out.MsgType, out.FromUserName, out.Ticket = 37, "fmessage", ticket
	out.RecommendInfo = recommendInfo{UserName: name, NickName: escapeText(p.Name), Content: escapeText(m.Text),
		Alias: p.Alias, Sex: p.Sex, Scene: 30, OpCode: 2, Ticket: ticket, AttrStatus: int64(stableNumber(p.ID))}
	out.Content = escapeText(xmlf("<msg fromusername=\"%s\" encryptusername=\"v1_%s@stranger\" fromnickname=\"%s\" content=\"%s\"  shortpy=\"\" imagestatus=\"3\" scene=\"30\" country=\"CN\" province=\"\" city=\"\" sign=\"\" percard=\"1\" sex=\"%d\" alias=\"%s\" weibo=\"\" albumflag=\"0\" albumstyle=\"0\" albumbgimgid=\"\" snsflag=\"1\" snsbgimgid=\"\" snsbgobjectid=\"0\" mhash=\"\" mfullhash=\"\" bigheadimgurl=\"\" smallheadimgurl=\"\" ticket=\"%s\" opcode=\"2\" googlecontact=\"\" qrticket=\"\" chatroomusername=\"\" sourceusername=\"\" sourcenickname=\"\"><brandlist count=\"0\" ver=\"0\"></brandlist></msg>",
		"wxid_"+p.ID, strings.TrimLeft(name, "@"), p.Name, m.Text, p.Sex, p.Alias, ticket))
}
