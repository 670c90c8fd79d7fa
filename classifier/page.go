package classifier

import (
	"fmt"
	"strings"
)

// Words says what the bridge does, for people.
func (r Recovery) Words() Text {
	for _, w := range recoveryWords {
		if w.recovery == r {
			return w.words
		}
	}
	return Text{}
}

var recoveryWords = []struct {
	recovery Recovery
	words    Text
}{
	{RecoverNone, Text{"Nothing: this request ends, the rest goes on.", "不做处理：此请求结束，其余照常。"}},
	{RecoverRetry, Text{"It tries again, with growing pauses.", "以递增的间隔重试。"}},
	{RecoverResume, Text{"It resumes the session; only if WeChat refuses that, it logs in.", "恢复会话；只有微信拒绝时才重新登录。"}},
	{RecoverRelogin, Text{"It logs in from the stored session, then asks the phone, then shows a code.", "依次尝试已保存的会话、手机确认、二维码登录。"}},
	{RecoverRescan, Text{"It shows a login code, a bounded number of times, slower each time.", "显示登录二维码，次数有限且间隔递增。"}},
	{RecoverSlowDown, Text{"It slows down what was throttled and keeps the session.", "放慢被限制的操作，并保留会话。"}},
	{RecoverAwaitRecipient, Text{"It keeps the message until this chat can be written to again.", "保留消息，直到可以再次向该聊天发送。"}},
	{RecoverStop, Text{"It stops and waits for a person.", "停止，等待人工处理。"}},
}

// Words says what a class is, for people.
func (c Class) Words() Text {
	for _, w := range classWords {
		if w.class == c {
			return w.words
		}
	}
	return Text{}
}

var classWords = []struct {
	class Class
	words Text
}{
	{Network, Text{"the way to WeChat", "通往微信的网络"}},
	{SessionExpired, Text{"the session is over", "会话已失效"}},
	{LoginPending, Text{"a login waits for a person", "登录等待人工操作"}},
	{AccountBlocked, Text{"WeChat refuses the account", "微信拒绝该账号"}},
	{RateLimited, Text{"too often", "过于频繁"}},
	{RecipientClosed, Text{"this chat cannot be written to now", "目前无法向该聊天发送"}},
	{Protocol, Text{"an answer that cannot be understood", "无法理解的应答"}},
	{Server, Text{"a fault of the server", "服务器故障"}},
	{BadRequest, Text{"this request is refused", "请求被拒绝"}},
	{Broker, Text{"NATS", "NATS"}},
	{Internal, Text{"the program itself", "程序自身"}},
	{Unknown, Text{"nobody knows", "未知"}},
}

// Page renders the help page of a code as Markdown, in English and Chinese; it
// is false for a code that does not exist.
func Page(code string) (string, bool) {
	i, ok := codeIndex[code]
	if !ok {
		return "", false
	}
	c := &codes[i]
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n%s\n\n", c.Code, c.Message.EN, c.Message.ZH)
	b.WriteString("| | English | 中文 |\n|---|---|---|\n")
	for _, row := range c.answers() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", row[0], row[1], row[2])
	}
	b.WriteString("\n## Which rules lead here · 相关规则\n\n")
	c.writeRules(&b)
	b.WriteString("\n[All codes · 全部代码](README.md)\n")
	return b.String(), true
}

// answers are the rows of a page's table.
func (c *CodeDoc) answers() [][3]string {
	class, recovery := c.Class.Words(), c.Recovery.Words()
	return [][3]string{
		{"class · 类别", "`" + string(c.Class) + "`: " + class.EN, class.ZH},
		{"counts for the breaker · 计入熔断", yes(c.Disconnect).EN, yes(c.Disconnect).ZH},
		{"may succeed later by itself · 可自行恢复", yes(c.Retryable).EN, yes(c.Retryable).ZH},
		{"needs a person · 需要人工", yes(c.NeedsHuman).EN, yes(c.NeedsHuman).ZH},
		{"ends the session · 会话终止", yes(c.Final).EN, yes(c.Final).ZH},
		{"what the bridge does · 桥接的处理", recovery.EN, recovery.ZH},
		{"what you do · 您需要做的", c.Fix.EN, c.Fix.ZH},
	}
}

func yes(b bool) Text {
	if b {
		return Text{"yes", "是"}
	}
	return Text{"no", "否"}
}

func (c *CodeDoc) writeRules(b *strings.Builder) {
	if c.Own {
		b.WriteString("None: the bridge finds this out by itself. 无：由桥接自行判断。\n")
		return
	}
	b.WriteString("| rule | looks at | fits | source |\n|---|---|---|---|\n")
	for _, r := range Rules() {
		if r.Code == c.Code {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", r.Name, r.Looks.EN, cell(r.Fits), cell(r.Source))
		}
	}
}

// cell keeps a text within its column.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(s)
}

// Index renders the list of all codes as Markdown.
func Index() string {
	var b strings.Builder
	b.WriteString("# Error codes · 错误代码\n\n")
	b.WriteString("Made from the tables of package `classifier`; do not edit by hand: `go test ./classifier -run TestPages -update`.\n")
	b.WriteString("由 `classifier` 包的表格生成，请勿手工修改。\n\n")
	b.WriteString("`wechat-bridge classify` tells which of these an error text means. `wechat-bridge classify` 可判断一段错误文本对应的代码。\n")
	for _, w := range classWords {
		fmt.Fprintf(&b, "\n## %s · %s\n\n| code | meaning | 含义 |\n|---|---|---|\n", w.class, w.words.ZH)
		for i := range codes {
			if c := &codes[i]; c.Class == w.class {
				fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s |\n", c.Code, c.Code, cell(c.Message.EN), cell(c.Message.ZH))
			}
		}
	}
	return b.String()
}
