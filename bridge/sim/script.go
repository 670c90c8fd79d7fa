package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Values of Script.From, Script.AutoLogin and of what Phone and Client do.
const (
	FromLogin = "login" // offsets count from when a login's client first polls
	FromStart = "start" // offsets count from the call of Play

	AutoAlways = "always" // the phone scans and confirms by itself
	AutoFirst  = "first"  // only for the first login; then the steps play the phone
	AutoNever  = "never"
)

var (
	phoneActs  = []string{"scan", "confirm", "decline", "logout", "forget"}
	clientActs = []string{"kill", "start", "login"}
)

// Script is what goes wrong, when: a night that can be played again and again,
// see [ParseScript] for the form of its file and [Server.Play]. All times are
// the script's own; a speed shortens them when it is played.
type Script struct {
	Name        string
	Description Words
	// Seed is meant for Options.Seed of the simulator that plays it; 0: any.
	Seed uint64
	// From says where offsets count from: FromLogin (default) or FromStart.
	From string
	// AutoLogin says whether the phone scans and confirms by itself, from the
	// begin of the play on: AutoAlways, AutoFirst, AutoNever; "" leaves it as
	// Options.AutoLogin has it.
	AutoLogin string
	// Speed is the speed that the author thought of, 1 (default) to 100,000.
	Speed float64
	// Lasts is how long the play goes on, as given or until the last step, the
	// last fault and the last message are over.
	Lasts  time.Duration
	Load   Load
	Expect Expect
	Steps  []Step // by time; those after a login come last
}

// Words are a sentence in both languages.
type Words struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

// Load is the traffic beside the steps.
type Load struct {
	Line int // in the file
	// Sends are for the program that has the script played, which sends so often
	// to whom it likes; the simulator does nothing about them.
	Sends Repeat
	// Incoming messages ("incoming 1", "incoming 2", …) are played by the
	// simulator, the first at once.
	Incoming Repeat
	From     string // who writes, default alice
	Room     string // where; empty: to the account
}

// Repeat says how often something happens: every so often, so many times or
// until a moment of the script, whatever ends first.
type Repeat struct {
	Every time.Duration // 0: it does not happen again
	Times int           // 0: no limit but Until
	Until time.Duration // offset in the script, not included
}

// Expect is what the script's author expects of a client that does well. It is
// for the program that has it played; the simulator does not judge.
type Expect struct {
	State   string        // of the connection, after the script
	Classes []string      // of the reasons that it may give
	Noticed time.Duration // how soon after the first fault it says so; 0: not asked
	Back    time.Duration // how soon after the last fault it is well again; 0: not asked
	Logins  int           // new ones, at most
	QRCodes int           // new ones, at most
	Person  bool          // whether it needs a person
}

// Step is one thing that happens: exactly one of Fault, Clear, Phone, Message
// and Client is set.
type Step struct {
	Line       int           // in the file
	At         time.Duration // offset, see Script.From
	AfterLogin bool          // At counts from each login in turn, the first included
	Note       Words         // what it is, for people; may be empty
	As         string        // a name by which Clear finds the step's faults
	Repeat     Repeat        // with AfterLogin, Times says for how many logins

	Fault   *Fault
	Clear   string // "all" (true in the file), or the As of other steps
	Phone   *Phone
	Message *Message
	// Client is for the program that has the script played: "kill" and "start"
	// the client, let it "login" anew. The simulator only tells when.
	Client string
}

// Phone is what a person does with the phone: "scan", "confirm", "decline",
// "logout", "forget".
type Phone struct {
	Do      string `json:"do"`
	User    string `json:"user,omitempty"`    // for scan: another person
	Retcode int    `json:"retcode,omitempty"` // for logout, default 1101
	Forget  bool   `json:"forget,omitempty"`  // for logout: the device, too
}

// String says in a few words what a step does; no message text is in it.
func (s Step) String() string {
	switch {
	case s.Fault != nil:
		return "fault " + s.Fault.words()
	case s.Clear != "":
		return "clear " + s.Clear
	case s.Phone != nil && s.Phone.Retcode != 0:
		return fmt.Sprintf("phone %s %d", s.Phone.Do, s.Phone.Retcode)
	case s.Phone != nil:
		return "phone " + s.Phone.Do
	case s.Message != nil:
		return "message " + s.Message.words()
	}
	return "client " + s.Client
}

