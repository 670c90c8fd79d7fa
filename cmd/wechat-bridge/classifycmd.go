package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// classifyCmd explains error texts.
type classifyCmd struct {
	Texts []string `arg:"" optional:"" name:"text" help:"Error texts, one each; without any, or for -, a text per line of the input. A line of JSON is {\"text\",\"where\",\"op\"}."`
	JSON  bool     `name:"json" help:"Print one JSON object per text." env:"-"`
	Where string   `help:"Which program printed them: openwechat, wechat4u, wechaty, itchat, ilink or nats." placeholder:"PROGRAM" env:"-"`
	Op    string   `help:"What was being done: login, init, sync, synccheck, send, upload, contacts and others." placeholder:"OPERATION" env:"-"`
}

// Help is the long help text of the command.
func (classifyCmd) Help() string {
	return `Example:
  wechat-bridge classify "AssertionError [ERR_ASSERTION]: 1205 == 0"
  journalctl -u my-bot -g rror -o cat | wechat-bridge classify
  wechat-bridge classify --json < errors.jsonl
  wechat-bridge classify -- "-1 == 0"`
}

// Limits of what is read. A text is judged by its head and its tail, so a
// longer line loses only its middle; a longer line of JSON is an error.
const (
	maxLine = 8 << 20
	maxKept = 64 << 10 // of the tail of a line that is longer
)

// question is a text to judge, as a line of JSON has it.
type question struct {
	Text  *string `json:"text"`
	Where string  `json:"where"`
	Op    string  `json:"op"`
}

// Run judges the arguments, then the input if it is asked for.
func (c *classifyCmd) Run(t *terminal) error {
	x := &explainer{t: t, cmd: c}
	texts := c.Texts
	if len(texts) == 0 {
		texts = []string{"-"}
	}
	for i, text := range texts {
		if text != "-" {
			x.answer(fmt.Sprintf("argument %d", i+1), text, false, false)
			continue
		}
		if err := x.input(os.Stdin); err != nil {
			return err
		}
	}
	if x.failed > 0 {
		return exitError{code: exitFailed}
	}
	return nil
}

// explainer prints verdicts.
type explainer struct {
	t      *terminal
	cmd    *classifyCmd
	said   int // verdicts so far
	failed int // texts that could not be read
}

// input judges each line. The input is JSON when one of the lines that came
// first is; then each line has to be.
func (x *explainer) input(in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	machine := startsWithJSON(r)
	for n := 1; ; n++ {
		if err := x.t.ctx.Err(); err != nil {
			return err
		}
		line, cut, err := readLine(r)
		if text := strings.Trim(string(line), " \t\r\n\v\f\ufeff"); text != "" {
			x.answer(fmt.Sprintf("line %d", n), text, machine, cut)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the input: %w", err)
		}
	}
}

// startsWithJSON looks at what has come so far, without waiting for more.
func startsWithJSON(r *bufio.Reader) bool {
	if _, err := r.Peek(1); err != nil {
		return false
	}
	head, _ := r.Peek(r.Buffered())
	for _, line := range bytes.Split(head, []byte("\n")) {
		if _, err := parse(string(line)); err == nil || bytes.HasPrefix(bytes.TrimSpace(line), []byte(`{"text"`)) {
			return true
		}
	}
	return false
}

// readLine reads up to a line's end. Of a line above the limit it keeps the
// head and the tail, and says so.
func readLine(r *bufio.Reader) (line []byte, cut bool, err error) {
	var tail []byte
	for {
		part, err := r.ReadSlice('\n')
		if room := maxLine - len(line); len(part) > room {
			line, part, cut = append(line, part[:room]...), part[room:], true
		}
		if cut {
			tail = append(tail, part...)
			tail = tail[max(0, len(tail)-maxKept):]
		} else {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return append(line, tail...), cut, err
		}
	}
}

// parse reads a line of JSON; what has no text in it is no question.
func parse(line string) (question, error) {
	var q question
	if err := json.Unmarshal([]byte(line), &q); err != nil {
		return q, err
	}
	if q.Text == nil {
		return q, errors.New(`no field "text"`)
	}
	return q, nil
}

