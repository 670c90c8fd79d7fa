package classifier

import "strings"

// stackLines are where wechat4u's operations stand in its core.js: in lib
// (compiled, 0.7.x of several years) and in src. A row is up to a line.
var stackLines = []struct {
	file  string
	lines []stackLine
}{
	{"lib/core.js:", []stackLine{
		{79, OpOther}, {109, OpUUID}, {150, OpCheckLogin}, {179, OpLogin}, {240, OpInit}, {272, OpNotify}, {300, OpContacts},
		{340, OpBatchContacts}, {381, OpOther}, {425, OpSyncCheck}, {470, OpSync}, {500, OpLogout}, {610, OpSend},
		{835, OpUpload}, {1010, OpSend}, {1290, OpDownload}, {1480, OpRoom},
	}},
	{"src/core.js:", []stackLine{
		{69, OpOther}, {89, OpUUID}, {122, OpCheckLogin}, {170, OpLogin}, {205, OpInit}, {235, OpNotify}, {258, OpContacts},
		{290, OpBatchContacts}, {300, OpOther}, {366, OpSyncCheck}, {402, OpSync}, {450, OpLogout}, {530, OpSend},
		{753, OpUpload}, {945, OpSend}, {1075, OpDownload}, {1280, OpRoom}, {1335, OpRevoke},
	}},
}

type stackLine struct {
	upTo int
	op   Operation
}

// opNames are what programs and people call the operations, the more telling
// ones first. Source: the endpoint names of both protocols, and the names of
// functions and messages in openwechat, wechat4u, ItChat and openclaw-weixin.
var opNames = []rule{
	{op: OpUpload, any: []string{"webwxuploadmedia", "uploadmedia", "getuploadurl", "upload_media", "cdn upload", "cdn_upload", "uploadfile", "上传"}},
	{op: OpDownload, any: []string{"webwxgetmsgimg", "webwxgetvideo", "webwxgetvoice", "webwxgetmedia", "cdn download", "cdn_download", "inbound image", "download/decrypt"}},
	{op: OpTyping, any: []string{"getconfig", "sendtyping", "typing_ticket", "typingticket", "typing send"}},
	{op: OpRoom, any: []string{"createchatroom", "updatechatroom", "addmember", "add_member", "roomadd", "create_group", "membercount", "入群", "拉人进", "建群", "拉群", "创建群", "踢出群"}},
	{op: OpRevoke, any: []string{"webwxrevokemsg", "撤回消息"}},
	{op: OpSend, any: []string{"webwxsendmsg", "webwxsendappmsg", "sendmessage", "send_message", "messagesend", "sendmsg", "send_msg", "send chunk", "sendtext", "sendmedia", "weixin reply", "发送"}},
	{op: OpBatchContacts, any: []string{"batchgetcontact", "contactrawpayload", "批量获取联系人"}},
	{op: OpContacts, any: []string{"webwxgetcontact", "get_contact", "获取通讯录"}},
	{op: OpNotify, any: []string{"statusnotify", "show_mobile_login", "notifystart", "手机状态通知"}},
	{op: OpSyncCheck, any: []string{"synccheck", "sync_check", "sync check"}},
	{op: OpSync, any: []string{"webwxsync", "getupdates", "get_msg", "长轮询", "long poll", "sync message"}},
	{op: OpInit, any: []string{"webwxinit", "web_init", "getinit", "初始化", "init user info"}},
	{op: OpLogin, any: []string{"webwxnewloginpage", "process_login_info"}},
	{op: OpCheckLogin, any: []string{"checklogin", "check_login", "get_qrcode_status", "pollqrstatus"}},
	{op: OpUUID, any: []string{"jslogin", "get_qruuid", "get_bot_qrcode", "fetchqrcode"}},
	{op: OpPushLogin, any: []string{"webwxpushloginurl"}},
}

// opIn tells the operation: what the stack trace says, then what the caller
// knows, then what the text calls it.
func (w *reading) op() Operation {
	if op := opByStack(w.text); op != "" {
		return op
	}
	if w.told != "" {
		return w.told
	}
	if r := first(opNames, w.in); r != nil {
		return r.op
	}
	return ""
}

// opByStack reads the last line of wechat4u's core.js in a stack trace.
func opByStack(text string) Operation {
	if !strings.Contains(text, "core.js:") {
		return ""
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\\`, "/"), `\`, "/")
	for _, s := range stackLines {
		i := strings.LastIndex(text, "wechat4u/"+s.file)
		if i < 0 {
			continue
		}
		line := leadingInt(text[i+len("wechat4u/")+len(s.file):])
		for _, l := range s.lines {
			if line <= l.upTo {
				return l.op
			}
		}
	}
	return ""
}

// leadingInt reads at most six digits.
func leadingInt(s string) int {
	n := 0
	for i := 0; i < len(s) && i < 6 && digit(s[i]); i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n
}
