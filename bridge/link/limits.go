package link

import (
	"time"

	"wechat-bridge/classifier"
)

// Limits bound what the link asks of WeChat. Zero fields take the defaults.
type Limits struct {
	LoginsPerHour int           // new logins by push or QR; default 6
	LoginsPerDay  int           // default 20, at most 256
	QRRenewals    int           // codes after the first that nobody scanned; default 10
	Base          time.Duration // first back-off; default 1 s
	Cap           time.Duration // longest back-off; default 60 s
	Stable        time.Duration // good polls for so long end an outage; default 2 m
	Slack         time.Duration // silence beyond the hold time that is a loss; default 10 s
	Ramp          int           // sends in flight at which the ramp after an outage ends; default 8
}

// What is not worth a setting.
const (
	breakerTimeout = time.Second
	// floor is the shortest wait before an attempt: the breaker lets a probe
	// through only after its time-out.
	floor        = breakerTimeout + 50*time.Millisecond
	refusedPause = 10 * time.Millisecond // after the breaker's time-out, which is not exact
	maxTold      = time.Hour             // a server that asks for a longer wait is asked again after this
	qrPause      = 5 * time.Second
	qrPauseMax   = 5 * time.Minute
	slowTime     = time.Minute // how long "too often" is shown without a told wait
	takeCap      = 30 * time.Second
	heldTime     = 250 * time.Millisecond // WeChat refuses a poll sooner than that
	quickPoll    = 100 * time.Millisecond // an empty poll that ends sooner was not held
	quickMax     = 5 * time.Second
	patience     = 3 // faults in a row that are a loss
)

func (l Limits) withDefaults() Limits {
	setInt := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	set := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	setInt(&l.LoginsPerHour, 6)
	setInt(&l.LoginsPerDay, 20)
	l.LoginsPerDay = min(l.LoginsPerDay, maxLogins)
	setInt(&l.QRRenewals, 10)
	set(&l.Base, time.Second)
	set(&l.Cap, time.Minute)
	set(&l.Stable, 2*time.Minute)
	set(&l.Slack, 10*time.Second)
	setInt(&l.Ramp, 8)
	return l
}

// backoff is the wait after n earlier failures with full jitter: rnd in [0,1)
// of base·2ⁿ, at most limit.
func backoff(base, limit time.Duration, n int, rnd float64) time.Duration {
	d := limit
	if n < 32 && base<<n > 0 && base<<n < limit {
		d = base << n
	}
	return time.Duration(rnd * float64(d))
}

// doubling is base·2ⁿ, at most limit, without jitter.
func doubling(base, limit time.Duration, n int) time.Duration {
	if n < 32 && base<<n > 0 && base<<n < limit {
		return base << n
	}
	return limit
}

// told is the wait that a server asked for: none where it makes no sense, and
// never longer than maxTold, whatever it says.
func told(v classifier.Verdict) time.Duration { return min(max(v.Wait, 0), maxTold) }
