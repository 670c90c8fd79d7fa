package classifier

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxText is how many bytes of a text are looked at: the head, where an error
// begins, and the tail, where a stack trace has its cause.
const (
	maxHead = 16 << 10
	maxTail = 16 << 10
)

// prepare makes a text comparable: bounded, without colours, in small letters,
// with one form for what has several (traditional characters, full-width
// signs), and with mojibake read back. torn is the mojibake that was read back
// with holes, where the wrong character set had lost bytes.
func prepare(text string) (clean, torn string) {
	if len(text) > maxHead+maxTail {
		text = text[:maxHead] + "\n" + text[len(text)-maxTail:]
	}
	if strings.Contains(text, `\u`) || strings.Contains(text, `\x`) {
		text += "\n" + unescaped(text)
	}
	if !wide(text) {
		return plain(text), ""
	}
	again := folds.Replace(plain(unscrambled(text)))
	if strings.ContainsRune(again, hole) {
		torn = again
	}
	return folds.Replace(plain(text)) + again, torn
}

// unescaped reads the escapes of JSON and Python back: \u64cd, \xe6.
func unescaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if r, n := escapedRune(s[i+1:]); n > 0 {
				b.WriteRune(r)
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escapedRune reads what follows a backslash: the rune, and how many bytes it took.
func escapedRune(s string) (rune, int) {
	digits := 0
	switch s[0] {
	case 'u':
		digits = 4
	case 'x':
		digits = 2
	}
	if digits == 0 || len(s) <= digits {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[1:1+digits], 16, 32)
	if err != nil {
		return 0, 0
	}
	return rune(v), 1 + digits
}

func wide(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// plain lowers ASCII letters, drops terminal colours and makes tabs, carriage
// returns and repeated spaces one space. A typographic quote or minus becomes
// the ASCII one.
func plain(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == 0x1b:
			i += escape(s[i:])
			continue
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = append(b, asciiFor(r, s[i:i+n])...)
			i += n
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '\t', c == '\r':
			c = ' '
		}
		i++
		if c == ' ' && len(b) > 0 && b[len(b)-1] == ' ' {
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// escape is the length of a terminal's control sequence.
func escape(s string) int {
	if len(s) < 2 || s[1] != '[' {
		return 1
	}
	for i := 2; i < len(s) && i < 20; i++ {
		if 0x40 <= s[i] && s[i] <= 0x7e {
			return i + 1
		}
	}
	return 2
}

// asciiFor gives a sign's ASCII form, else the bytes as they are. Broken UTF-8
// stays broken, so that nothing is read into it.
func asciiFor(r rune, raw string) string {
	switch {
	case r == '\u2018', r == '\u2019':
		return "'"
	case r == '\u201c', r == '\u201d':
		return `"`
	case r == '\u2212', r == '\u2013', r == '\u2014':
		return "-"
	case r == '\u00a0', r == '\u3000':
		return " "
	case 0xff01 <= r && r <= 0xff5e: // full width: fold, and lower it
		return strings.ToLower(string(r - 0xff01 + '!'))
	}
	return raw
}

// folds are different spellings of the same sentence.
var folds = strings.NewReplacer(
	"账", "帐", "賬", "帐", "帳", "帐", "號", "号", "頻", "频", "過", "过", "於", "于", "繁", "繁", "錄", "录", "登陆", "登录",
	"環", "环", "異", "异", "頁", "页", "網", "网", "為", "为", "無", "无", "戶", "户", "發", "发", "後", "后", "請", "请", "試", "试",
	"時", "时", "驗", "验", "證", "证", "對", "对", "絕", "绝", "連", "连", "斷", "断", "線", "线", "碼", "码", "掃", "扫", "機", "机",
	"確", "确", "認", "认", "錯", "错", "誤", "误", "敗", "败", "傳", "传", "檔", "档", "們", "们", "還", "还", "經", "经", "這", "这",
	"個", "个", "總", "总", "開", "开", "啟", "启", "條", "条", "數", "数", "應", "应", "憑", "凭", "據", "据", "進", "进", "從", "从",
	"其它", "其他", "web版微信", "网页微信", "网页版微信", "网页微信", "web微信", "网页微信", "微信网页版", "网页微信", "微信web版", "网页微信",
)

// unscrambled reads a text back that went through the wrong character set:
// UTF-8 shown as Latin-1, Windows-1252 or GBK. It gives what makes sense, or
// nothing.
func unscrambled(s string) string {
	var out strings.Builder
	for _, decode := range [...]func(rune) (string, bool){latin, gbk} {
		if fixed := redecode(s, decode); chinese(fixed) {
			out.WriteByte('\n')
			out.WriteString(fixed)
		}
	}
	return out.String()
}

// hole stands for characters that mojibake has lost.
const hole = utf8.RuneError

// redecode turns each rune back into the bytes it came from. Runs of runes
// that cannot have come from there end what is read.
func redecode(s string, decode func(rune) (string, bool)) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if raw, ok := decode(r); ok {
			b = append(b, raw...)
		} else if r < utf8.RuneSelf && r != '?' { // some decoders show "?" for what they lose
			b = append(b, byte(r))
		}
	}
	return strings.ToValidUTF8(string(b), string(hole))
}

// pairsOf are the neighbours in a torn text.
func pairsOf(torn string) map[[2]rune]bool {
	pairs := make(map[[2]rune]bool)
	before := hole
	for _, r := range torn {
		if r >= utf8.RuneSelf && before >= utf8.RuneSelf {
			pairs[[2]rune{before, r}] = true
		}
		before = r
	}
	return pairs
}

// patched reports that a phrase is in a torn text, where a hole stands for one
// or two characters. At least two neighbours must have survived; a phrase of
// fewer than four characters would leave too little to be sure.
func patched(torn string, pairs map[[2]rune]bool, phrase string) bool {
	want := []rune(phrase)
	if len(want) < 4 || !survived(want, pairs) {
		return false
	}
	for i := range torn {
		if fits(torn[i:], want, 0) {
			return true
		}
	}
	return false
}

func survived(want []rune, pairs map[[2]rune]bool) bool {
	for i := 1; i < len(want); i++ {
		if pairs[[2]rune{want[i-1], want[i]}] && want[i] != hole {
			return true
		}
	}
	return false
}

// fits matches a phrase at the head of a torn text, with at most two holes.
func fits(torn string, want []rune, holes int) bool {
	for len(want) > 0 {
		r, n := utf8.DecodeRuneInString(torn)
		if n == 0 {
			return false
		}
		if r != hole {
			if r != want[0] {
				return false
			}
			torn, want = torn[n:], want[1:]
			continue
		}
		if holes == 2 {
			return false
		}
		for skip := 1; skip <= min(2, len(want)-1); skip++ {
			if fits(torn[n:], want[skip:], holes+1) {
				return true
			}
		}
		return false
	}
	return true
}

// chinese reports that a text has at least two Chinese characters in a row.
func chinese(s string) bool {
	before := false
	for _, r := range s {
		now := 0x4e00 <= r && r <= 0x9fff
		if now && before {
			return true
		}
		before = now
	}
	return false
}

// windows1252 has the characters that stand for the bytes 0x80 to 0x9f.
const windows1252 = "\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f" +
	"\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178"

func latin(r rune) (string, bool) {
	if 0x80 <= r && r <= 0xff {
		return string([]byte{byte(r)}), true
	}
	if r < utf8.RuneSelf || r > 0x2122 {
		return "", false
	}
	i := 0
	for _, w := range windows1252 {
		if w == r {
			return string([]byte{byte(0x80 + i)}), true
		}
		i++
	}
	return "", false
}

// gbkTable has, for each pair of bytes that can stand inside UTF-8 Chinese
// text, the character that GBK shows for it: a line of lead byte, then the
// characters for the trail bytes from 0x80 on; a space where GBK has none.
//
//go:embed gbk.txt
var gbkTable string

var gbkBytes = sync.OnceValue(func() map[rune]string {
	m := make(map[rune]string, 16<<10)
	for _, line := range strings.Split(strings.TrimRight(gbkTable, "\n"), "\n") {
		lead, chars, ok := strings.Cut(line, " ")
		if !ok || len(lead) != 2 {
			continue
		}
		trail := 0x80
		for _, r := range chars {
			if r != ' ' {
				m[r] = string([]byte{unhex(lead), byte(trail)})
			}
			trail++
		}
	}
	return m
})

func unhex(two string) byte {
	const digits = "0123456789abcdef"
	return byte(strings.IndexByte(digits, two[0])<<4 | strings.IndexByte(digits, two[1]))
}

func gbk(r rune) (string, bool) {
	raw, ok := gbkBytes()[r]
	return raw, ok
}
