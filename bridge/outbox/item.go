package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// item is one accepted delivery as buffer and parking keep it: all that the
// courier needs, so that nothing else has to be read to send it.
type item struct {
	ID        string         `json:"id"`
	Key       string         `json:"key"`
	StreamSeq uint64         `json:"seq"` // of the command in WECHAT_SEND
	At        time.Time      `json:"at"`  // when NATS stored the command
	Expires   time.Time      `json:"exp"`
	Digest    string         `json:"dig"`
	To        wire.Recipient `json:"to"`

	Kind       wire.Kind  `json:"kind"`
	Text       string     `json:"text,omitempty"`
	Link       *wire.Link `json:"link,omitempty"`
	Media      *kept      `json:"media,omitempty"`
	Mention    []string   `json:"mention,omitempty"`
	MentionAll bool       `json:"all,omitempty"`
	Revoke     string     `json:"revoke,omitempty"` // the key of the earlier send
	Report     bool       `json:"report,omitempty"` // on_unknown: report
	High       bool       `json:"high,omitempty"`   // priority: high

	List   string `json:"list,omitempty"` // the list's id; empty for a single delivery
	Part   int    `json:"part,omitempty"`
	Parts  int    `json:"parts,omitempty"`
	Rec    uint64 `json:"rec,omitempty"`    // sequence of the chain's last record when this was stored; 0 = look
	Waited bool   `json:"waited,omitempty"` // that record is waiting
	// WaitUntil is how long a recipient that is not visible is waited for.
	WaitUntil time.Time `json:"until,omitzero"`
}

// kept is a medium that rests under out/, or will: it is there before the
// command is acknowledged.
type kept struct {
	Object string `json:"object"`
	Name   string `json:"name"`
}

// order is the position in the order in which a chat is served: by priority,
// then by acceptance.
type order struct {
	low  bool
	seq  uint64
	part int
}

func (o order) less(p order) bool {
	switch {
	case o.low != p.low:
		return p.low
	case o.seq != p.seq:
		return o.seq < p.seq
	}
	return o.part < p.part
}

func (i *item) order() order { return order{!i.High, i.StreamSeq, i.Part} }

func priorityOf(high bool) string {
	if high {
		return wire.PriorityHigh
	}
	return wire.PriorityNormal
}

func (i *item) query() wechat.Query {
	return wechat.Query{
		Name: i.To.Name, ID: i.To.ID, Remark: i.To.Remark, Nickname: i.To.Nickname,
		Alias: i.To.Alias, Room: i.To.Room, Type: wechat.PeerType(i.To.Type),
	}
}

// encode leaves <, > and & as they are: escaped, a text could outgrow what NATS
// takes.
func (i *item) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(i); err != nil {
		return nil, fmt.Errorf("encode delivery: %w", err)
	}
	return b.Bytes(), nil
}

// size is about that of its encoding, in bytes.
func (i *item) size() int { return 1<<10 + len(i.Text) }

var errNoItem = errors.New("this is no delivery")

// decodeItem reads a delivery. What intake can't have written is none: who
// follows it would wait for ever for a chain that cannot exist.
func decodeItem(body []byte) (*item, error) {
	var i item
	if err := json.Unmarshal(body, &i); err != nil {
		return nil, fmt.Errorf("decode delivery: %w", err)
	}
	if i.At.IsZero() || i.StreamSeq == 0 || !i.named() || !i.filled() {
		return nil, errNoItem
	}
	return &i, nil
}

// named reports that id and key are those of a command or of a list's part.
func (i *item) named() bool {
	if i.List == "" {
		return wire.ValidID(i.ID) && i.Key == wire.Key(i.ID)
	}
	return wire.ValidID(i.List) && i.Part >= 1 && i.Part <= i.Parts && i.Parts <= wire.MaxRecipients &&
		i.ID == wire.PartID(i.List, i.Part) && i.Key == wire.PartKey(wire.Key(i.List), i.Part)
}

// filled reports that there is the content that the kind needs.
func (i *item) filled() bool {
	switch i.Kind {
	case wire.KindText:
		return i.Text != ""
	case wire.KindLink:
		return i.Link != nil
	case wire.KindRevoke:
		return revokable.MatchString(i.Revoke)
	case wire.KindImage, wire.KindFile, wire.KindVideo, wire.KindVoice, wire.KindEmoticon:
		return i.Media != nil && i.Media.Object != ""
	}
	return false
}

// revokable are the keys of single deliveries and of parts.
var revokable = regexp.MustCompile(`^[A-Za-z0-9_~-]{1,72}$`)

// clientID is WeChat's ClientMsgId of a delivery: 17 digits that do not begin
// with 0, the same on every attempt and after every crash.
func clientID(account, key string, streamSeq uint64) string {
	sum := sha256.Sum256([]byte(account + "\x00" + key + "\x00" + strconv.FormatUint(streamSeq, 10)))
	const low = 10_000_000_000_000_000
	return strconv.FormatUint(low+binary.BigEndian.Uint64(sum[:8])%(9*low), 10)
}

// token makes an opaque queue name of the parking for a delivery's priority.
func (i *item) token(kind string, of []byte) string {
	sum := sha256.Sum256(of)
	return priorityOf(i.High) + "." + kind + hex.EncodeToString(sum[:10])
}

func (i *item) laneToken(peer string, n int) string {
	return i.token("l", []byte(strconv.Itoa(n)+peer))
}

func (i *item) recipientToken() string { return i.token("u", i.To.JSON()) }
