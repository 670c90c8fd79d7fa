package sim

import (
	"testing"
)

func TestSmoke(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	if n := len(c.contacts()); n != 30+1+3+2 {
		t.Errorf("%d contacts", n)
	}
	c.wantRet(c.text(c.names["Alice"], "hello"), 0)
	if _, err := s.Say(Message{From: "alice", Room: "team", Type: "text", Text: "hi <you>"}); err != nil {
		t.Fatal(err)
	}
	t.Log(c.next())
	id, code := c.upload(c.names["Bob"], "x.bin", make([]byte, 1300000), nil)
	if code != "0" || id == "" {
		t.Fatal(id, code)
	}
	t.Log(s.Sent())
}
