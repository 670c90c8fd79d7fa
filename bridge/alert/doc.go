// Package alert tells people about an outage: once, over channels that do not
// depend on WeChat, with retry, without ever blocking the bridge.
//
// A pure function (decide.go) turns what is seen and the time into notices;
// one loop (alerter.go) performs it; a courier per channel (courier.go)
// delivers. It does not know why it tells: the reason is in the record.
package alert
