package sim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// account is what the servers know of the one WeChat account: its world, its
// logins, and the log of what happened in its chats.
type account struct {
	opts   Options
	ledger *ledger
	media  *mediaStore
	ups    *uploadStore

	mu        sync.Mutex
	rng       *rand.Rand
	uin       int64
	self      Person
	people    map[string]*person
	order     []string // of people, as in the world
	rooms     map[string]*room
	roomOrder []string
	log       eventLog
	wake      chan struct{} // closed when anything happened that a poll may wait for

	pending []*qrLogin
	session *session   // the live login, nil if none
	past    []*session // ended ones, newest last, bounded
	logins  int
	devices map[string]bool // webwxuvid of browsers that the phone knows

	msgID   uint64
	keyBase uint64            // sync key = keyBase + position in the log
	told    uint64            // highest position that any login was told
	asked   map[string]string // friend request: ticket to person's id
	deduped map[string]string // recipient and ClientMsgId to MsgID
	drafted int               // numbers rooms and strangers that are made up
}

// person and room are what the world says of them, and what changed since.
type person struct {
	Person
	pinned bool
}

type room struct {
	Room
	pinned bool
	left   bool // the account is no member any more
}

// pastSessions bounds how many ended sessions are remembered as such.
const pastSessions = 64

func newAccount(opts Options, rng *rand.Rand, l *ledger) *account {
	w := opts.World
	a := &account{opts: opts, ledger: l, media: newMediaStore(), ups: newUploadStore(), rng: rng, self: w.Self,
		people: make(map[string]*person, len(w.People)), rooms: make(map[string]*room, len(w.Rooms)),
		wake: make(chan struct{}), devices: make(map[string]bool), asked: make(map[string]string),
		deduped: make(map[string]string)}
	_ = rng.Int64N(1_000_000_000)                                          // seeds of stored scripts count on a draw here
	a.uin = 1_000_000_000 + int64(stableNumber(w.Self.Name)%1_000_000_000) // the same person after a restart
	a.msgID = 1_000_000_000_000_000_000 + rng.Uint64N(1_000_000_000_000_000_000)
	a.keyBase = 600_000_000 + rng.Uint64N(100_000_000)
	for _, p := range w.People {
		a.people[p.ID] = &person{Person: p}
		a.order = append(a.order, p.ID)
	}
	for _, r := range w.Rooms {
		a.rooms[r.ID] = &room{Room: r.clone()}
		a.roomOrder = append(a.roomOrder, r.ID)
	}
	return a
}

// changed wakes all polls; called with mu held.
func (a *account) changed() {
	close(a.wake)
	a.wake = make(chan struct{})
}

// playAuto implements onlooker.
func (a *account) playAuto(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opts.AutoLogin = on
	a.changed()
}

// changes implements onlooker.
func (a *account) changes() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wake
}

// polling implements onlooker.
func (a *account) polling() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil || !a.session.polled {
		return 0
	}
	return a.session.number
}

// await holds until ready, called with mu held, says so. It returns false when
// the hold is over or the client is gone.
func (a *account) await(ctx context.Context, hold time.Duration, ready func() bool) bool {
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		a.mu.Lock()
		ok, wake := ready(), a.wake
		a.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-wake:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// newMsgID gives 19 digits, rising; called with mu held.
func (a *account) newMsgID() uint64 {
	a.msgID += 1 + a.rng.Uint64N(1_000_000_000)
	return a.msgID
}

// secret makes n random bytes; base64 brings + / = with it, as WeChat's values do.
func (a *account) secret(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.rng.Uint32())
	}
	return b
}

func (a *account) secret64(n int) string { return base64.StdEncoding.EncodeToString(a.secret(n)) }

// session is one login. Its names are looked up with the account's mu held.
type session struct {
	number     int
	uin        string
	sid        string
	skey       string
	passTicket string // decoded; clients get it percent-encoded
	dataTicket string
	authTicket string
	device     string // webwxuvid
	host       string
	start      uint64 // position from which this login is told
	since      time.Time
	acked      uint64 // position of the newest sync key that the client showed
	notified   bool   // statusnotify code 3 came
	polled     bool   // its client asked what is new
	ended      int    // return code that all requests get; 0 while it lives

	salt  string
	names map[string]string // id to user name
	ids   map[string]string // user name to id
	pages *contactPages
}

func (a *account) newSession(device string) *session {
	a.logins++
	if device == "" {
		device = hex.EncodeToString(a.secret(16))
	}
	s := &session{
		number: a.logins, uin: strconv.FormatInt(a.uin, 10), sid: a.secret64(12) + "+/=",
		skey:       "@crypt_" + hex.EncodeToString(a.secret(4)) + "_" + hex.EncodeToString(a.secret(16)),
		passTicket: a.secret64(64) + "+/=", dataTicket: "gS" + a.secret64(18) + "+/=",
		authTicket: "CI" + a.secret64(36) + "+/=", device: device, host: a.opts.World.Host, since: time.Now(),
		salt: hex.EncodeToString(a.secret(16)), start: a.retellFrom(),
	}
	s.rename(a)
	return s
}

// retellFrom is the position in the log from which a new login is told.
func (a *account) retellFrom() uint64 {
	const most = 20
	end := a.log.end()
	from := end - min(most, end-a.log.first)
	switch a.opts.Retell {
	case "all":
		return from
	case "missed":
		return max(from, min(a.told, end))
	}
	return end
}

// rename makes user names for all people and rooms.
func (s *session) rename(a *account) {
	n := len(a.order) + len(a.roomOrder) + 8
	s.names, s.ids = make(map[string]string, n), make(map[string]string, n)
	for _, id := range []string{"filehelper", "fmessage", "newsapp", "weixin"} {
		s.names[id], s.ids[id] = id, id
	}
	s.name(selfID, false)
	for _, id := range a.order {
		s.name(id, false)
	}
	for _, id := range a.roomOrder {
		s.name(id, true)
	}
}

// name is the user name of an id in this login; made at the first call.
func (s *session) name(id string, room bool) string {
	if n, ok := s.names[id]; ok {
		return n
	}
	sum := sha256.Sum256([]byte(s.salt + id))
	n := "@" + hex.EncodeToString(sum[:16<<(sum[0]&1)]) // 32 or 64 digits: both are seen
	if room {
		n = "@@" + hex.EncodeToString(sum[:])
	}
	s.names[id], s.ids[n] = n, id
	return n
}

// end kicks the session out: from now on it gets ret.
func (a *account) endSession(ret int) {
	s := a.session
	if s == nil {
		return
	}
	s.ended, s.names, s.ids, s.pages = ret, nil, nil, nil
	a.session = nil
	a.past = append(a.past, s)
	if len(a.past) > pastSessions {
		a.past = append(a.past[:0], a.past[1:]...)
	}
	a.changed()
}

// bySid finds a session that lives or lived.
func (a *account) bySid(sid string) *session {
	if a.session != nil && a.session.sid == sid {
		return a.session
	}
	for _, s := range a.past {
		if s.sid == sid {
			return s
		}
	}
	return nil
}
