package sim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// step checks one step and what it does.
func (c scriptCheck) step(path string, f stepFile) (Step, error) {
	s := Step{Line: c.yaml.line(path), Note: f.Note, As: f.As, Clear: string(f.Clear), Phone: f.Phone, Message: f.Message, Client: f.Client}
	if err := c.oneAct(path, f); err != nil {
		return s, err
	}
	var err error
	if f.Repeat != nil {
		if s.Repeat, err = c.series(path+".repeat", *f.Repeat, f.AfterLogin != nil); err != nil {
			return s, err
		}
	}
	switch {
	case (f.At == nil) == (f.AfterLogin == nil):
		return s, c.wrong(path, "a step needs at: or after_login:, and not both")
	case f.At != nil:
		s.At = time.Duration(*f.At)
	default:
		s.At, s.AfterLogin = time.Duration(*f.AfterLogin), true
	}
	if s.AfterLogin && c.lasts == 0 {
		return s, c.wrong(path+".after_login", "nobody knows how long this goes on: say how long the script lasts:")
	}
	if c.lasts > 0 && s.At > c.lasts {
		return s, c.wrong(path, "it comes after the end of the script, %s", c.lasts)
	}
	if s.Fault, err = c.fault(path+".fault", f.Fault); err != nil {
		return s, err
	}
	return s, c.acts(path, s)
}

// series is a step's repeat; after a login it says for how many logins.
func (c scriptCheck) series(path string, f repeatFile, afterLogin bool) (Repeat, error) {
	if !afterLogin {
		return c.repeat(path, f)
	}
	if f.Every != 0 || f.Until != 0 || f.Times <= 0 {
		return Repeat{}, c.wrong(path, "after a login only times: makes sense, for how many logins")
	}
	return Repeat{Times: f.Times}, nil
}

func (c scriptCheck) oneAct(path string, f stepFile) error {
	n := 0
	for _, has := range []bool{f.Fault != nil, f.Clear != "", f.Phone != nil, f.Message != nil, f.Client != ""} {
		if has {
			n++
		}
	}
	if n != 1 {
		return c.wrong(path, "a step needs exactly one of fault, clear, phone, message, client; it has %d", n)
	}
	return nil
}

// fault takes what the control API would take.
func (c scriptCheck) fault(path string, j *faultJSON) (*Fault, error) {
	if j == nil {
		return nil, nil
	}
	if j.ID != 0 || j.Hits != 0 {
		return nil, c.wrong(path, "id and hits are the simulator's to give")
	}
	if err := c.choice(path+".do", "do", j.Do, FaultKinds); err != nil {
		return nil, err
	}
	endpoints := append(newWeb(nil).names(), "*")
	for _, on := range j.On {
		if err := c.choice(path+".on", "on", on, endpoints); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(j)
	f := new(Fault)
	if err == nil {
		err = json.Unmarshal(b, f)
	}
	if err == nil {
		var live *liveFault // a dry run, which fills defaults in
		if live, err = newLiveFault(*f); err == nil {
			return &live.Fault, nil
		}
	}
	return nil, c.wrong(path, "%s", sentence(err))
}

// sentence is an error without the words that everything of ours begins with.
func sentence(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "), "fault: ")
}

func (c scriptCheck) acts(path string, s Step) error {
	switch {
	case s.Phone != nil:
		if err := c.choice(path+".phone.do", "do", s.Phone.Do, phoneActs); err != nil {
			return err
		}
		if s.Phone.User != "" && s.Phone.Do != "scan" {
			return c.wrong(path+".phone.user", "only who scans is somebody")
		}
		if (s.Phone.Retcode != 0 || s.Phone.Forget) && s.Phone.Do != "logout" {
			return c.wrong(path+".phone", "retcode and forget belong to logout")
		}
	case s.Message != nil && s.Message.Type != "":
		return c.choice(path+".message.type", "type", s.Message.Type, MessageTypes)
	case s.Client != "":
		return c.choice(path+".client", "client", s.Client, clientActs)
	}
	return nil
}

// references wants the faults that are cleared to exist.
func (c scriptCheck) references(steps []Step) error {
	known := []string{allFaults}
	for _, s := range steps {
		if s.As == "" {
			continue
		}
		if s.Fault == nil || s.As == allFaults {
			return &ScriptError{Line: s.Line, Message: "as: is a name for a fault, and not " + allFaults}
		}
		known = append(known, s.As)
	}
	for _, s := range steps {
		if s.Clear == "" || slices.Contains(known, s.Clear) {
			continue
		}
		return &ScriptError{Line: s.Line, Message: "clear: no fault is called " + s.Clear, Word: s.Clear, Known: known}
	}
	return nil
}
