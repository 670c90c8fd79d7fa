package wire

import "errors"

// ErrFull says that a queue has no room now; what was to be stored is not.
var ErrFull = errors.New("the queue is full")
