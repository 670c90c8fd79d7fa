package alert

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wire"
)

var update = flag.Bool("update", false, "write the golden files")

func notices() []Notice {
	retry := start.Add(4 * time.Minute)
	h := held(12)
	h.RetryAt = &retry
	blocked := record(wire.StateBlocked, wire.SendingHeld, "open_phone")
	blocked.Reason = &wire.Reason{Class: "account_blocked", Code: "restricted_account", Message: "WeChat restricted the account.", MessageZH: "微信限制了该账号。", Fix: "Open WeChat on the phone.", FixZH: "请打开手机微信。"}
	other := record(wire.StateConnected, wire.SendingPaused, "none")
	other.Reason = &wire.Reason{Class: "internal", Code: "identity_changed", Message: "Another WeChat account logged in than before, so the messages that wait are not sent.", MessageZH: "登录的微信账号与之前不同，因此等待中的消息不会发送。", Fix: "Run: wechat-bridge resume", FixZH: "请运行：wechat-bridge resume"}
	simulated := scan()
	simulated.Simulated = true
	dance := record(wire.StateConnecting, wire.SendingHeld, "dance\x1b[31m")
	odd := held(0)
	odd.Reason = &wire.Reason{Class: "unknown", Code: "unknown", Message: "Nobody has told the bridge yet what this means.", MessageZH: "桥接尚不了解此错误的含义。", Fix: "The bridge tries again. Please report the error, so that it gets a name.", FixZH: "桥接会重试；请报告此错误，以便为其命名。"}
	base := Notice{Account: "default", Outage: "connection-x", At: start, Since: start, Link: "https://bridge.example/"}
	of := func(k Kind, c wire.Connection, down time.Duration) Notice {
		n := base
		n.Kind, n.Connection, n.Down, n.Waited = k, c, down, 12
		return n
	}
	again := of(KindHeld, h, 5*time.Minute)
	again.OnAndOff = true
	fix := record(wire.StateReconnecting, wire.SendingHeld, "fix_config")
	return []Notice{
		of(KindHeld, h, 3*time.Minute), again, of(KindHeld, odd, 30*time.Second), of(KindLogin, simulated, 0), of(KindBlocked, blocked, 0), of(KindConfig, fix, 0),
		of(KindIdentity, other, 0), of(KindPerson, dance, 0), of(KindBack, up(), 23*time.Minute), of(KindBroker, wire.Connection{}, 3*time.Minute),
		of(KindBrokerOK, wire.Connection{}, 4*time.Minute), of(KindTest, wire.Connection{}, 0),
	}
}

// What people read, in both languages; -update writes it anew.
func TestRenderGolden(t *testing.T) {
	for _, lang := range []string{English, Chinese} {
		var b strings.Builder
		for _, n := range notices() {
			title, body := Render(lang, n)
			b.WriteString("## " + title + "\n" + body + "\n\n")
		}
		path := filepath.Join("testdata", "alerts."+lang+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// Whatever a record brings, an alert is lines of printable text, bounded, with
// a title of one line.
func TestRenderIsPrintable(t *testing.T) {
	evil := "\x1b[31m\u202e" + strings.Repeat("x\r\n", 10_000) + "\xff"
	c := record(evil, wire.SendingHeld, evil)
	c.Reason = &wire.Reason{Class: evil, Code: evil, Message: evil, MessageZH: evil, Fix: evil, FixZH: evil}
	for k := range titles {
		for _, lang := range []string{English, Chinese} {
			title, body := Render(lang, Notice{Kind: k, Account: evil, Connection: c})
			if strings.Contains(title, "\n") || len(title)+len(body) > 4000 || strings.Count(body, "\n") > 8 {
				t.Errorf("%s: %d lines, %d bytes", k, strings.Count(body, "\n")+1, len(title)+len(body))
			}
			if i := strings.IndexFunc(title+body, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%s: unprintable at %d: %q", k, i, (title + body)[i:][:4])
			}
		}
	}
}

func TestChineseFallsBackToEnglish(t *testing.T) {
	_, body := Render(Chinese, Notice{Kind: KindLogin, Connection: scan()})
	if !strings.Contains(body, "The session is over.") {
		t.Errorf("%q", body)
	}
}
