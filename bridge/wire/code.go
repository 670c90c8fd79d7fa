package wire

// Codes of a Rejection by ParseCommand and Command.Expiry. Intake and courier
// have further ones of their own (unknown_account, id_conflict and others).
const (
	CodeEmptyCommand      = "empty_command"       // no bytes, or only spaces
	CodeNotJSON           = "not_json"            // no JSON, or something after it
	CodeInvalidUTF8       = "invalid_utf8"        // bytes or escapes that are no characters
	CodeNotAnObject       = "not_an_object"       // JSON, but no object
	CodeDuplicateField    = "duplicate_field"     // the same key twice
	CodeUnknownField      = "unknown_field"       // a key that is not in the contract
	CodeMissingField      = "missing_field"       // a key that has to be there
	CodeWrongType         = "wrong_type"          // another JSON type than the field's
	CodeBadValue          = "bad_value"           // the right type, a value that is not allowed
	CodeBadID             = "bad_id"              // not 1 to 128 printable characters
	CodeEmptyRecipient    = "empty_recipient"     // nobody
	CodeBadRecipient      = "bad_recipient"       // an object with more than one way to find somebody
	CodeTooManyRecipients = "too_many_recipients" // more than MaxRecipients
	CodeNoContent         = "no_content"          // none of the kinds
	CodeTwoContents       = "two_contents"        // more than one of the kinds
	CodeEmptyText         = "empty_text"          // text of 0 characters, or of blanks only
	CodeNoSource          = "no_source"           // a medium without bytes
	CodeTwoSources        = "two_sources"         // a medium with more than one source
	CodeBadBase64         = "bad_base64"          // data that is not base64
	CodeEmptyFile         = "empty_file"          // data of 0 bytes
	CodeBadName           = "bad_name"            // a file name with a folder or control characters
	CodeBadURL            = "bad_url"             // no absolute http or https URL
	CodeTwoExpiries       = "two_expiries"        // ttl and expires_at
	CodeExpiryTooFar      = "expiry_too_far"      // later than the horizon allows
	CodeNotSupportedYet   = "not_supported_yet"   // in the contract, not in this version
)
