package webwx

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

const (
	helperID        = "filehelper"
	contactRetryMax = 15 * time.Minute // for ever: without contacts nobody is found by name
	contactPages    = 200              // pages of one contact list, against a seq that never ends
	prefetchRooms   = 500              // rooms whose members are asked for unasked
)

// fixed are the accounts whose names never change (webwx).
var fixed = map[string]wechat.Peer{
	helperID:      {ID: helperID, Name: "文件传输助手", Type: wechat.Helper},
	"weixin":      {ID: "weixin", Name: "微信团队", Type: wechat.Service},
	"fmessage":    {ID: "fmessage", Name: "朋友推荐消息", Type: wechat.Service},
	"newsapp":     {ID: "newsapp", Name: "腾讯新闻", Type: wechat.Service},
	"qqmail":      {ID: "qqmail", Name: "QQ邮箱提醒", Type: wechat.Service},
	"medianote":   {ID: "medianote", Name: "语音记事本", Type: wechat.Service},
	"floatbottle": {ID: "floatbottle", Name: "漂流瓶", Type: wechat.Service},
}

// contact is a person, a room or a member as WeChat describes them.
type contact struct {
	UserName        string
	NickName        string
	RemarkName      string
	DisplayName     string // the name in a room
	Alias           string
	EncryChatRoomID string `json:"EncryChatRoomId"`
	VerifyFlag      int
	MemberList      []contact
}

const serviceFlag = 8 // bit of VerifyFlag (webwx: 8, 24, 136 are service accounts)

func isRoom(id string) bool { return strings.HasPrefix(id, "@@") }

// peer makes a peer of the directory; self is the account's own id.
func (c contact) peer(self string) wechat.Peer {
	p := wechat.Peer{
		ID: c.UserName, Name: decodeText(c.NickName), Remark: decodeText(c.RemarkName), Alias: c.Alias, Type: wechat.Friend,
	}
	if f, ok := fixed[c.UserName]; ok {
		p.Type = f.Type
		if p.Name == "" {
			p.Name = f.Name
		}
		return p
	}
	switch {
	case c.UserName == self:
		p.Type = wechat.Self
	case isRoom(c.UserName):
		p.Type = wechat.Room
	case c.VerifyFlag&serviceFlag != 0:
		p.Type = wechat.Service
	}
	return p
}

// member makes a peer of a room: called as the room calls them, and by the
// nickname as the second name.
func (c contact) member(self string) wechat.Peer {
	p := wechat.Peer{ID: c.UserName, Name: decodeText(c.NickName), Type: wechat.Member}
	if d := decodeText(c.DisplayName); d != "" && d != p.Name {
		p.Name, p.Alias = d, p.Name
	}
	if c.UserName == self {
		p.Type = wechat.Self
	}
	return p
}

// people fills the directory: the contact list once per login, rooms and
// strangers when somebody asks, in one goroutine and at a bounded pace.
type people struct {
	dir   *wechat.Directory
	line  *line
	self  wechat.Peer
	log   zerolog.Logger
	cfg   Config
	wake  chan struct{}
	tried chan struct{} // closed after the first try of the contact list

	loaded atomic.Bool

	// of the goroutine alone
	tries   int
	retryAt time.Time

	lookups lookups
	once    sync.Once
}

func newPeople(t *Transport, l *line, self wechat.Peer) *people {
	p := &people{
		dir: t.cfg.Directory, line: l, self: self, log: t.log, cfg: t.cfg,
		wake: make(chan struct{}, 1), tried: make(chan struct{}),
	}
	p.lookups.init()
	return p
}

// begin forgets the peers of an earlier login, whose ids mean nothing now, and
// puts in what init told.
func (p *people) begin(resumed *Session, recent []contact) {
	switch {
	case resumed == nil:
		p.dir.Begin()
	case resumed.people.loaded.Load():
		p.loaded.Store(true)
		p.firstTry()
	}
	p.dir.Put(p.self, fixed[helperID])
	p.put(recent)
}

