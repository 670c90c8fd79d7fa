package classifier

import (
	"context"
	"io"
	"testing"
)

func bot(op Operation, code int) *Fault {
	return &Fault{Transport: ILink, Op: op, Code: code, HasCode: true, Phase: PhaseAnswer, Body: BodyJSON, Status: 200}
}

func qrStatus(word string) *Fault {
	return &Fault{Transport: ILink, Op: OpCheckLogin, Text: word, Phase: PhaseAnswer, Body: BodyJSON, Status: 200}
}

var ilinkCases = []faultCase{
	{"ilink.-14", bot(OpSync, -14), want{SessionExpired, "bot_token_invalid", true, false, true}, true},
	{"ilink.-14", bot(OpSend, -14), want{SessionExpired, "bot_token_invalid", true, false, true}, true},
	{"ilink.-2", bot(OpSend, -2), want{RateLimited, "reply_refused", false, true, false}, true},
	{"ilink.upload.-2", bot(OpUpload, -2), want{BadRequest, "upload_refused", false, false, false}, true},
	{"ilink.-3", bot(OpSend, -3), want{BadRequest, "bad_recipient_id", false, false, false}, true},
	{"ilink.-4", bot(OpTyping, -4), want{Server, "rpc_failed", false, true, false}, true},
	{"ilink.-12", bot(OpSend, -12), want{RateLimited, "too_often", false, true, false}, true},
	{"ilink.-1", bot(OpUpload, -1), want{Server, "server_error", false, true, false}, true},
	{"ilink.-1", bot(OpSync, -1), want{Server, "server_error", true, true, false}, true},
	{"ilink.2", bot(OpUpload, 2), want{BadRequest, "bad_parameter", false, false, false}, true},
	{"ilink.send.0", bot(OpSend, 0), want{Unknown, "accepted_without_id", false, false, false}, false},
	{"ilink.uuid.refused", bot(OpUUID, 7), want{LoginPending, "qr_refused", true, false, true}, true},
	{"ilink.qr.wait", qrStatus("wait"), want{LoginPending, "qr_not_scanned", false, false, true}, false},
	{"ilink.qr.scaned", qrStatus("scaned"), want{LoginPending, "qr_not_confirmed", false, false, true}, false},
	{"ilink.qr.scaned_but_redirect", qrStatus("scaned_but_redirect"), want{LoginPending, "qr_not_confirmed", false, false, true}, false},
	{"ilink.qr.need_verifycode", qrStatus("need_verifycode"), want{LoginPending, "code_needed", false, false, true}, false},
	{"ilink.qr.verify_code_blocked", qrStatus("verify_code_blocked"), want{LoginPending, "qr_expired", true, false, true}, false},
	{"ilink.qr.expired", qrStatus("expired"), want{LoginPending, "qr_expired", true, false, true}, false},
	{"http.5xx", &Fault{Transport: ILink, Op: OpSync, Status: 524, Body: BodyEmpty, Phase: PhaseAnswer}, want{Server, "server_error", true, true, false}, false},
	{"cause.timeout", &Fault{Transport: ILink, Op: OpSync, Phase: PhaseSent, Cause: context.DeadlineExceeded}, want{Network, "timeout", true, true, false}, false},
	{"cause.eof", &Fault{Transport: ILink, Op: OpSend, Phase: PhaseSent, Cause: io.EOF}, want{Network, "connection_closed", true, true, false}, false},
	{"unknown", bot(OpSync, 0), want{Unknown, "unknown", false, true, false}, false},
	{"unknown", bot(OpSync, 1205), want{Unknown, "unknown", false, true, false}, false},
}

// The same number means different things on the two protocols, and in
// different operations.
func TestACodeMeansNothingWithoutTransportAndOperation(t *testing.T) {
	for _, c := range []struct {
		one, other *Fault
	}{
		{coded(OpSend, -2), bot(OpSend, -2)},
		{coded(OpSync, -14), bot(OpSync, -14)},
		{bot(OpUpload, -2), bot(OpSend, -2)},
		{coded(OpContacts, 1205), coded(OpSend, 1205)},
		{coded(OpInit, 1), coded(OpSend, 1)},
		{coded(OpInit, 3), coded(OpSync, 3)},
		{coded(OpLogin, 1203), coded(OpSync, 1203)},
		{coded(OpCheckLogin, 400), coded(OpSync, 400)},
	} {
		if a, b := Judge(c.one), Judge(c.other); a.Code == b.Code {
			t.Errorf("%v and %v: both %s", c.one, c.other, a.Code)
		}
	}
}

func TestA1205SlowsTheOperationThatGotIt(t *testing.T) {
	for _, op := range []Operation{OpSend, OpContacts, OpBatchContacts, OpUpload, OpInit} {
		if v := Judge(coded(op, 1205)); v.Recovery != RecoverSlowDown || v.Disconnect || v.Final {
			t.Errorf("%s: %+v", op, v)
		}
	}
}
