package outbox

import (
	"fmt"
	"testing"
	"time"

	"wechat-bridge/bridge/wire"
)

// BenchmarkWay is the cost of the outbox itself: command to final record and
// acknowledgements, on ports that cost almost nothing.
func BenchmarkWay(b *testing.B) {
	w := newWorld()
	for i := range b.N {
		w.commands.put(wire.Stored{Body: []byte(text(fmt.Sprint("k", i), fmt.Sprint("F", i%1000), "hello"))})
	}
	b.ReportAllocs()
	b.ResetTimer()
	w.start(b, 1, func(p *process, c *Config) {
		c.MaxInFlight = 256
		for i := range 1000 {
			p.peers.Put(friend(fmt.Sprint("@f", i), fmt.Sprint("F", i)))
		}
	})
	for {
		if x, y, z := w.left(); x+y+z == 0 {
			break
		}
		<-time.After(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