// put takes over contacts, and the members of rooms where they are told.
func (p *people) put(list []contact) {
	peers := make([]wechat.Peer, 0, len(list))
	for _, c := range list {
		if c.UserName == "" || c.UserName == p.self.ID {
			continue
		}
		peers = append(peers, c.peer(p.self.ID))
		if isRoom(c.UserName) && len(c.MemberList) > 0 {
			p.putMembers(c)
		}
	}
	p.dir.Put(peers...)
}

func (p *people) putMembers(room contact) {
	list := make([]wechat.Peer, 0, len(room.MemberList))
	for _, m := range room.MemberList {
		list = append(list, m.member(p.self.ID))
	}
	p.dir.PutMembers(room.UserName, list)
}

// run loads the contact list and then answers look-ups until ctx ends.
func (p *people) run(ctx context.Context) {
	defer p.firstTry()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		p.step(ctx)
		if d, ok := p.nextIn(time.Now()); ok {
			timer.Reset(d)
		}
	}
}

func (p *people) firstTry() { p.once.Do(func() { close(p.tried) }) }

func (p *people) step(ctx context.Context) {
	now := time.Now()
	if !p.loaded.Load() && !now.Before(p.retryAt) {
		p.load(ctx)
		p.firstTry()
	}
	if p.lookups.due(now) {
		p.lookUp(ctx)
	}
}

// nextIn says when there is something to do next.
func (p *people) nextIn(now time.Time) (time.Duration, bool) {
	d, ok := p.lookups.nextIn(now)
	if !p.loaded.Load() {
		r := max(p.retryAt.Sub(now), 0)
		if !ok || r < d {
			d, ok = r, true
		}
	}
	return d, ok
}

// load fetches the contact list once. When WeChat refuses (1205), the
// directory stays loading and says why, and the next try is slow.
func (p *people) load(ctx context.Context) {
	p.tries++
	err := p.pages(ctx)
	switch {
	case err == nil:
		p.loaded.Store(true)
		p.dir.Loaded()
		p.prefetch()
	case ctx.Err() == nil:
		p.dir.Failed(err)
		p.retryAt = time.Now().Add(backoff(p.cfg.ContactRetry, contactRetryMax, p.tries-1, rand.Float64()))
		p.log.Warn().Err(err).Str("event", "contacts_failed").Int("attempt", p.tries).Time("retry_at", p.retryAt).
			Msg("the contact list could not be loaded; sending by id and receiving go on")
	}
}

// backoff doubles from base to most and takes a random part between one half
// and the whole; r is in [0,1).
func backoff(base, most time.Duration, n int, r float64) time.Duration {
	d := min(base<<min(n, 20), most)
	if d <= 0 {
		d = most
	}
	return d/2 + time.Duration(r*float64(d)/2)
}

type contactAnswer struct {
	envelope
	MemberList []contact
	Seq        int64
}

// pages goes through the contact list by Seq.
func (p *people) pages(ctx context.Context) error {
	var seq int64
	for range contactPages {
		ex := &exchange{op: classifier.OpContacts, limit: largeAnswer}
		var a contactAnswer
		err := p.line.ask(ctx, ex, p.line.times.quick, func(ctx context.Context) (*http.Response, error) {
			return p.line.lib.WebWxGetContact(ctx, p.line.login().SKey, seq)
		}, &a)
		if err != nil {
			return err
		}
		p.put(a.MemberList)
		if a.Seq == 0 || a.Seq == seq {
			return nil
		}
		seq = a.Seq
	}
	return nil
}

// prefetch asks for the members of the known rooms, so that they can be
// mentioned before anybody there said a word.
func (p *people) prefetch() {
	var rooms []string
	for _, peer := range p.dir.Peers() {
		if peer.Type == wechat.Room && len(rooms) < prefetchRooms && len(p.dir.Members(peer.ID)) == 0 {
			rooms = append(rooms, peer.ID)
		}
	}
	p.lookups.queue(rooms, false, time.Now())
}
