package wire

// The states of a connection.
const (
	StateStarting        = "starting"
	StateAwaitingScan    = "awaiting_scan"
	StateAwaitingConfirm = "awaiting_confirm"
	StateAwaitingCode    = "awaiting_code"
	StateConnecting      = "connecting"
	StateConnected       = "connected"
	StateReconnecting    = "reconnecting"
	StateLoggedOut       = "logged_out"
	StateBlocked         = "blocked"
	StateStopped         = "stopped"
)

// The values of Connection.Sending.
const (
	SendingFlowing = "flowing"
	SendingSlowed  = "slowed"  // throttled by WeChat
	SendingRamping = "ramping" // after a recovery
	SendingHeld    = "held"    // the breaker is open: messages are kept
	SendingPaused  = "paused"  // by an operator, or because the identity changed
)
