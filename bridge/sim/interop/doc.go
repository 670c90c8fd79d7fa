// Package interop proves that the simulator is what independent clients take
// for WeChat: unmodified openwechat and unmodified wechat4u log in, receive,
// send and are thrown out, judged by the simulator's ledger and state.
//
// Its tests need the build tag interop, node and npm:
//
//	go test -tags interop -count=1 ./bridge/sim/interop/
package interop
