package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of a script's file.
const (
	maxScript   = 64 << 10 // bytes
	maxLine     = 4 << 10  // bytes
	maxNesting  = 32       // brackets
	maxSteps    = 1000
	maxSpeed    = 100_000
	minInterval = time.Millisecond
	maxOffset   = 366 * 24 * time.Hour
)

// span is a duration as a script has it: text such as 90s, not negative.
type span time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (s *span) UnmarshalJSON(b []byte) error {
	var text string
	err := json.Unmarshal(b, &text)
	d, perr := time.ParseDuration(text)
	switch {
	case err != nil || perr != nil:
		return fmt.Errorf("%s is not a duration such as 90s or 1h30m", b)
	case d < 0:
		return fmt.Errorf("%s is a negative time", text)
	case d > maxOffset:
		return fmt.Errorf("%s is more than a year", text)
	}
	*s = span(d)
	return nil
}

// faultName is what clear: has: true for all faults, or the name of one.
type faultName string

const allFaults = "all"

// UnmarshalJSON implements json.Unmarshaler.
func (n *faultName) UnmarshalJSON(b []byte) error {
	if string(b) == "true" {
		*n = allFaults
		return nil
	}
	if err := json.Unmarshal(b, (*string)(n)); err != nil || *n == "" {
		return fmt.Errorf("%s is neither true nor the name of a fault", b)
	}
	return nil
}

// scriptFile is the form of the file.
type scriptFile struct {
	Name        string      `json:"name"`
	Description Words       `json:"description"`
	Seed        uint64      `json:"seed"`
	From        string      `json:"from"`
	AutoLogin   string      `json:"auto_login"`
	Speed       float64     `json:"speed"`
	Lasts       span        `json:"lasts"`
	Load        *loadFile   `json:"load"`
	Expect      *expectFile `json:"expect"`
	Steps       []stepFile  `json:"steps"`
}

type loadFile struct {
	Sends    repeatFile `json:"sends"`
	Incoming struct {
		repeatFile
		From string `json:"from"`
		Room string `json:"room"`
	} `json:"incoming"`
}

type repeatFile struct {
	Every span `json:"every"`
	Times int  `json:"times"`
	Until span `json:"until"`
}

type expectFile struct {
	State   string   `json:"state"`
	Classes []string `json:"classes"`
	Noticed span     `json:"noticed"`
	Back    span     `json:"back"`
	Logins  int      `json:"logins"`
	QRCodes int      `json:"qr_codes"`
	Person  bool     `json:"person"`
}

type stepFile struct {
	At         *span       `json:"at"`
	AfterLogin *span       `json:"after_login"`
	Note       Words       `json:"note"`
	As         string      `json:"as"`
	Repeat     *repeatFile `json:"repeat"`
	Fault      *faultJSON  `json:"fault"`
	Clear      faultName   `json:"clear"`
	Phone      *Phone      `json:"phone"`
	Message    *Message    `json:"message"`
	Client     string      `json:"client"`
}

// ParseScript reads a script (YAML, at most 64 KiB); keys that do not exist,
// values that make no sense and references to nothing are errors. Every error
// is a *ScriptError.
func ParseScript(b []byte) (Script, error) {
	y, err := readYAML(b)
	if err != nil {
		return Script{}, err
	}
	var f scriptFile
	if err := y.fill(&f); err != nil {
		return Script{}, err
	}
	c := scriptCheck{yaml: y}
	sc, err := c.script(f)
	if err != nil {
		return Script{}, err
	}
	slices.SortStableFunc(sc.Steps, func(a, b Step) int {
		if a.AfterLogin != b.AfterLogin {
			return map[bool]int{true: 1, false: -1}[a.AfterLogin]
		}
		return int(max(-1, min(1, a.At-b.At)))
	})
	if sc.Lasts == 0 {
		sc.Lasts = sc.length()
	}
	return sc, nil
}

// length is how long a script lasts that does not say so.
func (sc Script) length() time.Duration {
	in := sc.Load.Incoming
	longest := max(in.Until, in.Every*time.Duration(in.Times))
	for _, s := range sc.Steps {
		last := s.Repeat.last(s.At, 0)
		if s.Fault != nil {
			last += s.Fault.For
		}
		longest = max(longest, last)
	}
	return longest
}