// answer judges one text. It is JSON if it reads as a question; machine says
// that it has to.
func (x *explainer) answer(place, text string, machine, cut bool) {
	q, err := parse(text)
	if cut && machine {
		err = fmt.Errorf("longer than %d MB", maxLine>>20)
	}
	switch {
	case err == nil && !cut:
		machine = true
	case machine:
		x.refuse(place, err)
		return
	default:
		q = question{Text: &text}
	}
	if q.Where == "" {
		q.Where = x.cmd.Where
	}
	if q.Op == "" {
		q.Op = x.cmd.Op
	}
	v := classifier.Judge(&classifier.Fault{Text: *q.Text, Where: q.Where, Op: classifier.Operation(q.Op)})
	if machine || x.cmd.JSON {
		x.json(v)
	} else {
		x.person(*q.Text, v)
	}
	x.said++
}

func (x *explainer) refuse(place string, err error) {
	x.failed++
	fmt.Fprintln(x.t.err, wire.Printable(fmt.Sprintf("wechat-bridge: %s is no JSON with a text: %v", place, err), 300))
}

// answerJSON is a verdict as CONTRACT "Error classes" has it.
type answerJSON struct {
	Class      classifier.Class    `json:"class"`
	Code       string              `json:"code"`
	Disconnect bool                `json:"disconnect"`
	Retryable  bool                `json:"retryable"`
	Certain    bool                `json:"certain"`
	NeedsHuman bool                `json:"needs_human"`
	Final      bool                `json:"final"`
	Recovery   classifier.Recovery `json:"recovery"`
	Wait       string              `json:"wait"`
	Message    classifier.Text     `json:"message"`
	Fix        classifier.Text     `json:"fix"`
	Rule       string              `json:"rule"`
	Source     string              `json:"source"`
}

func (x *explainer) json(v classifier.Verdict) {
	rule, _ := classifier.Explain(v.Rule)
	out, err := json.Marshal(answerJSON{
		Class: v.Class, Code: v.Code, Disconnect: v.Disconnect, Retryable: v.Retryable, Certain: v.Certain,
		NeedsHuman: v.NeedsHuman, Final: v.Final, Recovery: v.Recovery, Wait: v.Wait.Round(time.Millisecond).String(),
		Message: v.Message, Fix: v.Fix, Rule: v.Rule, Source: rule.Source,
	})
	if err != nil { // a struct of strings and booleans
		panic(err)
	}
	fmt.Fprintf(x.t.out, "%s\n", plainJSON(out))
}

// person explains a verdict: what it is, which rule said so, what the bridge
// would do, and what there is to do.
func (x *explainer) person(text string, v classifier.Verdict) {
	t := x.t
	say := func(w classifier.Text) string { return t.say(w.EN, w.ZH) }
	if x.said > 0 {
		fmt.Fprintln(t.out)
	}
	fmt.Fprintf(t.out, "%s / %s: %s\n", v.Class, v.Code, say(v.Message))
	row := func(en, zh, what string) { fmt.Fprintf(t.out, "  %s%s\n", pad(t.say(en, zh), 9), what) }
	row("text", "文本", wire.Printable(strings.TrimSpace(text), 160))
	if rule, ok := classifier.Explain(v.Rule); ok && rule.Fits != "" {
		row("rule", "规则", fmt.Sprintf(t.say("%s, which looks at %s: %s", "%s（%s）：%s"), v.Rule, say(rule.Looks), rule.Fits))
		row("source", "来源", rule.Source)
	}
	row("bridge", "桥接", say(v.Recovery.Words())+" "+t.consequences(v))
	row("you", "您", say(v.Fix))
}

// consequences are the three answers of a verdict in words.
func (t *terminal) consequences(v classifier.Verdict) string {
	parts := []string{t.say("It does not count for the breaker", "不计入熔断"), t.say("does not heal by itself", "不会自行恢复"), t.say("needs nobody.", "无需人工。")}
	if v.Disconnect {
		parts[0] = t.say("It counts for the breaker", "计入熔断")
	}
	if v.Retryable {
		parts[1] = t.say("may heal by itself", "可能自行恢复")
	}
	if v.NeedsHuman {
		parts[2] = t.say("needs a person.", "需要人工。")
	}
	return strings.Join(parts, t.say(", ", "，"))
}
