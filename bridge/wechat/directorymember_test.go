package wechat

import (
	"errors"
	"slices"
	"testing"
)

func TestMembers(t *testing.T) {
	d := loaded(nil)
	var nf *NotFoundError
	if _, err := d.ResolveMember("@@team", "Bob"); !errors.As(err, &nf) || !nf.Loading {
		t.Errorf("members that are not known yet: %v", err)
	}
	d.PutMembers("@@team", []Peer{
		{ID: "@bob", Name: "Bobby T.", Type: Member},
		{ID: "@alice", Name: "Alice", Type: Member},
		{ID: "@s1", Name: "Stranger", Type: Member},
		{ID: "@s2", Name: "Stranger", Type: Member},
		{ID: "@s3", Name: "Boss", Type: Member},
		{ID: "@s4", Name: "J\u0301im ", Type: Member},
		{Name: "no id"},
	})
	for name, want := range map[string]string{
		"Bobby T.":  "@bob",
		"Bob":       "@bob",   // what the friend is called outside the room
		"Boss":      "@alice", // the remark of a friend goes before a name
		"alice_wx":  "@alice",
		"Stranger":  "?nickname",
		" Alice ":   "@alice",
		"J\u0301im": "@s4",
		"Rita":      "", // a friend, but not in the room
		"":          "",
		"no id":     "",
	} {
		if p, err := d.ResolveMember("@@team", name); outcome(p, err) != want {
			t.Errorf("%q: %v, %v; want %q", name, p, err, want)
		}
	}
	if _, err := d.ResolveMember("@@team", "Strangr"); !errors.As(err, &nf) || !slices.Equal(nf.Nearest, []string{"Stranger"}) {
		t.Errorf("nearest: %v", err)
	}
	if p, ok := d.Member("@@team", "@bob"); !ok || p.Name != "Bobby T." {
		t.Errorf("member %v", p)
	}
	if n := len(d.Members("@@team")); n != 6 {
		t.Errorf("%d members", n)
	}
	if got := d.Members("@@team")[0].ID; got != "@alice" {
		t.Errorf("not sorted: %s is first", got)
	}
	if _, ok := d.Peer("@s1"); ok {
		t.Error("a stranger became a contact")
	}
}