func (f Fault) words() string {
	b := []string{f.Do}
	if f.Ret != 0 {
		b = append(b, fmt.Sprint(f.Ret))
	}
	b = append(b, "on", strings.Join(f.On, ", "))
	if f.Rate != "" {
		b = append(b, "above", f.Rate)
	}
	if f.For > 0 {
		b = append(b, "for", f.For.String())
	}
	if f.Count > 0 {
		b = append(b, fmt.Sprintf("at most %d times", f.Count))
	}
	return strings.Join(b, " ")
}

func (m Message) words() string {
	words := orText(m.Type, "text") + " from " + m.From
	if m.Room != "" {
		words += " in " + m.Room
	}
	return words
}

func orText(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// Faults tells when the script's first fault begins and when the last one is
// over; an open one lasts as long as the script. No faults: 0, 0.
func (sc Script) Faults() (begin, end time.Duration) {
	begin = sc.Lasts
	for _, s := range sc.Steps {
		if s.Fault == nil && (s.Phone == nil || s.Phone.Do != "logout") {
			continue
		}
		begin, end = min(begin, s.At), max(end, sc.over(s))
	}
	return min(begin, end), end
}

// over is when the last fault of a step is over.
func (sc Script) over(s Step) time.Duration {
	if s.AfterLogin {
		return sc.Lasts
	}
	last := s.Repeat.last(s.At, sc.Lasts)
	if s.Fault == nil {
		return last
	}
	if s.Fault.For > 0 {
		return min(last+s.Fault.For, sc.cleared(s, last))
	}
	return sc.cleared(s, last)
}

// cleared is when a fault that was made at some moment is cleared.
func (sc Script) cleared(s Step, from time.Duration) time.Duration {
	for _, c := range sc.Steps {
		if !c.AfterLogin && c.At >= from && (c.Clear == allFaults || c.Clear != "" && c.Clear == s.As) {
			return c.At
		}
	}
	return sc.Lasts
}

// last is the offset of the last of a series.
func (r Repeat) last(at, lasts time.Duration) time.Duration {
	if r.Every <= 0 {
		return at
	}
	until := r.Until
	if until <= 0 {
		until = lasts
	}
	n := max(0, (until-at-1)/r.Every) // further ones that begin before until
	if r.Times > 0 && (r.Until <= 0 || time.Duration(r.Times-1) < n) {
		n = time.Duration(r.Times - 1)
	}
	return at + n*r.Every
}

// Check says whether a world has the people and rooms that the script names.
// The error is a *ScriptError.
func (sc Script) Check(w *World) error {
	people, rooms := slices.Clone(reservedIDs), []string{}
	for _, p := range w.People {
		people = append(people, p.ID)
	}
	for _, r := range w.Rooms {
		rooms = append(rooms, r.ID)
	}
	for _, s := range sc.Steps {
		if s.Message == nil || s.Message.Type == "friend" {
			continue
		}
		if err := s.Message.fits(s.Line, people, rooms); err != nil {
			return err
		}
	}
	if sc.Load.Incoming.Every > 0 {
		return Message{From: sc.Load.From, Room: sc.Load.Room}.fits(sc.Load.Line, people, rooms)
	}
	return nil
}

func (m Message) fits(line int, people, rooms []string) error {
	if m.From != "" && !slices.Contains(people, m.From) {
		return &ScriptError{Line: line, Message: fmt.Sprintf("nobody in the world is %q", m.From), Word: m.From, Known: people}
	}
	if m.Room != "" && !slices.Contains(rooms, m.Room) {
		return &ScriptError{Line: line, Message: fmt.Sprintf("no room in the world is %q", m.Room), Word: m.Room, Known: rooms}
	}
	return nil
}

// ScriptError says what is wrong with a script, and where.
type ScriptError struct {
	Line    int // from 1; 0: nowhere in particular
	Message string
	// Word is the word that is wrong, and Known those that would be right, for
	// who wants to name the nearest one. Both may be empty.
	Word  string
	Known []string
}

// Error implements error.
func (e *ScriptError) Error() string {
	if e.Line == 0 {
		return "script: " + e.Message
	}
	return fmt.Sprintf("script: line %d: %s", e.Line, e.Message)
}

// Unwrap makes it an ErrInvalid.
func (e *ScriptError) Unwrap() error { return ErrInvalid }
