package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"wechat-bridge/bridge/wire"
)

// BenchmarkAppend is one record of a chain, 64 chains at a time.
func BenchmarkAppend(b *testing.B) {
	br := openBroker(b, startServer(b))
	l := account(b, br).Ledger()
	body := make([]byte, 300)
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			rec := wire.Stored{Token: fmt.Sprintf("k%d", n.Add(1)), Body: body}
			if _, stored, err := l.Append(context.Background(), rec); err != nil || !stored {
				b.Error(stored, err)
				return
			}
		}
	})
}

// BenchmarkInlet reads and acknowledges, 64 at a time.
func BenchmarkInlet(b *testing.B) {
	br := openBroker(b, startServer(b))
	for range b.N {
		if _, err := br.conn.JS.PublishAsync("wechat.send", []byte("0123456789")); err != nil {
			b.Fatal(err)
		}
	}
	<-br.conn.JS.PublishAsyncComplete()
	in := account(b, br).Intake()
	defer in.Close()
	places := make(chan struct{}, 64)
	var wg sync.WaitGroup
	b.ResetTimer()
	for n := 0; n < b.N; {
		msgs, err := in.Fetch(context.Background(), 256)
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range msgs {
			places <- struct{}{}
			wg.Go(func() {
				if err := in.Done(context.Background(), m.Seq); err != nil {
					b.Error(err)
				}
				<-places
			})
		}
		n += len(msgs)
	}
	wg.Wait()
}
