package webwx

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
)

func TestVaultOfANewerVersionIsRefused(t *testing.T) {
	w := newWorld(t)
	w.vault.value = []byte(`{"version":99,"device":"e1"}`)
	_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.Stored})
	if err == nil || !strings.Contains(err.Error(), "version 99") || errors.Is(err, wechat.ErrNoRung) {
		t.Errorf("got %v", err)
	}
	if string(w.vault.value) != `{"version":99,"device":"e1"}` {
		t.Error("the newer session was overwritten")
	}
}

func TestVaultWithGarbageNeedsAScan(t *testing.T) {
	for _, garbage := range []string{"not json", "[]", `{"session":5}`, "\x00\xff"} {
		w := newWorld(t)
		w.vault.value = []byte(garbage)
		if _, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.Stored}); !errors.Is(err, wechat.ErrNoRung) {
			t.Errorf("%q: %v", garbage, err)
		}
		w.login(wechat.QR)
	}
}

func TestVaultThatFails(t *testing.T) {
	w := newWorld(t)
	why := errors.New("no vault today")
	w.vault.breakDown(why)
	if _, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR}); !errors.Is(err, why) {
		t.Errorf("a device id that cannot be kept was used: %v", err)
	}
	w.vault.breakDown(nil)
	must(t, w.tr.acct.load(w.ctx(), true))
	w.vault.breakDown(why)
	must(t, w.login(wechat.QR).Close()) // the login itself is good
	s := w.login(wechat.Stored)         // and this process knows it
	w.vault.breakDown(nil)
	w.byID(s, w.say(sim.Message{From: "alice", Text: "x"}))
	must(t, s.Close())
	w.restart()
	w.login(wechat.Stored)
}

// TestAnotherWorkerWasHere: between two logins another worker may have served
// the account and left a newer session.
func TestAnotherWorkerWasHere(t *testing.T) {
	w := newWorld(t)
	must(t, w.login(wechat.QR).Close())
	mine := w.tr
	w.restart()
	must(t, w.login(wechat.QR).Close())
	s, err := mine.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.Stored})
	must(t, err)
	must(t, s.Close())
	if n := w.sim.Requests("jslogin"); n != 2 {
		t.Errorf("%d codes", n)
	}
}

func TestBlobGoldenForm(t *testing.T) {
	w := newWorld(t)
	must(t, w.login(wechat.QR).Close())
	var b map[string]any
	must(t, json.Unmarshal(w.vault.value, &b))
	s, _ := b["session"].(map[string]any)
	for _, key := range []string{"host", "uin", "sid", "skey", "pass_ticket", "cookies", "sync_key", "login_at"} {
		if s[key] == nil {
			t.Errorf("the stored session has no %s", key)
		}
	}
	if b["version"] != float64(1) || b["device"] == "" {
		t.Errorf("blob %v", b)
	}
}

// TestLogHoldsNoSecrets: what is logged names neither people nor secrets.
func TestLogHoldsNoSecrets(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t)
	w.restart(func(c *Config) { c.Log = zerolog.New(zerolog.SyncWriter(&log)) })
	w.fault(sim.Fault{On: []string{"webwxgetcontact"}, Do: "ret", Ret: 1205, Count: 1})
	w.fault(sim.Fault{On: []string{"webwxstatusnotify"}, Do: "ret", Ret: 1205, Count: 1})
	w.fault(sim.Fault{On: []string{"webwxbatchgetcontact"}, Do: "html", Count: 1})
	s := w.login(wechat.QR)
	w.byID(s, w.say(sim.Message{From: "alice", Room: "team", Text: "secret words"}))
	must(t, s.Close())
	info := s.line.login()
	for _, secret := range []string{info.SKey, info.WxSid, info.PassTicket, "secret words", "Alice"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log tells %q:\n%s", secret, log.String())
		}
	}
	for _, event := range []string{"contacts_failed", "notify_refused"} {
		if !strings.Contains(log.String(), event) {
			t.Errorf("the log does not tell %s", event)
		}
	}
}
