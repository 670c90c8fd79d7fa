// Package bridge wires the rooms into a worker: configuration, the data
// folder, start, shutdown in order, and the demo. It knows no protocol and no
// command line.
package bridge
