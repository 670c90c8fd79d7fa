package monitor

import (
	"fmt"
	"testing"
	"time"
)

func TestEqualThingsAreToldOfLogarithmically(t *testing.T) {
	var tally Tally[string]
	begin := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	now, told := begin, 0
	for n := 1; n <= 100_000; n++ {
		now = begin.Add(time.Duration(n) * 600 * time.Microsecond)
		s, tell := tally.Note("x", now)
		if s.Count != n || !s.Last.Equal(now) || !s.First.Equal(begin.Add(600*time.Microsecond)) {
			t.Fatalf("the %dth is %+v", n, s)
		}
		if tell {
			told++
		}
	}
	if told != 17 {
		t.Errorf("told %d times", told)
	}
	rest := tally.Quiet(now.Add(time.Minute), time.Minute)
	if s := rest["x"]; len(rest) != 1 || s.Count != 100_000 {
		t.Errorf("the rest is %+v", rest)
	}
	if rest = tally.Quiet(now.Add(time.Hour), time.Minute); len(rest) != 0 {
		t.Errorf("the rest a second time: %+v", rest)
	}
}

func TestASeriesEndsWhenItIsQuiet(t *testing.T) {
	var tally Tally[string]
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	tally.Note("x", now)
	if s, _ := tally.Note("x", now.Add(seriesEnd)); s.Count != 2 {
		t.Errorf("the second is %+v", s)
	}
	s, tell := tally.Note("x", now.Add(2*seriesEnd+1))
	if s.Count != 1 || !tell || s.First.Equal(now) {
		t.Errorf("after a quiet time it is %+v, told %v", s, tell)
	}
}

func TestATallyIsBounded(t *testing.T) {
	var tally Tally[string]
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	for n := range 10 * tallySize {
		tally.Note(fmt.Sprint(n), now.Add(time.Duration(n)*time.Millisecond))
	}
	all := tally.All()
	if len(all) != tallySize || all[0].Key != fmt.Sprint(10*tallySize-1) {
		t.Errorf("%d series, the newest %q", len(all), all[0].Key)
	}
}
