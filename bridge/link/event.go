package link

import (
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// kind names an event of the machine.
type kind int

const (
	evStart         kind = iota // memory is loaded
	evTimer                     // a planned moment has come
	evJump                      // the machine slept, or a clock was set
	evAllowed                   // the breaker lets an attempt through
	evRefused                   // it does not, yet
	evStep                      // a login asks a person for something
	evLogin                     // a rung gave a session
	evLoginFault                // a rung failed
	evPoll                      // WeChat answered a poll
	evHeld                      // WeChat holds the first poll instead of refusing it
	evPollFault                 // a poll failed
	evTaken                     // the sink has stored the batch
	evTakeFault                 // storage is away
	evProbe                     // the cheap request was answered
	evProbeFault                // the cheap request failed, or there is none
	evOpened                    // the breaker opened while it was closed
	evSend                      // the outcome of a send that was not good
	evRamped                    // the ramp is over; for those who look, not for the machine
	evLoginCommand              // a person asks for a login
	evLogoutCommand             // a person asks for a logout
	evLogoutDone                // the logout and the forgetting have ended
	evPauseCommand              // an operator holds sends
	evResumeCommand             // an operator lets them go, and agrees to the identity
	evStop                      // Run's context has ended
)

// event is something that happened. gen is the attempt or session it belongs
// to; what belongs to an older one is dropped.
type event struct {
	kind     kind
	gen      uint64
	verdict  classifier.Verdict
	noRung   bool          // evLoginFault: the transport has no such step
	missing  bool          // evProbeFault: the session has no cheap request
	force    bool          // evLoginCommand
	filled   bool          // evPoll: there is something to take
	lasted   time.Duration // evPoll: how long it took; evRefused: how long the breaker stays shut; evJump: how far the clocks are apart
	step     wechat.LoginStep
	identity wechat.Identity
	rung     wechat.Rung       // evLoginFault: which one failed; for the report
	fault    *classifier.Fault // of a fault, if the transport told one; for the report
	memory   memory            // evStart

	session wechat.Session // evLogin; for the loop, not for the machine
	batch   wechat.Batch   // evPoll; for the loop, not for the machine
	answer  chan<- error   // of commands; for the loop, not for the machine
}

// does names an effect.
type does int

const (
	fxAllow  does = iota // ask the breaker for a probe
	fxSettle             // end the breaker's probe with a verdict (zero = good)
	fxTrip               // open the breaker
	fxClimb              // take a rung
	fxPoll               // wait for what happens
	fxTake               // hand the batch to the sink
	fxProbe              // make the cheap request
	fxClose              // close the session and end what works on it
	fxLogout             // log out and forget the session
	fxSave               // store the memory
	fxAnswer             // answer a command
)

// effect is something to do.
type effect struct {
	does    does
	rung    wechat.Rung
	first   bool // fxPoll: the poll that proves a login; fxProbe: within the breaker's probe
	slowly  bool // fxSettle: sends ramp up
	verdict classifier.Verdict
	err     error
}
