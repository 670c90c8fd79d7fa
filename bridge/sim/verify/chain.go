package verify

import (
	"fmt"
	"slices"

	"wechat-bridge/bridge/wire"
)

// chain is one delivery: its records, its command, what WeChat got of it.
type chain struct {
	account, id string
	seq         uint64 // of the command
	records     []*Record
	finals      []*Record
	messageID   string
	marked      bool // a record says possible_duplicate
	list        bool // the chain of a whole list

	command *Command
	part    int // of a list, from 1
	to      string
	entries []Entry
}

// place is a command's position in WECHAT_SEND.
type place struct {
	account string
	seq     uint64
}

// name is an id of an account.
type name struct{ account, id string }

type chainID struct {
	name
	seq uint64
}

// books are the records, found by what the other ledgers know.
type books struct {
	chains  []*chain // in the order of their first record
	byID    map[chainID]*chain
	byPlace map[place][]*chain
	byName  map[name][]*chain
}

func index(records []Record) *books {
	b := &books{byID: map[chainID]*chain{}, byPlace: map[place][]*chain{}, byName: map[name][]*chain{}}
	for i := range records { // a record is large: by pointer
		r := &records[i]
		n := name{r.Account, r.ID}
		c := b.byID[chainID{n, r.StreamSeq}]
		if c == nil {
			c = &chain{account: r.Account, id: r.ID, seq: r.StreamSeq}
			p := place{r.Account, r.StreamSeq}
			b.byID[chainID{n, r.StreamSeq}] = c
			b.byPlace[p] = append(b.byPlace[p], c)
			b.byName[n] = append(b.byName[n], c)
			b.chains = append(b.chains, c)
		}
		c.add(r)
	}
	return b
}

func (c *chain) add(r *Record) {
	c.records = append(c.records, r)
	if r.State.Final() && r.State != wire.Corrected {
		c.finals = append(c.finals, r)
	}
	if r.MessageID != "" {
		c.messageID = r.MessageID
	}
	c.marked = c.marked || r.PossibleDuplicate
	c.list = c.list || r.Deliveries > 0
}

// state is the final one; empty without.
func (c *chain) state() wire.State {
	if len(c.finals) == 0 {
		return ""
	}
	return c.finals[0].State
}

// ambiguous reports whether the records admit that the outcome is not known.
func (c *chain) ambiguous() bool {
	if c.marked || c.state() == wire.Unknown {
		return true
	}
	return c.state() == wire.Failed && !c.finals[0].Certain && len(c.entries) > 0
}

// open reports whether the records leave room for a message at WeChat that
// they don't name.
func (c *chain) open() bool {
	return c.marked || c.state() == "" || c.state() == wire.Unknown || c.state() == wire.Failed && !c.finals[0].Certain
}

// own reports whether it stands for one message that WeChat should get.
func (c *chain) own() bool { return !c.list && (c.command == nil || !c.command.Revoke) }

func (c *chain) String() string {
	return fmt.Sprintf("%s (account %s, command %d)", quoted(c.id), wire.Printable(c.account, 40), c.seq)
}

func (c *chain) digest() string {
	if c.command == nil {
		return ""
	}
	return c.command.Digest
}

func (c *chain) priority() string {
	if c.command == nil || c.command.Priority == "" {
		return wire.PriorityNormal
	}
	return c.command.Priority
}

// claim gives each command its chains, and says which have none.
func (b *books) claim(commands []Command) (lost []string) {
	first := map[name]*Command{} // of an id, as long as it was not rejected
	for i := range commands {
		cmd := &commands[i]
		c := b.find(cmd)
		n := name{cmd.Account, cmd.ID}
		switch {
		case c == nil && cmd.ID != "" && repeats(first[n], cmd):
			continue // the same id and body again: it is the earlier delivery
		case c == nil:
			lost = append(lost, fmt.Sprintf("NATS acknowledged the command %s (account %s, sequence %d), and there is no record of it.",
				quoted(cmd.ID), wire.Printable(cmd.Account, 40), cmd.StreamSeq))
			continue
		case c.command == nil:
			c.command, c.to = cmd, cmd.To
			c.list = c.list || len(cmd.List) > 0
		}
		if c.state() != wire.Rejected && first[n] == nil {
			first[n] = cmd
		}
		lost = append(lost, b.claimParts(c, cmd)...)
	}
	return lost
}

func repeats(earlier, cmd *Command) bool {
	return earlier != nil && earlier.Digest == cmd.Digest && earlier.To == cmd.To && slices.Equal(earlier.List, cmd.List)
}

// find looks for the chain of a command, or of the whole list.
func (b *books) find(cmd *Command) *chain {
	if cmd.StreamSeq == 0 {
		if found := b.byName[name{cmd.Account, cmd.ID}]; len(found) > 0 {
			return found[0]
		}
		return nil
	}
	if c := b.byID[chainID{name{cmd.Account, cmd.ID}, cmd.StreamSeq}]; c != nil {
		return c
	}
	var root *chain // parts have the longer ids
	for _, c := range b.byPlace[place{cmd.Account, cmd.StreamSeq}] {
		if root == nil || len(c.id) < len(root.id) {
			root = c
		}
	}
	if cmd.ID != "" && root != nil && root.state() != wire.Rejected { // a bad id is rejected under a made one
		return nil
	}
	return root
}

func (b *books) claimParts(root *chain, cmd *Command) (lost []string) {
	if root.state() == wire.Rejected {
		return nil
	}
	for i, to := range cmd.List {
		c := b.byID[chainID{name{root.account, wire.PartID(root.id, i+1)}, root.seq}]
		if c == nil {
			lost = append(lost, fmt.Sprintf("Part %d of the list %s has no record.", i+1, root))
			continue
		}
		c.command, c.to, c.part = cmd, to, i+1
	}
	return lost
}
