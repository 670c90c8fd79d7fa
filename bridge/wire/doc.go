// Package wire is the JSON of the contract: commands as users write them,
// records and events as the bridge writes them, ids and keys, validation, and
// the one filter through which strangers' text reaches terminals and pages.
//
// It does not know where bytes come from or go to.
package wire
