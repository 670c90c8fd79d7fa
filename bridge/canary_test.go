package bridge

import (
	"strings"
	"testing"

	"wechat-bridge/bridge/sim"
)

// With a canary the business level is a fact that is not older than its
// interval, and a WeChat that takes nothing is seen without a user's message.
func TestCanaryMeasuresTheBusiness(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.Canary = canaryMin
	r.start()
	r.awaitConnected()
	r.eventually("two canaries arrive, and business is good", func() bool {
		sent := r.sim.Sent()
		_, h := r.health()
		return len(sent) >= 2 && sent[0].To == "filehelper" && strings.Contains(sent[0].Content, "canary") && h.Business.Status == "pass"
	})
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "status", Status: 502})
	r.eventually("the faults show", func() bool {
		_, h := r.health()
		return h.Business.Status != "pass"
	})
}
