package bridge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"wechat-bridge/bridge/sim"
)

// randomNight is a script that a seed chooses: faults of every kind on every
// endpoint, the phone, kills, and load. All of it ends by itself.
func randomNight(seed uint64) sim.Script {
	g := nightDice{rand.New(rand.NewPCG(seed, 42))}
	sc := sim.Script{
		Name: fmt.Sprintf("random-%d", seed), Seed: seed, From: sim.FromLogin, Speed: 1, AutoLogin: sim.AutoAlways,
		Lasts: g.time(5*time.Minute, 40*time.Minute),
	}
	sc.Load.Sends = sim.Repeat{Every: g.time(3*time.Second, time.Minute)}
	sc.Load.Incoming = sim.Repeat{Every: g.time(15*time.Second, 3*time.Minute)}
	sc.Load.From = []string{"alice", "bob"}[g.IntN(2)]
	if g.chance(0.3) {
		sc.Load.Room = "team"
	}
	for range 1 + g.IntN(6) {
		f := g.fault()
		sc.Steps = append(sc.Steps, sim.Step{At: g.time(0, sc.Lasts*8/10), Fault: &f})
	}
	for g.chance(0.25) {
		sc.Steps = append(sc.Steps, sim.Step{At: g.time(0, sc.Lasts*8/10), Phone: g.phone()})
	}
	if g.chance(0.2) {
		at := g.time(0, sc.Lasts/2)
		sc.Steps = append(sc.Steps, sim.Step{At: at, Client: "kill"}, sim.Step{At: at + g.time(time.Second, 2*time.Minute), Client: "start"})
	}
	slices.SortStableFunc(sc.Steps, func(a, b sim.Step) int { return int(a.At - b.At) })
	return sc
}

// nightDice is a seeded source of choices.
type nightDice struct{ *rand.Rand }

func (g nightDice) chance(p float64) bool { return g.Float64() < p }

func (g nightDice) time(from, to time.Duration) time.Duration {
	return (from + time.Duration(g.Float64()*float64(to-from))).Round(time.Second)
}

var (
	nightEndpoints = [][]string{
		{"*"}, {"*"}, {"synccheck"}, {"webwxsync"}, {"synccheck", "webwxsync"}, {"webwxsendmsg"}, {"webwxsendmsg"},
		{"webwxinit"}, {"webwxstatusnotify"}, {"webwxgetcontact", "webwxbatchgetcontact"}, {"webwxbatchgetcontact"},
		{"jslogin"}, {"login"}, {"webwxnewloginpage"}, {"webwxpushloginurl"}, {"webwxinit", "webwxstatusnotify"},
	}
	nightCodes = []int{-1, 1, 2, 3, 1100, 1101, 1102, 1203, 1204, 1205, 9999}
	nightKinds = []string{
		"ret", "ret", "ret", "status", "html", "empty", "truncate", "reset", "hang", "delay", "refuse", "refuse", "accept_then_drop",
	}
)

func (g nightDice) fault() sim.Fault {
	f := sim.Fault{On: nightEndpoints[g.IntN(len(nightEndpoints))], Do: nightKinds[g.IntN(len(nightKinds))]}
	f.For = g.time(time.Second, 90*time.Second)
	if g.chance(0.4) {
		f.For = g.time(time.Minute, 15*time.Minute)
	}
	switch f.Do {
	case "ret":
		f.Ret = nightCodes[g.IntN(len(nightCodes))]
	case "status":
		f.Status = []int{404, 429, 500, 502, 503, 504}[g.IntN(6)]
	case "delay":
		f.Delay = g.time(time.Second, 40*time.Second)
	}
	if g.chance(0.3) {
		f.Probability = 0.1 + 0.8*g.Float64()
	}
	if g.chance(0.3) {
		f.Count = 1 + g.IntN(10)
	}
	return f
}

func (g nightDice) phone() *sim.Phone {
	return &sim.Phone{Do: "logout", Retcode: []int{1100, 1101, 1102}[g.IntN(3)], Forget: g.chance(0.5)}
}
