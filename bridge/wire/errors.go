package wire

import "errors"

// ErrFull says that a queue has no room now; what was to be stored is not.
var ErrFull = errors.New("the queue is full")

// ErrInvalid says that something can never be done, such as a name that no
// subject can have: trying again is of no use.
var ErrInvalid = errors.New("this can never be done")
