package outbox

import (
	"time"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// fallback is what a delivery's last record means for the fallback channels.
type fallback int

const (
	fallbackNow   fallback = iota // send it there
	fallbackLater                 // a send is under way: its answer comes first
	fallbackOver                  // nothing is to be done
	fallbackGone                  // a channel took it instead of WeChat: it is to be removed
)

// decideFallback judges a delivery that has waited for too long. One that WeChat
// may have got from a former process is sent there, too: whether it has is only
// known when the gate opens. A ledger that was cut cannot say that it did not go
// out there already.
func decideFallback(last *record, it *item, me worker, now time.Time) fallback {
	late := !it.Expires.IsZero() && !now.Before(it.Expires)
	switch {
	case last.of(it.command()) && last.State.Final() && last.Code == codeByFallback:
		return fallbackGone
	case last.Degraded || late:
		return fallbackOver
	case underway(last, it, me):
		return fallbackLater
	case !writable(last, it, me):
		return fallbackOver
	}
	return fallbackNow
}

// underway reports that this process waits for WeChat's answer.
func underway(last *record, it *item, me worker) bool {
	return last.of(it.command()) && last.State == wire.Sending && last.Epoch == me.epoch
}

// writable reports that a record of the fallback may follow.
func writable(last *record, it *item, me worker) bool {
	switch decidePosition(last, it.command(), me, 0) {
	case posReady:
		return true
	case posAmbiguous:
		return last.of(it.command()) && !underway(last, it, me)
	}
	return false
}

// fallbackRecord says how far the fallback is. All that the courier decides from
// stays: one that may have been sent by a former process is so still.
func fallbackRecord(last *record, base wire.Delivery, degraded bool, code, message string) wire.Delivery {
	p := progressOf(last)
	p.degraded = degraded
	d := p.on(base)
	d.State, d.Code, d.Message = wire.Waiting, code, message
	if code == codeFallbackFailed || code == codeFallbackUnknown {
		d.Class = string(classifier.Network)
	}
	if last.State == wire.Sending {
		d.State, d.Epoch, d.PeerID, d.Certain = wire.Sending, last.Epoch, last.PeerID, false
	}
	return d
}

// byFallback ends what a channel took instead of WeChat. Where WeChat may have it
// as well, that is unknown.
func byFallback(base wire.Delivery, last *record, now time.Time) wire.Delivery {
	p := progressOf(last)
	p.degraded = true
	state, message := wire.Cancelled, "A fallback channel took it instead of WeChat."
	if last.State == wire.Sending || p.dup {
		p.dup, state, message = true, wire.Unknown, "A fallback channel took it; it cannot be known whether WeChat has it, too."
	}
	d := final(p.on(base), state, now)
	d.Code, d.Message = codeByFallback, message
	return d
}
