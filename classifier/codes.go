package classifier

// CodeDoc is what a code means: the row of its help page.
type CodeDoc struct {
	Code       string
	Class      Class
	Disconnect bool
	Retryable  bool
	NeedsHuman bool
	Final      bool // the session is over
	Recovery   Recovery
	Message    Text
	Fix        Text
	// Own says that the bridge finds this out by itself, without a fault.
	Own bool

	rule string // what Verdict.Rule says when the bridge finds it out
}

// Codes lists every code, for the documentation. The slice is a copy.
func Codes() []CodeDoc { return append([]CodeDoc(nil), codes...) }

func (c *CodeDoc) verdict() Verdict {
	return Verdict{
		Class: c.Class, Code: c.Code, Disconnect: c.Disconnect, Retryable: c.Retryable,
		NeedsHuman: c.NeedsHuman, Final: c.Final, Recovery: c.Recovery,
		Message: c.Message, Fix: c.Fix,
	}
}

var codes = concat(sessionCodes, networkCodes, answerCodes, requestCodes,
	brokerCodes, internalCodes, unknownCodes, ownCodes, deliveryCodes)

var codeIndex = indexCodes()

func concat(tables ...[]CodeDoc) []CodeDoc {
	var all []CodeDoc
	for _, t := range tables {
		all = append(all, t...)
	}
	for i := range all {
		all[i].rule = "bridge." + all[i].Code
	}
	return all
}

func indexCodes() map[string]int {
	m := make(map[string]int, len(codes))
	for i := range codes {
		m[codes[i].Code] = i
	}
	return m
}