// scriptCheck turns the file's form into a script, and refuses what makes no
// sense.
type scriptCheck struct {
	yaml  *yamlFile
	lasts time.Duration
}

// wrong is an error about the value at a path such as steps[3].fault.do.
func (c scriptCheck) wrong(path, format string, args ...any) *ScriptError {
	return &ScriptError{Line: c.yaml.line(path), Message: fmt.Sprintf(format, args...)}
}

// choice wants one of the known words.
func (c scriptCheck) choice(path, what, word string, known []string) error {
	if slices.Contains(known, word) {
		return nil
	}
	err := c.wrong(path, "%s %q: want one of %s", what, word, strings.Join(known, ", "))
	err.Word, err.Known = word, known
	return err
}

func (c scriptCheck) script(f scriptFile) (Script, error) {
	sc := Script{Name: f.Name, Description: f.Description, Seed: f.Seed, From: orText(f.From, FromLogin),
		AutoLogin: f.AutoLogin, Speed: f.Speed, Lasts: time.Duration(f.Lasts)}
	if sc.Speed == 0 {
		sc.Speed = 1
	}
	c.lasts = sc.Lasts
	switch {
	case sc.Name == "":
		return sc, c.wrong("name", "a script needs a name")
	case sc.Speed < 1 || sc.Speed > maxSpeed:
		return sc, c.wrong("speed", "speed %v: want 1 to %d", sc.Speed, maxSpeed)
	case len(f.Steps) > maxSteps:
		return sc, c.wrong("steps", "%d steps; at most %d", len(f.Steps), maxSteps)
	}
	err := c.choice("from", "from", sc.From, []string{FromLogin, FromStart})
	if err == nil && sc.AutoLogin != "" {
		err = c.choice("auto_login", "auto_login", sc.AutoLogin, []string{AutoAlways, AutoFirst, AutoNever})
	}
	if err != nil {
		return sc, err
	}
	if sc.Load, err = c.load(f.Load); err != nil {
		return sc, err
	}
	if sc.Expect, err = c.expect(f.Expect); err != nil {
		return sc, err
	}
	for i, s := range f.Steps {
		step, err := c.step(fmt.Sprintf("steps[%d]", i), s)
		if err != nil {
			return sc, err
		}
		sc.Steps = append(sc.Steps, step)
	}
	return sc, c.references(sc.Steps)
}

func (c scriptCheck) load(f *loadFile) (Load, error) {
	if f == nil {
		return Load{}, nil
	}
	l := Load{Line: c.yaml.line("load"), From: orText(f.Incoming.From, "alice"), Room: f.Incoming.Room}
	var err error
	if l.Sends, err = c.repeat("load.sends", f.Sends); err != nil {
		return l, err
	}
	l.Incoming, err = c.repeat("load.incoming", f.Incoming.repeatFile)
	return l, err
}

// repeat wants an end, and no more often than every millisecond.
func (c scriptCheck) repeat(path string, f repeatFile) (Repeat, error) {
	r := Repeat{Every: time.Duration(f.Every), Times: f.Times, Until: time.Duration(f.Until)}
	switch {
	case r == Repeat{}:
		return r, nil
	case r.Every < minInterval:
		return r, c.wrong(path, "it needs every: of at least %s", minInterval)
	case r.Times < 0:
		return r, c.wrong(path, "times: %d is negative", r.Times)
	case r.Times == 0 && r.Until == 0 && c.lasts == 0:
		return r, c.wrong(path, "it never ends: give times: or until:, or say how long the script lasts:")
	}
	return r, nil
}

func (c scriptCheck) expect(f *expectFile) (Expect, error) {
	if f == nil {
		return Expect{}, nil
	}
	if f.Logins < 0 || f.QRCodes < 0 {
		return Expect{}, c.wrong("expect", "a negative number")
	}
	return Expect{State: f.State, Classes: f.Classes, Noticed: time.Duration(f.Noticed), Back: time.Duration(f.Back),
		Logins: f.Logins, QRCodes: f.QRCodes, Person: f.Person}, nil
}
