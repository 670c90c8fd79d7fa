package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// DemoOptions say how the demo is told.
type DemoOptions struct {
	DataDir string // empty: a temporary folder, removed at the end
	Exit    bool   // leave after the story
	Night   bool   // the night of the 1,328 errors instead of the short story
	Out     io.Writer
	Say     func(en, zh string) string // chooses the language
	Version string
	LogTo   io.Writer // the worker's log, a JSON line each; nil: nowhere
}

// ErrDemo says that the story did not go as it is told, or that the ledgers do
// not agree.
var ErrDemo = errors.New("the demo failed")

// demoStep bounds the wait for each step of the story.
const demoStep = 20 * time.Second

// demo is the story under way.
type demo struct {
	DemoOptions
	log    zerolog.Logger
	lines  *countedLines
	began  time.Time
	sim    *sim.Server
	info   Info
	states chan wire.Connection
	events chan wire.Message
	client *broker.Client
	sends  []demoSend
	told   []string // ids of the events that WeChat handed over
	heard  []string // ids of those that arrived
	doubts int      // deliveries of which nobody may know
}

// Demo plays WeChat, NATS and the worker in one process and tells the story.
// Then it stays until the context ends, unless Exit is set.
func Demo(ctx context.Context, o DemoOptions) (err error) {
	dir, remove, err := demoFolder(o.DataDir)
	if err != nil {
		return err
	}
	defer remove()
	d := &demo{DemoOptions: o, began: time.Now(), states: make(chan wire.Connection, 1000), events: make(chan wire.Message, 100)}
	defer d.openLog()()
	if err := d.startSim(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.sim.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, err := d.startWorker(ctx, dir)
	if err != nil {
		return err
	}
	if o.Night {
		err = d.night(ctx)
	} else {
		err = d.tell(ctx)
	}
	if err == nil && !o.Exit {
		d.whatNext()
		<-ctx.Done()
	}
	cancel()
	return errors.Join(err, <-ended)
}

func demoFolder(path string) (dir string, remove func(), err error) {
	if path != "" {
		return path, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "wechat-bridge-demo-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// openLog makes the worker's log as the program has it, with few lines for
// many, and counts them.
func (d *demo) openLog() (end func()) {
	d.lines = &countedLines{to: d.LogTo}
	calm := CalmLog(d.lines)
	d.log = zerolog.New(calm).Level(zerolog.InfoLevel).With().Timestamp().Logger()
	return func() { _ = calm.Close() }
}

// countedLines counts the lines of a log on their way; to may be nil.
type countedLines struct {
	to io.Writer
	n  atomic.Int64
}

func (c *countedLines) Write(line []byte) (int, error) {
	c.n.Add(1)
	if c.to == nil {
		return len(line), nil
	}
	return c.to.Write(line)
}

func (d *demo) startSim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return folderError(dir, "cannot be made", err)
	}
	var err error
	d.sim, err = sim.Start(sim.Options{
		Listen: freeAddress(sim.DefaultListen), Control: freeAddress("127.0.0.1:8081"),
		CAFile: filepath.Join(dir, "sim-ca.pem"), Hold: 5 * time.Second, Echo: "off", Log: zerolog.Nop(),
	})
	return err
}

func (d *demo) startWorker(ctx context.Context, dir string) (ended chan error, err error) {
	cfg := Defaults()
	cfg.DataDir = filepath.Join(dir, "data")
	cfg.NATSListen, cfg.HTTP = freeAddress(cfg.NATSListen), freeAddress(cfg.HTTP)
	cfg.WechatEndpoint, cfg.WechatCA = "https://"+d.sim.Addr(), filepath.Join(dir, "sim-ca.pem")
	cfg.Pace = "off"
	if d.Night {
		cfg.Alerts.AlertAfter, cfg.Alerts.AlertLang = nightTime(cfg.Alerts.AlertAfter), d.Say("en", "zh")
	}
	ready := make(chan Info, 1)
	worker, err := New(cfg, Options{
		Version: d.Version, Log: d.log, Ready: func(i Info) { ready <- i },
		Observe: func(c wire.Connection) { offer(d.states, c) },
	})
	if err != nil {
		return nil, err
	}
	ended = make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	select {
	case d.info = <-ready:
		return ended, d.connect(ctx)
	case err := <-ended:
		return nil, err
	}
}

// connect is what any program of a user would do: as a guest, without
// credentials.
func (d *demo) connect(ctx context.Context) error {
	conn, err := broker.Connect(ctx, broker.ConnConfig{URLs: d.info.NATS, Name: "demo", Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, conn.Close)
	d.client = broker.NewClient(conn, "wechat")
	go func() {
		_ = d.client.Watch(ctx, broker.Watch{Events: true}, func(r broker.Record) error {
			var m wire.Message
			if _, err := wire.OpenAs(r.Body, wire.TypeMessage, &m); err == nil {
				offer(d.events, m)
			}
			return nil
		})
	}()
	return nil
}

// offer never blocks: after the story nobody listens any more.
func offer[T any](ch chan T, v T) {
	select {
	case ch <- v:
	default:
	}
}

// freeAddress is the address, or the next one whose port is free.
func freeAddress(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	first, _ := strconv.Atoi(port)
	for n := first; n < first+100; n++ {
		candidate := net.JoinHostPort(host, strconv.Itoa(n))
		var lc net.ListenConfig
		ln, err := lc.Listen(context.Background(), "tcp", candidate)
		if err == nil {
			ln.Close()
			return candidate
		}
	}
	return addr
}

// line prints one line of the story with the time since its beginning.
func (d *demo) line(en, zh string, args ...any) {
	fmt.Fprintf(d.Out, "%5.1fs    %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(d.Say(en, zh), args...))
}

func (d *demo) chapter(n int, en, zh string) {
	fmt.Fprintf(d.Out, "\n%5.1fs %d. %s\n", time.Since(d.began).Seconds(), n, d.Say(en, zh))
}

// await waits for a state of the connection.
func (d *demo) await(ctx context.Context, ok func(wire.Connection) bool) (wire.Connection, error) {
	timeout := time.NewTimer(demoStep)
	defer timeout.Stop()
	for {
		select {
		case c := <-d.states:
			if ok(c) {
				return c, nil
			}
		case <-timeout.C:
			return wire.Connection{}, fmt.Errorf("%w: the connection did not change as it should within %s", ErrDemo, demoStep)
		case <-ctx.Done():
			return wire.Connection{}, ctx.Err()
		}
	}
}

func inState(state string) func(wire.Connection) bool {
	return func(c wire.Connection) bool { return c.State == state }
}
