package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// SealDelivery writes a delivery's record. Its event id is the key of the
// delivery's id, the command's sequence, the attempt and the state, so that
// one final record of a delivery has one id whoever writes it. States that can
// come again (all that are not final) add a hash of the record: the same
// record has the same id, another one never. Final is set from the state.
func SealDelivery(d Delivery, at time.Time, trace string) ([]byte, error) {
	if d.ID == "" || d.State == "" {
		return nil, errors.New("seal delivery: no id or no state")
	}
	d.Final = d.State.Final()
	body, err := marshal(d)
	if err != nil {
		return nil, fmt.Errorf("seal delivery: %w", err)
	}
	id := fmt.Sprintf("%s.%d.%d.%s", Key(d.ID), d.StreamSeq, d.Attempt, d.State)
	if !d.Final {
		id += "." + shortHash(body)
	}
	return seal(d.Account, TypeDelivery, id, d.ID, at, trace, body)
}

// SealConnection writes a record of the connection. The same state told again
// at another time is another record.
func SealConnection(c Connection, at time.Time) ([]byte, error) {
	return sealState(c.Account, TypeConnection, "connection", at, c)
}

// SealHeartbeat writes a heartbeat.
func SealHeartbeat(h Heartbeat, at time.Time) ([]byte, error) {
	return sealState(h.Account, TypeHeartbeat, "heartbeat", at, h)
}

func sealState(account, typ, name string, at time.Time, data any) ([]byte, error) {
	body, err := marshal(data)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	id := name + "." + strconv.FormatInt(at.UnixNano(), 10) + "." + shortHash(body)
	return seal(account, typ, id, name, at, "", body)
}

// SealMessage writes a message; id is the transport's, the same each time
// WeChat tells this message. Subject is the chat.
func SealMessage(id string, m Message, at time.Time) ([]byte, error) {
	return Seal(m.Account, TypeMessage, id, m.Chat.ID, at, "", m)
}

// SealRecall writes that a message was taken back.
func SealRecall(id string, r Recall, at time.Time) ([]byte, error) {
	return Seal(r.Account, TypeRecall, id, r.Chat.ID, at, "", r)
}

// SealFriend writes that somebody wants to be a friend.
func SealFriend(id string, f FriendRequest, at time.Time) ([]byte, error) {
	return Seal(f.Account, TypeFriend, id, f.From.ID, at, "", f)
}

// SealChange writes a change of a room or a contact; typ is TypeRoom or
// TypeContact.
func SealChange(typ, id string, c Change, at time.Time) ([]byte, error) {
	return Seal(c.Account, typ, id, c.Peer.ID, at, "", c)
}

// SealChat writes whether a chat can be written to.
func SealChat(id string, c Chat, at time.Time) ([]byte, error) {
	return Seal(c.Account, TypeChat, id, c.Chat.ID, at, "", c)
}

// SealGap writes that WeChat did not tell what happened in between.
func SealGap(id string, g Gap, at time.Time) ([]byte, error) {
	return Seal(g.Account, TypeGap, id, "", at, "", g)
}

func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:5])
}
