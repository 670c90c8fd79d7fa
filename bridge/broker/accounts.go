package broker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// BridgeUser is the embedded server's user with all rights.
const BridgeUser = "bridge"

const (
	bridgeAccount = "BRIDGE"
	guestUser     = "guest"
)

// accounts writes the two NATS accounts of the embedded server in the server's
// configuration language. BRIDGE has JetStream; GUEST only imports. What guests
// ask for consumers goes to the guard.
//
// One account with permissions is not enough: the server does not check reply
// subjects, so whoever may publish to a stream's subject could have the PubAck
// written over a session. A service import gives the reply a subject of the
// guest's own account.
func accounts(n Names, bridgePassword, guestPassword string, guest bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n %s {\n  jetstream: enabled\n  users: [{user: %s, password: %s}]\n", bridgeAccount, BridgeUser, strconv.Quote(bridgePassword))
	if !guest {
		b.WriteString(" }\n}\n")
		return b.String()
	}
	services, streams := n.guestServices(), n.guestStreams()
	b.WriteString("  exports: [\n")
	for _, s := range services {
		fmt.Fprintf(&b, "   {service: %q%s}\n", s.subject, s.response())
	}
	for _, s := range streams {
		fmt.Fprintf(&b, "   {stream: %q}\n", s)
	}
	b.WriteString("  ]\n }\n GUEST {\n  imports: [\n")
	for _, s := range services {
		fmt.Fprintf(&b, "   {service: {account: %s, subject: %q}}\n", bridgeAccount, s.subject)
	}
	for _, s := range streams {
		fmt.Fprintf(&b, "   {stream: {account: %s, subject: %q}}\n", bridgeAccount, s)
	}
	b.WriteString("  ]\n  mappings: {\n")
	for kind, api := range guarded {
		fmt.Fprintf(&b, "   %q: %q\n", api+">", n.subject("guard", kind, ">"))
	}
	fmt.Fprintf(&b, "  }\n  users: [{user: %s, password: %s, permissions: {\n", guestUser, strconv.Quote(guestPassword))
	fmt.Fprintf(&b, "   publish: {allow: %s}\n", list(n.guestPublish()))
	fmt.Fprintf(&b, "   subscribe: {allow: %s, deny: %s}\n  }}]\n }\n}\nno_auth_user: %s\n",
		list([]string{"_INBOX.>", n.subject(">")}), list(n.guestDeaf()), guestUser)
	return b.String()
}

func list(subjects []string) string {
	quoted := make([]string, len(subjects))
	for i, s := range subjects {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// service is a subject that guests send requests to. Several answers come to
// one request where stream is set.
type service struct {
	subject string
	stream  bool
}

func (s service) response() string {
	if s.stream {
		return ", response_type: stream"
	}
	return ""
}

// guestServices are what a guest may ask for, where permissions allow it. The
// JetStream API is imported as a whole: an account without JetStream that
// imports parts of it also gets the server's own answer, "JetStream not enabled
// for account", and that one comes first.
func (n Names) guestServices() []service {
	all := []service{{subject: "$SRV.>", stream: true}, {subject: "$JS.API.>", stream: true}}
	for _, s := range n.guestPublish() {
		if s != "$SRV.>" && !strings.HasPrefix(s, "$JS.API.") {
			all = append(all, service{subject: s})
		}
	}
	return all
}

// guestStreams are what a guest hears. Without _INBOX nats object get hangs, so
// the bridge itself uses another prefix for its inboxes.
func (n Names) guestStreams() []string {
	return []string{n.subject("events"), n.subject("events", "*", "*"), n.subject("status"), n.subject("status", ">"), "_INBOX.>"}
}

// guestReads are the streams that a guest may make consumers on.
func (n Names) guestReads() []string {
	return []string{n.Events(), n.Status(), "OBJ_" + n.Media()}
}

// guestPublish is the whole of what a guest may publish to. There is no right
// on the server's own subjects for consumers: see guard.
func (n Names) guestPublish() []string {
	media, uploads := "OBJ_"+n.Media(), "OBJ_"+n.Uploads()
	subjects := []string{
		n.subject("send"), n.subject("send", "*"), n.subject("api", ">"), n.subject("guard", ">"), "$SRV.>",
		"$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$O." + n.Uploads() + ".>", "$JS.API.STREAM.PURGE." + uploads,
	}
	for _, s := range []string{n.Events(), n.Status(), media, uploads} {
		subjects = append(subjects, "$JS.API.STREAM.INFO."+s)
	}
	for _, s := range []string{n.Events(), n.Status()} {
		subjects = append(subjects, "$JS.API.STREAM.MSG.GET."+s, "$JS.API.CONSUMER.MSG.NEXT."+s+".*")
	}
	// Clients look at an object's description in one of two ways.
	for _, s := range []string{media, uploads} {
		subjects = append(subjects, "$JS.API.DIRECT.GET."+s+".>", "$JS.API.STREAM.MSG.GET."+s)
	}
	// Object stores are read with flow control: without it a large object stalls.
	for _, s := range n.guestReads() {
		subjects = append(subjects, "$JS.API.CONSUMER.DELETE."+s+".*", "$JS.FC."+s+".>")
	}
	slices.Sort(subjects)
	return subjects
}

// guestDeaf is what a guest must not overhear below the prefix.
func (n Names) guestDeaf() []string {
	deaf := []string{n.subject("send")}
	for _, s := range []string{"send", "api", "guard", "outbox", "parked", "later", "dead", "wake"} {
		deaf = append(deaf, n.subject(s, ">"))
	}
	return deaf
}
