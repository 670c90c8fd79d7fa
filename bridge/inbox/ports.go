// Package inbox turns what WeChat tells into events: media first into the
// object store, then the event, then the cursor.
package inbox

import (
	"context"
	"io"

	"wechat-bridge/bridge/wire"
)

// Events is WECHAT_EVENTS of one account.
type Events interface {
	// Publish stores one event on wechat.events.<account>.<kind> (Token is the
	// kind). A message id that was stored before is dropped: fresh is false.
	Publish(ctx context.Context, e wire.Stored) (fresh bool, err error)
}

// Media is wechat_media.
type Media interface {
	// Put stores a medium under a name; the same name again replaces it.
	Put(ctx context.Context, name string, r io.Reader) (size int64, sha256 string, err error)
}
