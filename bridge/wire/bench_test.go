package wire

import (
	"testing"
	"time"
)

// The hot path of one delivery: parse, digest, canonical JSON, and the
// records that are sealed and opened.

func BenchmarkParseCommand(b *testing.B) {
	body := []byte(`{"id":"order-42","to":"文件传输助手","text":"hello, this is a usual message of some length"}`)
	b.ReportAllocs()
	for b.Loop() {
		c, r := ParseCommand(body, "")
		if r != nil || len(c.Digest()) == 0 || len(encode(c.canonical())) == 0 {
			b.Fatal(r)
		}
	}
}

func BenchmarkDelivery(b *testing.B) {
	now := time.Now()
	d := Delivery{Account: "default", ID: "order-42", State: Sending, Attempt: 1, To: Recipient{Name: "a"}.JSON(), AcceptedAt: &now, ExpiresAt: &now, StreamSeq: 1, Epoch: 1}
	b.ReportAllocs()
	for b.Loop() {
		body, err := SealDelivery(d, now, trace)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := OpenDelivery(body); err != nil {
			b.Fatal(err)
		}
	}
}
