package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// maxScriptFile bounds what is read of a script; the parser takes less.
const maxScriptFile = 1 << 20

// script reads --script and sees that it fits the world; nil without the flag.
func (c simCmd) script(world *sim.World) (*sim.Script, error) {
	if c.Speed != 0 && (c.Script == "" || !(c.Speed >= 1)) {
		return nil, usageError{errors.New("--speed is 1 or more, and for a --script")}
	}
	if c.Script == "" {
		return nil, nil
	}
	script, err := loadScript(c.Script)
	if err == nil {
		err = script.Check(world)
	}
	if err != nil {
		return nil, scriptError(c.Script, err)
	}
	return &script, nil
}

// loadScript reads a file, or else takes the shipped night of that name.
func loadScript(name string) (sim.Script, error) {
	file, err := os.Open(name)
	if night, ok := sim.Night(name); ok && errors.Is(err, fs.ErrNotExist) {
		return night, nil
	}
	if err != nil {
		return sim.Script{}, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxScriptFile))
	if err != nil {
		return sim.Script{}, err
	}
	return sim.ParseScript(raw)
}

// scriptError is a mistake of who wrote the script: file, line, and the
// nearest right word.
func scriptError(name string, err error) error {
	var bad *sim.ScriptError
	if !errors.As(err, &bad) {
		msg := fmt.Sprintf("--script: %v", err)
		var nights []string
		for _, night := range sim.Nights() {
			nights = append(nights, night.Name)
		}
		if near := wire.Nearest(name, nights); near != "" {
			msg += fmt.Sprintf("; did you mean the shipped night %q?", near)
		}
		return usageError{errors.New(msg)}
	}
	msg := fmt.Sprintf("--script: %s:%d: %s", name, max(1, bad.Line), bad.Message)
	if near := wire.Nearest(bad.Word, bad.Known); near != "" {
		msg += fmt.Sprintf("; did you mean %q?", near)
	}
	return usageError{errors.New(msg)}
}

// play tells each step as it happens, and at the end whether all went well.
func (c simCmd) play(t *terminal, s *sim.Server, script sim.Script) error {
	speed := c.Speed
	if speed == 0 {
		speed = script.Speed
	}
	fmt.Fprintf(t.out, "%s %s: %s\n", t.say("Script", "脚本"), wire.Printable(script.Name, 100),
		wire.Printable(t.say(script.Description.EN, script.Description.ZH), 300))
	took := time.Duration(float64(script.Lasts) / speed).Round(time.Millisecond)
	fmt.Fprintf(t.out, t.say("  %s of it are played in %s (%g times as fast)\n", "  全长 %s，实际播放 %s（%g 倍速）\n"), script.Lasts, took, speed)
	if script.From == sim.FromLogin {
		fmt.Fprintln(t.out, t.say("  it begins when a client is logged in", "  客户端登录后开始"))
	}
	err := s.Play(t.ctx, script, sim.PlayOptions{Speed: speed, OnStep: func(e sim.Event) { c.tell(t, e) }})
	var bad *sim.ScriptError
	switch {
	case t.ctx.Err() != nil:
		return nil // somebody has seen enough
	case errors.As(err, &bad):
		return scriptError(c.Script, err)
	case errors.Is(err, sim.ErrInvalid):
		return usageError{fmt.Errorf("--script: %w", err)}
	case err != nil:
		fmt.Fprintln(t.err, printableLines(err.Error()))
	}
	return nil
}

// tell prints one event of the script; the incoming load is too much to tell.
func (c simCmd) tell(t *terminal, e sim.Event) {
	line := ""
	switch e.What {
	case sim.EventBegin:
		line = t.say("the script begins", "脚本开始")
	case sim.EventEnd:
		line = t.say("the script is over; the simulator goes on", "脚本结束；模拟器继续运行")
	case sim.EventStep:
		line = e.Step.String()
		if note := t.say(e.Step.Note.EN, e.Step.Note.ZH); note != "" {
			line += "  # " + note
		}
	default:
		return
	}
	if e.Err != nil {
		line += t.say(": not possible: ", "：无法执行：") + e.Err.Error()
	}
	fmt.Fprintf(t.out, "%12s  %s\n", "+"+e.At.String(), wire.Printable(line, 400))
}
