package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"wechat-bridge/bridge/wire"
)

// Errors of a client.
var (
	// ErrNoWorker says that nobody answers for an account.
	ErrNoWorker = errors.New("no worker answers for this account")
	// ErrNoBridge says that no worker ever ran on this NATS server.
	ErrNoBridge = errors.New("no bridge was ever here: its streams are missing")
	// ErrNotStored says that a command was refused and is not stored.
	ErrNotStored = errors.New("the command was not stored")
)

// Client is what commands and other users do. It needs no more rights than a
// guest of the embedded server has.
type Client struct {
	Names
	conn *Conn
}

// NewClient talks to the bridge with this subject prefix.
func NewClient(conn *Conn, prefix string) *Client {
	return &Client{Names: Names{Prefix: prefix}, conn: conn}
}

// Receipt says where a command is stored, and what Wait has to know of it.
type Receipt struct {
	Seq uint64
	// Duplicate: another command with this Nats-Msg-Id came within 100 ms, and
	// this one was dropped.
	Duplicate bool

	digest string // of the command; empty if it cannot be read
	parts  int    // deliveries of a list
}

// Send stores one command for an account. Without an id in the body, msgID
// serves as one; it may be empty. A refusal is ErrNotStored, with wire.ErrFull
// if the queue is full.
func (c *Client) Send(ctx context.Context, account, msgID string, body []byte) (Receipt, error) {
	if !accountToken.MatchString(account) {
		return Receipt{}, fmt.Errorf("%q is no account name", account)
	}
	m := nats.NewMsg(c.SendSubject(account))
	m.Data = body
	if msgID != "" {
		m.Header.Set(wire.HeaderMsgID, msgID)
	}
	ack, err := c.conn.JS.PublishMsg(ctx, m)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return Receipt{}, ErrNoBridge
	case apiCode(err) != 0, errors.Is(err, nats.ErrMaxPayload):
		return Receipt{}, fmt.Errorf("%w: %w", ErrNotStored, full(err))
	case err != nil:
		return Receipt{}, fmt.Errorf("send: %w", err)
	}
	r := Receipt{Seq: ack.Sequence, Duplicate: ack.Duplicate}
	if cmd, rejected := wire.ParseCommand(body, msgID); rejected == nil {
		r.digest = cmd.Digest()
		if cmd.List {
			r.parts = len(cmd.To)
		}
	}
	return r, nil
}

// Upload puts a file into wechat_uploads, from where a command can send it as
// an object; the same name again replaces it. ErrNotStored says that there is
// no room, with wire.ErrFull.
func (c *Client) Upload(ctx context.Context, name string, r io.Reader) error {
	_, _, err := c.conn.put(ctx, c.Uploads(), name, r)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders):
		return ErrNoBridge
	case errors.Is(err, wire.ErrFull):
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	return err
}

// Get gives the records of one delivery, oldest first; none if there are none.
// The id of a part of a list is <id>~<n>.
func (c *Client) Get(ctx context.Context, account, id string) ([]Record, error) {
	for _, key := range keysOf(id) {
		chain, err := c.chain(ctx, c.DeliverySubject(account, key))
		if err != nil || len(chain) > 0 {
			return chain, err
		}
	}
	return nil, nil
}

var partID = regexp.MustCompile(`^(.+)~(x?)([0-9]{1,19})$`)

// keysOf lists the keys that an id, a part's id or a conflict's id may have.
func keysOf(id string) []string {
	keys := []string{wire.Key(id)}
	if m := partID.FindStringSubmatch(id); m != nil {
		keys = append(keys, wire.Key(m[1])+"~"+m[2]+m[3])
	}
	return keys
}

// chain reads record by record: chains are short, and a consumer for each is
// dear.
func (c *Client) chain(ctx context.Context, subject string) ([]Record, error) {
	var chain []Record
	for next := uint64(1); ; {
		m, found, err := c.conn.read(ctx, c.Status(), place{Next: subject, Seq: next})
		if apiCode(err) == codeStreamNotFound || errors.Is(err, nats.ErrNoResponders) {
			return nil, ErrNoBridge
		}
		if err != nil || !found {
			return chain, err
		}
		chain = append(chain, Record{Stored: m.Stored, Subject: m.subject})
		next = m.Seq + 1
	}
}

// Connection is the last record of an account's connection, with the time it
// was stored. Without one it is ErrNoWorker.
func (c *Client) Connection(ctx context.Context, account string) (wire.Connection, time.Time, error) {
	var conn wire.Connection
	m, found, err := c.conn.read(ctx, c.Status(), place{Last: c.ConnectionSubject(account)})
	switch {
	case apiCode(err) == codeStreamNotFound, errors.Is(err, nats.ErrNoResponders):
		return conn, time.Time{}, ErrNoBridge
	case err != nil:
		return conn, time.Time{}, err
	case !found:
		return conn, time.Time{}, ErrNoWorker
	}
	_, err = wire.OpenAs(m.Body, wire.TypeConnection, &conn)
	return conn, m.At, err
}

// Heartbeat waits for the next heartbeat of an account's worker.
func (c *Client) Heartbeat(ctx context.Context, account string) (wire.Heartbeat, error) {
	var beat wire.Heartbeat
	sub, err := c.conn.NC.SubscribeSync(c.HeartbeatSubject(account))
	if err != nil {
		return beat, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return beat, err
		}
		if _, err := wire.OpenAs(m.Data, wire.TypeHeartbeat, &beat); err == nil {
			return beat, nil
		}
	}
}

// Request asks the account's worker; in becomes JSON, nil an empty request. A
// refusal is *CodeError, silence ErrNoWorker.
func (c *Client) Request(ctx context.Context, account, verb string, in any) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("request %s: %w", verb, err)
		}
	}
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	m, err := c.conn.NC.RequestWithContext(ctx, c.APISubject(account, verb), body)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, ErrNoWorker
	}
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", verb, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, &CodeError{Code: code, Message: m.Header.Get(micro.ErrorHeader)}
	}
	return m.Data, nil
}

func sequence(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
