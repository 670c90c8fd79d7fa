package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// memory is what outlives the process: without it a crash loop would be a
// login loop. Slices in it are never changed in place.
type memory struct {
	Version   int         `json:"version"`
	Attempt   int         `json:"attempt"`
	RetryAt   time.Time   `json:"retry_at,omitzero"`
	QRNumber  int         `json:"qr_number"`
	Logins    []time.Time `json:"logins"` // new logins of the last day, oldest first
	Blocked   string      `json:"blocked,omitempty"`
	LoggedOut bool        `json:"logged_out,omitempty"`
	Paused    bool        `json:"paused,omitempty"`
	// Identity is the one that the backlog belongs to.
	Identity     string `json:"identity,omitempty"`
	IdentityName string `json:"identity_name,omitempty"`
}

var errNewer = errors.New("the connection's memory was written by a newer program")

const (
	memoryVersion = 1
	maxLogins     = 256 // also the largest budget of a day
)

func (m memory) encode() ([]byte, error) {
	m.Version = memoryVersion
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the connection's memory: %w", err)
	}
	return b, nil
}

// decodeMemory reads what was stored and makes it safe to use: times in the
// future (the clock was set back) and values out of range are bounded. now's
// monotonic clock becomes the base of all times.
func decodeMemory(b []byte, now time.Time, limits Limits) (memory, error) {
	var m memory
	if len(b) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return memory{}, fmt.Errorf("read the connection's memory: %w", err)
	}
	if m.Version > memoryVersion {
		return memory{}, fmt.Errorf("%w: version %d, this program knows %d", errNewer, m.Version, memoryVersion)
	}
	m.Attempt = min(max(m.Attempt, 0), 1000)
	m.QRNumber = min(max(m.QRNumber, 0), limits.QRRenewals)
	if !m.RetryAt.IsZero() {
		m.RetryAt = now.Add(min(max(m.RetryAt.Sub(now), 0), maxTold))
	}
	m.Logins = recentLogins(m.Logins, now)
	if _, ok := classifier.Known(m.Blocked); m.Blocked != "" && !ok {
		m.Blocked = "restricted_account"
	}
	return m, nil
}

// recentLogins keeps those of the last day, oldest first and at most maxLogins.
// One in the future counts as of now, so that it ends like any other. They are
// wall times, as they outlive the process; jumped keeps them right.
func recentLogins(logins []time.Time, now time.Time) []time.Time {
	now = now.Round(0)
	var kept []time.Time
	for _, t := range logins {
		if age := max(now.Sub(t), 0); age < 24*time.Hour {
			kept = append(kept, now.Add(-age))
		}
	}
	slices.SortFunc(kept, time.Time.Compare)
	return kept[max(len(kept)-maxLogins, 0):]
}

func (m *memory) remember(id wechat.Identity) {
	m.Identity, m.IdentityName = id.ID, id.Name
}

// loginsLeft is how many new logins the budget allows now; freeAt is when the
// next one is allowed if none is left.
func loginsLeft(logins []time.Time, now time.Time, limits Limits) (left int, freeAt time.Time) {
	hour, hourFree := within(logins, now, time.Hour, limits.LoginsPerHour)
	day, dayFree := within(logins, now, 24*time.Hour, limits.LoginsPerDay)
	left = min(limits.LoginsPerHour-hour, limits.LoginsPerDay-day)
	if left > 0 {
		return left, time.Time{}
	}
	if dayFree.After(hourFree) {
		return 0, dayFree
	}
	return 0, hourFree
}

// within counts the logins of a window and says when there are fewer than
// limit again.
func within(logins []time.Time, now time.Time, window time.Duration, limit int) (n int, free time.Time) {
	var in []time.Time
	for _, t := range logins {
		if now.Sub(t) < window {
			in = append(in, t)
		}
	}
	if len(in) >= limit {
		free = in[len(in)-limit].Add(window)
	}
	return len(in), free
}
