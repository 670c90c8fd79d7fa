package link

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestSendFaultsOpenTheBreakerAndLateReportsAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		var reports []func(classifier.Verdict)
		for range 8 {
			_, report, err := r.Admit()
			if err != nil {
				t.Fatal(err)
			}
			reports = append(reports, report)
		}
		lost := classifier.JudgeError(refusedConnection())
		for _, report := range reports[:3] {
			report(lost)
		}
		if _, _, err := r.Admit(); err != ErrHeld {
			t.Errorf("Admit: %v, want ErrHeld at once", err)
		}
		r.until(Reconnecting, time.Millisecond)
		r.until(Connected, 10*time.Second)
		for _, report := range reports[3:] { // of the session that was lost
			report(lost)
			report(lost)
		}
		pass(time.Minute)
		if got := r.states(); !cmp.Equal(got, []State{Starting, Connecting, Connected, Reconnecting, Connected}) {
			t.Errorf("states %v", got)
		}
		if f.worst != 1 {
			t.Errorf("%d sessions open", f.worst)
		}
	})
}

func TestWhatSaysNothingAboutTheConnectionIsNoLoss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		for _, v := range []classifier.Verdict{
			classifier.Judge(fault(classifier.OpSend, -1)),
			classifier.Judge(fault(classifier.OpSend, 1205)),
			classifier.JudgeError(context.Canceled),
			classifier.Judge(fault(classifier.OpSend, 999)),
		} {
			for range 10 {
				_, report, err := r.Admit()
				if err != nil {
					t.Fatal(err)
				}
				report(v)
			}
		}
		pass(time.Second)
		if s := r.Status(); s.State != Connected || s.Sending != Slowed {
			t.Errorf("status %+v", s)
		}
	})
}

func TestGoodPollsResetTheRunOfSendFaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		lost := classifier.JudgeError(refusedConnection())
		for range 6 { // two faults, then a poll's answer
			for range 2 {
				_, report, err := r.Admit()
				if err != nil {
					t.Fatal(err)
				}
				report(lost)
			}
			pass(61 * time.Second)
		}
		if got := r.states(); !cmp.Equal(got, []State{Starting, Connecting, Connected}) {
			t.Errorf("states %v", got)
		}
	})
}

func TestAFinalVerdictOfASendOpensAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		_, report, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		report(classifier.Judge(fault(classifier.OpSend, 1101)))
		if s := r.until(Reconnecting, time.Millisecond); s.Reason.Code != "logged_out_by_phone" {
			t.Errorf("reason %+v", s.Reason)
		}
	})
}

func TestSendsInFlightMayEndBeforeTheSessionIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		send, report, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		_, last, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		last(sessOver)
		r.until(Reconnecting, time.Millisecond)
		pass(3 * time.Second)
		if f.open != 1 || len(f.climbs) != 1 {
			t.Errorf("%d sessions open, climbs %v: a send is in flight", f.open, f.climbs)
		}
		if _, err := send.Send(t.Context(), wechat.Outgoing{}); err != nil {
			t.Error(err)
		}
		report(classifier.Verdict{})
		pass(time.Second)
		if f.open != 1 || len(f.climbs) != 2 { // the next one
			t.Errorf("%d sessions open, climbs %v", f.open, f.climbs)
		}
	})
}

func TestASendThatNeverEndsHoldsUpNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		if _, _, err := r.Admit(); err != nil { // and never reported
			t.Fatal(err)
		}
		_, last, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		last(sessOver)
		r.until(Reconnecting, time.Millisecond)
		r.until(Connected, 20*time.Second)
	})
}
