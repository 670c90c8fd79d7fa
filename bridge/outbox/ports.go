// Package outbox is one delivery's life: intake validates, claims and stores a
// command; the courier gates, paces and sends; the chain writes the records;
// the parking keeps what a lane or a chat cannot take now.
//
// It sees NATS and WeChat only through the ports of this file. Their errors are
// waited out, but for wire.ErrFull and wire.ErrInvalid.
package outbox

import (
	"context"
	"errors"
	"io"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// Inlet is a queue that is read in order: wechat.send.<account> for intake,
// wechat.outbox.<account>.<priority> for the courier. Unacknowledged messages
// come again, in order, to a later reader.
type Inlet interface {
	// Fetch waits for at least one message and returns those that are there,
	// at most max, and not many bytes more than 8 MiB.
	Fetch(ctx context.Context, max int) ([]wire.Stored, error)
	// Done acknowledges one message and waits for the server's answer.
	Done(ctx context.Context, seq uint64) error
}

// Commands is the inlet of intake.
type Commands interface {
	Inlet
	// Waits tells whether a message is still in the queue, acknowledged by
	// nobody.
	Waits(ctx context.Context, seq uint64) (bool, error)
}

// Ledger holds the chains of records, one subject per key.
type Ledger interface {
	// Last gives the last record of a key; Seq 0 when there is none.
	Last(ctx context.Context, key string) (wire.Stored, error)
	// Append writes the next record if rec.After still is the last sequence of
	// its key (rec.Token). stored is false if somebody was first.
	Append(ctx context.Context, rec wire.Stored) (seq uint64, stored bool, err error)
	// AppendAll writes all or nothing (at most 200 records).
	AppendAll(ctx context.Context, recs []wire.Stored) (stored bool, err error)
	// Newest gives the records of all keys since a moment, oldest first, as far
	// as they are among the newest n of the stream.
	Newest(ctx context.Context, since time.Time, n int) ([]wire.Stored, error)
}

// Buffer is WECHAT_OUTBOX: accepted deliveries that wait for the courier.
type Buffer interface {
	// Store writes all or nothing, in order; Token is the priority. It returns
	// the sequence of the last one. A full buffer is wire.ErrFull.
	Store(ctx context.Context, items []wire.Stored) (last uint64, err error)
	// Sweep looks at what waits with a priority ("" for each), without taking
	// it, from a sequence on.
	Sweep(ctx context.Context, priority string, from uint64, visit func(wire.Stored) error) error
	// Next gives the first that waits from a sequence on; Seq 0 if none.
	Next(ctx context.Context, from uint64) (wire.Stored, error)
	// Remove deletes one message by sequence; a missing one is no error.
	Remove(ctx context.Context, seq uint64) error
	// Count is the number of deliveries that wait.
	Count(ctx context.Context) (uint64, error)
}

// Parking is WECHAT_PARKED: deliveries whose lane is full or closed, one queue
// per token, read head by head. A token is a priority and a name, with a dot
// between.
type Parking interface {
	Park(ctx context.Context, item wire.Stored) error // Token is the queue
	// Head gives the first message of a token after a sequence; Seq 0 if none.
	Head(ctx context.Context, token string, after uint64) (wire.Stored, error)
	Remove(ctx context.Context, seq uint64) error
	// Tokens lists the queues that hold something.
	Tokens(ctx context.Context) ([]string, error)
	Sweep(ctx context.Context, priority string, from uint64, visit func(wire.Stored) error) error
	Next(ctx context.Context, from uint64) (wire.Stored, error)
}

// Objects reads what users put into wechat_uploads and keeps media that rest
// until they are sent, in wechat_media under out/.
type Objects interface {
	// Upload opens a user's object. A missing one is fs.ErrNotExist, a link
	// fs.ErrInvalid; any other error is NATS's and is waited out.
	Upload(ctx context.Context, name string) (size int64, open func(context.Context) (io.ReadCloser, error), err error)
	// Keep stores bytes under out/<name> once; the same name again is no error.
	// A full store is wire.ErrFull.
	Keep(ctx context.Context, name string, r io.Reader) error
	// Kept opens what Keep stored; errors as of Upload.
	Kept(ctx context.Context, name string) (size int64, open func(context.Context) (io.ReadCloser, error), err error)
	// Remove removes what Keep stored, also while the store is full; a missing
	// one is no error.
	Remove(ctx context.Context, name string) error
}

// Gate is the link: nothing goes to WeChat without Admit.
type Gate interface {
	// Wait returns when a send could be admitted; with a context that has
	// ended it tells at once: nil if one could be admitted now.
	Wait(ctx context.Context) error
	// Admit lets one send through. The report function must be called exactly
	// once with what the outcome means; the zero verdict is success.
	Admit() (wechat.Sender, func(classifier.Verdict), error)
}

// Notice is a delivery as it goes out over the fallback channels.
type Notice struct {
	ID         string
	To         string // as the user wrote it, in words
	Kind       wire.Kind
	Text       string
	Link       *wire.Link
	MediaName  string // its bytes stay here
	AcceptedAt time.Time
}

// Fallback are the channels that do not need WeChat.
type Fallback interface {
	// Send tries each channel once, within a minute. nil: one of them took it.
	// ErrNotOut: surely none of them has it. Any other error: one may have it.
	Send(ctx context.Context, n Notice) error
}

// ErrNotOut says that surely no fallback channel has a delivery.
var ErrNotOut = errors.New("no fallback channel took it")

// Peers is the directory.
type Peers interface {
	Resolve(q wechat.Query) (wechat.Peer, error)
	ResolveMember(room, name string) (wechat.Peer, error)
	Changed() <-chan struct{}
	Generation() uint64
}
