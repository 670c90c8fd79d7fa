// Package webwx is the transport over the protocol of WeChat for the web, as
// openwechat v1.4.10 speaks it.
//
// The library is used as a codec: its client builds the requests. Session,
// cookies, sync loop, contacts and pacing are this package's own, because the
// library repeats sends, loses cookies over a restart, moves the sync cursor
// before anybody stored the messages, and spins without a pause on errors.
// Each of these traps has a number and a test (TestTrap01… to TestTrap26…).
//
// The files, in the order of a login's life: transport (rungs), login (QR and
// push), open (credentials, init), vault and cookies (what outlives the
// process), session, receive and answer (sync), event, text, xml and app
// (decoding), people and lookup (the directory), send, upload, media; wire,
// call and fault lie under all of them.
package webwx
