package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"wechat-bridge/bridge/wire"
)

// chinese are the words of the contract for people who read Chinese; scripts
// read the JSON, which has the words themselves.
var chinese = map[string]string{
	"starting": "启动中", "awaiting_scan": "等待扫码", "awaiting_confirm": "等待手机确认", "awaiting_code": "等待输入数字",
	"connecting": "连接中", "connected": "已连接", "reconnecting": "重新连接中", "logged_out": "已退出登录",
	"blocked": "被微信拒绝", "stopped": "已停止",
	"flowing": "正常发送", "slowed": "被限速", "ramping": "逐步恢复", "held": "暂不发送，消息保留", "paused": "已暂停",
	"accepted": "已接受", "scheduled": "已排期", "waiting": "等待中", "sending": "发送中", "retrying": "重试中",
	"sent": "已发送", "failed": "失败", "rejected": "被拒绝", "expired": "已过期", "cancelled": "已取消",
	"unknown": "结果未知", "corrected": "已更正",
	"pass": "正常", "warn": "警告", "fail": "故障",
}

// word is a word of the contract for people.
func (t *terminal) word(w string) string {
	if zh := chinese[w]; zh != "" && t.lang == "zh" {
		return zh
	}
	return strings.ReplaceAll(w, "_", " ")
}

// actions are what a person has to do, as the contract's user_action says it.
var actions = map[string][2]string{
	"scan_qr":          {"scan the QR code; `wechat-bridge login` shows it", "请扫描二维码；运行 `wechat-bridge login` 显示"},
	"confirm_on_phone": {"press the button on the phone", "请在手机上点击确认"},
	"enter_code":       {"type the digits that the phone shows: wechat-bridge login --code DIGITS", "请输入手机上显示的数字：wechat-bridge login --code 数字"},
	"open_phone":       {"open WeChat on the phone and see what it says", "请打开手机微信，查看提示"},
	"wait":             {"nothing; it is being tried again", "无需操作，正在重试"},
	"fix_config":       {"mend the configuration", "请修正配置"},
	"contact_wechat":   {"ask WeChat's support", "请联系微信客服"},
}

// action is a user_action for people; none is empty.
func (t *terminal) action(name string) string {
	if a, ok := actions[name]; ok {
		return t.say(a[0], a[1])
	}
	if name == "none" {
		return ""
	}
	return name
}

// fix is what a person can do about a reason, where a person is needed: else
// it contradicts that nothing has to be done.
func (t *terminal) fix(c wire.Connection) string {
	if c.Reason == nil || c.UserAction == "" || c.UserAction == "none" || c.UserAction == "wait" {
		return ""
	}
	return t.say(c.Reason.Fix, c.Reason.FixZH)
}

// pad fills a label up to a width on the screen, where a Chinese character
// takes two columns.
func pad(label string, width int) string {
	used := 0
	for _, r := range label {
		used++
		if unicode.Is(unicode.Han, r) || r >= 0x3000 && r <= 0x303f || r >= 0xff00 && r <= 0xff60 {
			used++
		}
	}
	return label + strings.Repeat(" ", max(width-used, 0))
}

// plainJSON escapes what JSON lets through and a terminal acts upon: controls
// above ASCII, changes of direction, invisible characters. It stays the same
// JSON.
func plainJSON(body []byte) []byte {
	var b strings.Builder
	for _, r := range string(body) {
		if r < 0x7f || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return []byte(b.String())
}
