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
