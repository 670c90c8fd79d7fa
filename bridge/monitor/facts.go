// Package monitor shows how the bridge is: three levels of health, decided by
// one pure function from facts, and the HTTP endpoints that tell them.
//
// It is read-only: it knows no way to change anything.
package monitor

import (
	"time"

	"wechat-bridge/bridge/wire"
)

// Source gives the facts as they are now. Its methods must not block: a
// health check that hangs with what it checks tells nothing.
type Source interface {
	Process() Process
	Connection() wire.Connection
	Business() Business
}

// Process is what can be known without WeChat.
type Process struct {
	Started time.Time
	// Loops are those that must keep moving, whatever WeChat does.
	Loops []Loop
	NATS  Link
	// Lease is whether this worker serves the account; a standby does not.
	Lease Link
}

// Loop is one loop of the process and when it last went round.
type Loop struct {
	Name  string
	Beat  time.Time
	Limit time.Duration // no beat for longer: it hangs
}

// Link is something that is there or not.
type Link struct {
	OK     bool
	Since  time.Time // of OK, or of its absence
	Reason string    // why it is not there, a plain sentence
}

// Business is what can be known from sends.
type Business struct {
	LastSent time.Time // WeChat took a message; zero = never
	// LastFault is the last send or probe that failed for a reason that is not
	// the message's own (a wrong recipient does not count); zero = never.
	LastFault   time.Time
	Fault       string // its plain sentence
	FaultsInRow int    // since the last good one
}

// Facts are all of them at one moment.
type Facts struct {
	Process    Process
	Connection wire.Connection
	Business   Business
	// Silence is how long WeChat may say nothing: the poll's hold time and
	// slack. A pulse that is older proves nothing.
	Silence time.Duration
}

// DefaultSilence is the hold time of the web protocol and slack, 25 s + 10 s.
const DefaultSilence = 35 * time.Second

func gather(s Source, silence time.Duration) Facts {
	return Facts{Process: s.Process(), Connection: s.Connection(), Business: s.Business(), Silence: silence}
}
