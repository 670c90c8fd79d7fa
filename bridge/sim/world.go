package sim

import (
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"
)

// World is who and what an account sees. It is only read by the simulator.
type World struct {
	Host        string   `yaml:"host"`         // where the login redirects to, default wx.qq.com
	DesktopOnly bool     `yaml:"desktop_only"` // refuses logins without the desktop headers (1203)
	PageSize    int      `yaml:"page_size"`    // contacts a page, default 1000
	Self        Person   `yaml:"self"`
	People      []Person `yaml:"people"`
	Rooms       []Room   `yaml:"rooms"`
}

// Person is a friend, a service account, or a stranger.
type Person struct {
	ID        string `yaml:"id"` // stable, for tests; user names change at each login
	Name      string `yaml:"name"`
	Remark    string `yaml:"remark"`
	Alias     string `yaml:"alias"`
	Signature string `yaml:"signature"`
	Kind      string `yaml:"kind"` // friend (default), service, stranger
	Sex       int    `yaml:"sex"`
}

// Room is a group chat.
type Room struct {
	ID      string            `yaml:"id"`
	Name    string            `yaml:"name"`
	Owner   string            `yaml:"owner"` // a member's id, default self
	Members []string          `yaml:"members"`
	Names   map[string]string `yaml:"names"` // member id to display name in the room
	// Saved rooms are in the contact list; Active ones in the chats at login.
	// A room that is neither is invisible until a message in it arrives.
	Saved  bool `yaml:"saved"`
	Active bool `yaml:"active"`
	Muted  bool `yaml:"muted"`
}

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	hostPattern = regexp.MustCompile(`^[a-z0-9]+(\.[a-z0-9-]+)+$`)
	reservedIDs = []string{selfID, "filehelper", "fmessage", "newsapp", "weixin", "all"}
)

const selfID = "self"

// LoadWorld reads YAML; unknown keys, ids that are used twice and members that
// do not exist are errors.
func LoadWorld(r io.Reader) (*World, error) {
	var w World
	if err := yaml.NewDecoder(r, yaml.Strict()).Decode(&w); err != nil {
		return nil, fmt.Errorf("%w: world: %w", ErrInvalid, err)
	}
	if err := w.fill(); err != nil {
		return nil, err
	}
	return &w, nil
}

// fill sets defaults and checks that everything fits together.
func (w *World) fill() error {
	if w.Host == "" {
		w.Host = "wx.qq.com"
	}
	if !hostPattern.MatchString(w.Host) {
		return fmt.Errorf("%w: world: host %q", ErrInvalid, w.Host)
	}
	if w.PageSize <= 0 {
		w.PageSize = 1000
	}
	w.Self.ID = selfID
	if w.Self.Name == "" {
		w.Self.Name = "Me"
	}
	ids := map[string]bool{selfID: true}
	for i := range w.People {
		if err := w.People[i].fill(ids); err != nil {
			return err
		}
	}
	people := len(ids)
	for i := range w.Rooms {
		if err := w.Rooms[i].fill(ids); err != nil {
			return err
		}
	}
	if people < 2 {
		return fmt.Errorf("%w: world: no people", ErrInvalid)
	}
	return nil
}

func newID(id string, ids map[string]bool) error {
	if !idPattern.MatchString(id) || slices.Contains(reservedIDs, id) {
		return fmt.Errorf("%w: world: id %q", ErrInvalid, id)
	}
	if ids[id] {
		return fmt.Errorf("%w: world: id %q is used twice", ErrInvalid, id)
	}
	ids[id] = true
	return nil
}

func (p *Person) fill(ids map[string]bool) error {
	if err := newID(p.ID, ids); err != nil {
		return err
	}
	if p.Kind == "" {
		p.Kind = "friend"
	}
	if !oneOf(p.Kind, "friend", "service", "stranger") {
		return fmt.Errorf("%w: world: %s: kind %q", ErrInvalid, p.ID, p.Kind)
	}
	return nil
}

func (r *Room) fill(ids map[string]bool) error {
	for _, m := range r.Members {
		if !ids[m] {
			return fmt.Errorf("%w: world: room %s: no such member %q", ErrInvalid, r.ID, m)
		}
	}
	if !slices.Contains(r.Members, selfID) {
		r.Members = append([]string{selfID}, r.Members...)
	}
	if r.Owner == "" {
		r.Owner = selfID
	}
	if !slices.Contains(r.Members, r.Owner) {
		return fmt.Errorf("%w: world: room %s: owner %q is no member", ErrInvalid, r.ID, r.Owner)
	}
	return newID(r.ID, ids)
}

// WithContacts adds made-up friends until there are n contacts (friends and
// service accounts), and returns w.
func (w *World) WithContacts(n int) *World {
	have := 0
	for _, p := range w.People {
		if p.Kind != "stranger" {
			have++
		}
	}
	for i := 1; have < n; i++ {
		w.People = append(w.People, Person{
			ID: fmt.Sprintf("extra%05d", i), Name: fmt.Sprintf("Friend %05d", i), Kind: "friend", Sex: i % 3})
		have++
	}
	return w
}
