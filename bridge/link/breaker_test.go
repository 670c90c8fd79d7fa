package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"wechat-bridge/classifier"
)

var (
	netLost  = classifier.JudgeError(refusedConnection())
	sessOver = classifier.Judge(fault(classifier.OpSyncCheck, 1101))
	tooOften = classifier.Judge(fault(classifier.OpSend, 1205))
)

func mustAdmit(t *testing.T, b *breaker) func(error) {
	t.Helper()
	done, err := b.admit()
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// How hard a fault is reaches ReadyToTrip through IsSuccessful. That both run
// under gobreaker's lock, one right after the other, is what this pins: with
// many reporters at once a soft fault must never trip for a hard one, nor a
// hard one be missed.
func TestHardnessReachesReadyToTrip(t *testing.T) {
	for range 200 {
		opened := make(chan classifier.Verdict, 8)
		b := newBreaker("default", func(v classifier.Verdict) { opened <- v })
		soft, hard := mustAdmit(t, b), mustAdmit(t, b)
		start, ended := make(chan struct{}), make(chan struct{}, 2)
		go func() { <-start; soft(report(netLost)); ended <- struct{}{} }()
		go func() { <-start; hard(report(sessOver)); ended <- struct{}{} }()
		close(start)
		<-ended
		<-ended
		if b.closed() {
			t.Fatal("a final verdict left the breaker closed")
		}
		if v := <-opened; v.Code != sessOver.Code {
			t.Fatalf("opened by %s", v.Code)
		}
	}
}

func TestOneSoftFaultAfterAHardOneElsewhereDoesNotTrip(t *testing.T) {
	b := newBreaker("default", func(classifier.Verdict) {})
	b.hard = true // as a late hard report of an old generation could leave it
	mustAdmit(t, b)(report(netLost))
	if !b.closed() {
		t.Error("a soft fault tripped by an earlier one's hardness")
	}
}

func TestWhatOpensTheBreaker(t *testing.T) {
	ok, bad, slow, cancelled := classifier.Verdict{}, netLost, tooOften, classifier.JudgeError(context.Canceled)
	for name, tc := range map[string]struct {
		reports []classifier.Verdict
		open    bool
	}{
		"one fault":               {[]classifier.Verdict{bad}, false},
		"two in a row":            {[]classifier.Verdict{ok, bad, bad}, false},
		"three in a row":          {[]classifier.Verdict{bad, bad, bad}, true},
		"excluded between":        {[]classifier.Verdict{bad, slow, bad, cancelled, bad}, true},
		"good between":            {[]classifier.Verdict{bad, bad, ok, bad}, false},
		"half of many":            {[]classifier.Verdict{ok, bad, ok, bad, ok, bad, ok, bad}, false},
		"60 % of five":            {[]classifier.Verdict{bad, ok, bad, ok, bad}, true},
		"60 % of four is too few": {[]classifier.Verdict{ok, bad, bad}, false},
		"excluded never count":    {[]classifier.Verdict{slow, slow, slow, slow, slow, cancelled}, false},
		"session over":            {[]classifier.Verdict{ok, ok, sessOver}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker("default", func(classifier.Verdict) {})
			for i, v := range tc.reports {
				if !b.closed() {
					t.Fatalf("open before report %d", i)
				}
				mustAdmit(t, b)(report(v))
			}
			if b.closed() == tc.open {
				t.Errorf("closed %v, counts %+v", b.closed(), b.status())
			}
		})
	}
}

func TestRequestsInFlightDoNotDiluteTheShareOfFaults(t *testing.T) {
	b := newBreaker("default", func(classifier.Verdict) {})
	for range 20 { // long polls and sends that are still open
		mustAdmit(t, b)
	}
	for _, v := range []classifier.Verdict{netLost, {}, netLost, {}, netLost} {
		mustAdmit(t, b)(report(v))
	}
	if b.closed() {
		t.Errorf("closed: %+v", b.status())
	}
}

func TestOnlyTheLinkMovesAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker("default", func(classifier.Verdict) {})
		b.trip(netLost)
		if _, err := b.probe(); err != gobreaker.ErrOpenState {
			t.Errorf("probe at once: %v", err)
		}
		pass(time.Hour)
		for range 3 {
			if _, err := b.admit(); err != ErrHeld {
				t.Errorf("admit while open: %v", err)
			}
			_ = b.status()
		}
		if b.state() != gobreaker.StateOpen {
			t.Errorf("state %v: looking at it moved it", b.state())
		}
		done, err := b.probe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.probe(); err != gobreaker.ErrTooManyRequests {
			t.Errorf("second probe: %v", err)
		}
		if _, err := b.admit(); err != ErrHeld {
			t.Errorf("admit while half-open: %v", err)
		}
		done(outcome{verdict: tooOften, probe: true})
		if b.state() != gobreaker.StateOpen {
			t.Errorf("state %v after a probe that was answered 'too often'", b.state())
		}
		pass(2 * time.Second)
		if done, err = b.probe(); err != nil {
			t.Fatal(err)
		}
		done(nil)
		if !b.closed() {
			t.Errorf("state %v after a good probe", b.state())
		}
	})
}

func TestFaultsOfAMinuteAgoDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker("default", func(classifier.Verdict) {})
		for range 2 {
			mustAdmit(t, b)(report(netLost))
		}
		pass(70 * time.Second)
		for range 2 {
			mustAdmit(t, b)(report(netLost))
		}
		if !b.closed() {
			t.Errorf("open: %+v", b.status())
		}
	})
}

func TestLateReportsOfAnOldGenerationAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker("default", func(classifier.Verdict) {})
		late := mustAdmit(t, b)
		b.trip(netLost)
		pass(2 * time.Second)
		done, err := b.probe()
		if err != nil {
			t.Fatal(err)
		}
		late(nil) // a success of the lost connection must not close it
		if b.closed() {
			t.Error("closed by a late report")
		}
		done(nil)
		late(report(sessOver))
		if !b.closed() {
			t.Error("opened by a late report")
		}
	})
}
