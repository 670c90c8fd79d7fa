package outbox

// Codes that intake and courier add to those of wire and classifier.
const (
	codeNotVisible      = "recipient_not_visible"    // waiting: nobody of this name can be seen yet
	codeUnknownTo       = "unknown_recipient"        // nobody has this name
	codeAmbiguousTo     = "ambiguous_recipient"      // several have it
	codeUnknownMember   = "unknown_member"           // nobody in the room has this name
	codeAmbiguousMember = "ambiguous_member"         // several in the room have it
	codeNoRoom          = "not_a_room"               // mention works in rooms only
	codeIDConflict      = "id_conflict"              // the id belongs to another command
	codeUnsupported     = "unsupported_by_transport" // the transport cannot do it
	codeTooLarge        = "media_too_large"          // larger than the transport takes
	codeNoObject        = "object_unreadable"        // missing, a link, or not to be read in time
	codeMediaFull       = "media_store_full"         // no room to keep a medium until it is sent
	codeMediaNotKept    = "media_store_unavailable"  // the store took no medium for a while
	codeMediaAway       = "media_unavailable"        // a kept medium cannot be read now
	codeHeldBack        = "held_back"                // its record came too late: nothing was handed over
	codeExpired         = "expired"                  // its time was over
	codeUnknownID       = "unknown_id"               // revoke names nothing that was sent
	codeNotSent         = "not_sent"                 // revoke names what did not go out
	codeTooLate         = "too_late"                 // revoke comes later than WeChat allows
	codeListIncomplete  = "list_incomplete"          // some parts of a list were not sent
	codeFallbackSending = "fallback_sending"         // it is on its way over the fallback channels
	codeFallbackFailed  = "fallback_failed"          // none of them took it
	codeFallbackUnknown = "fallback_unknown"         // one of them may have taken it
	codeByFallback      = "sent_by_fallback"         // one of them took it
	codeOutcomeLost     = "outcome_lost"             // a crash left open whether WeChat took it
)
