package main

import (
	"strings"
	"testing"

	"wechat-bridge/bridge/wire"
)

// A correction says what it was, and whether another delivery may be meant.
func TestACorrectionIsPrinted(t *testing.T) {
	d := wire.Delivery{ID: "a", State: wire.Corrected, Was: wire.Sent, MessageID: "7", Code: "not_a_friend", Message: "No friend.", Attribution: wire.Inferred}
	for lang, want := range map[string]string{
		"en": "delivery    a corrected (was sent) as 7: not_a_friend: No friend. [this one or another to the same chat]",
		"zh": "消息状态    a 已更正（原为已发送），微信编号 7: not_a_friend: No friend. [可能是同一聊天中的另一条]",
	} {
		p := printer{t: &terminal{lang: lang}}
		if got := p.delivery(d); got != want {
			t.Errorf("%s: %q", lang, got)
		}
	}
	d.Attribution = ""
	if got := (printer{t: &terminal{lang: "en"}}).delivery(d); got != "delivery    a corrected (was sent) as 7: not_a_friend: No friend." {
		t.Errorf("%q", got)
	}
}

func TestAnAlertIsPrinted(t *testing.T) {
	env := wire.Envelope{Type: wire.TypeAlert, Data: []byte(`{"kind":"held","title":"[default] WeChat is away\u001b[2J","link":"https://bridge.example/"}`)}
	for lang, want := range map[string]string{"en": "alert", "zh": "通知"} {
		line := printer{t: &terminal{lang: lang}}.line(env)
		if !strings.HasPrefix(line, want) || !strings.Contains(line, "WeChat is away") || !strings.Contains(line, "https://bridge.example/") || strings.Contains(line, "\x1b") {
			t.Errorf("%s: %q", lang, line)
		}
	}
}
