// Package broker is everything NATS: streams and buckets as data, conditional
// writes, leases, the embedded server, the api service, and the client that our
// commands use.
//
// It satisfies the ports of the packages that move deliveries and events
// without knowing them, and knows nothing of WeChat.
package broker
