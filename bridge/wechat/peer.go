package wechat

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoRung says that a transport has no such login step, or cannot take it
// now (no stored session, a phone that forgot the device).
var ErrNoRung = errors.New("this login step is not possible")

// PeerType is what a peer is; the names are the contract's.
type PeerType string

// The types of peer.
const (
	Friend  PeerType = "friend"
	Room    PeerType = "room"
	Service PeerType = "service"
	Self    PeerType = "self"
	Helper  PeerType = "helper"
	Member  PeerType = "member" // of a room, not a friend
)

// Peer is somebody or some place messages come from and go to.
type Peer struct {
	ID     string // the protocol's id; web user names change at every login
	Name   string // nickname, or the room's topic
	Remark string
	Alias  string
	Type   PeerType
}

// Query is a recipient as a user wrote it: a bare name, or exactly one of the
// other fields, or (Type set) a peer of an event as it came.
type Query struct {
	Name     string   `json:"name,omitempty"`
	ID       string   `json:"id,omitempty"`
	Remark   string   `json:"remark,omitempty"`
	Nickname string   `json:"nickname,omitempty"`
	Alias    string   `json:"alias,omitempty"`
	Room     string   `json:"room,omitempty"`
	Type     PeerType `json:"type,omitempty"`
}

// AmbiguousError says that several peers fit within one level.
type AmbiguousError struct {
	Level      string // remark, alias, room, nickname
	Candidates []Peer
}

func (e *AmbiguousError) Error() string {
	names := make([]string, len(e.Candidates))
	for i, p := range e.Candidates {
		names[i] = p.Name
	}
	return fmt.Sprintf("%d peers have this %s: %s", len(names), e.Level, strings.Join(names, ", "))
}

// NotFoundError says that no peer fits, now.
type NotFoundError struct {
	Loading bool     // contacts are still being loaded
	Nearest []string // at most 3 names that look alike
}

func (e *NotFoundError) Error() string {
	if e.Loading {
		return "contacts are still loading"
	}
	if len(e.Nearest) > 0 {
		return "nobody has this name; nearest: " + strings.Join(e.Nearest, ", ")
	}
	return "nobody has this name"
}
