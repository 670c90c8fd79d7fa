// Package sim plays WeChat's servers, so that the bridge, and any other client,
// can be tried without an account.
//
// It knows nothing of this project's adapters or of its classifier: what it
// holds about the protocol comes from what independent clients (openwechat,
// wechat4u, ItChat, wechaty's puppet) send and expect. It is as strict as they
// have seen WeChat be: cookies on their domains, skey, sid, uin, tickets, sync
// keys that replay what came after them, user names that are new at each login.
//
// One TLS port answers for all host names of WeChat (chosen by SNI and Host),
// with certificates of a CA made at start. Beside it there is a control API in
// plain HTTP, for loopback only, see [Server.ControlAddr].
//
// The parts that any transport shares are the front (TLS, faults, counters),
// the ledger, the world and the control API; the web protocol is in the files
// named web*.go, behind the interface transport.
package sim
