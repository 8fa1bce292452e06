// Package fault names the kinds of failure that Lanyard's rooms return and its doors translate.
//
// An error carries a kind inside the process and becomes a code, a status and a shape only at a door
// (each door has one table for that). An error without a kind is ours: it counts as Internal, and its text
// never leaves the process.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in terms that a program may act on.
type Kind uint8

// The kinds. A new one is added where one kind would need two codes at the same door.
const (
	Internal           Kind = iota // a defect or a broken dependency of ours
	Invalid                        // a parameter is missing, malformed or out of range
	Malformed                      // the body is not the JSON, form or XML it claims to be
	MalformedPolicy                // a policy document that cannot be stored
	TooLarge                       // a body, header or policy over its bound
	NotFound                       // the named thing does not exist for this caller
	Exists                         // the name is taken
	InUse                          // something else still needs it
	BadState                       // the thing is there, but not in a state that allows this
	Limit                          // a quota is reached
	Unmodifiable                   // the system made it and alone may change it
	Denied                         // policy says no
	CrossAccount                   // a role of another account was to be passed
	MissingAuth                    // no signature where one is required
	IncompleteAuth                 // an authorization header that lacks a part or names another scheme
	UnknownKey                     // no such access key, or a session token that does not open
	BadSignature                   // the signature does not fit the request
	Skewed                         // the request's time is too far from ours
	ExpiredCredentials             // the session is over
	BadToken                       // a pod or web-identity token that is not accepted
	ExpiredToken                   // a pod or web-identity token whose time is over
	RejectedClaim                  // a token in its time whose issuer has taken it back
	IssuerUnreachable              // the issuer of a token cannot be asked for its keys; it may be later
	UnknownOperation               // no such operation at this door
	Unsupported                    // known, but refused by name
	Throttled                      // too many requests
	Unavailable                    // try again: the answer cannot be known just now
)

var names = [...]string{
	"Internal", "Invalid", "Malformed", "MalformedPolicy", "TooLarge", "NotFound", "Exists", "InUse", "BadState",
	"Limit", "Unmodifiable", "Denied", "CrossAccount", "MissingAuth", "IncompleteAuth", "UnknownKey", "BadSignature",
	"Skewed", "ExpiredCredentials", "BadToken", "ExpiredToken", "RejectedClaim", "IssuerUnreachable", "UnknownOperation", "Unsupported", "Throttled", "Unavailable",
}

// Kinds lists every kind, so that a door's test can hold its table against it.
func Kinds() []Kind {
	all := make([]Kind, len(names))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String returns the kind's name as the constants spell it.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error is a failure with a kind. Its Message is written for the caller: it quotes the bad value, says what is
// accepted, and shows nothing the caller could not know.
type Error struct {
	Kind    Kind
	Message string
	cause   error
	hidden  bool // the cause is not part of Message
}

// New returns an error of the kind with a message for the caller. A %w verb keeps a cause for errors.Is and As; as its
// text becomes part of the message, wrap only what the caller may read.
func New(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Hide returns an error of the kind whose message is fit for the caller and whose cause is only for the log.
func Hide(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), cause: cause, hidden: true}
}

// Error returns the message, and the hidden cause where there is one: this is the text for the log.
func (e *Error) Error() string {
	if e.hidden && e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Of returns the kind of the first Error in err's chain, or Internal when there is none.
func Of(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err has the kind.
func Is(err error, kind Kind) bool { return err != nil && Of(err) == kind }

// Message returns the text that may leave the process: that of the first Error in the chain, and nothing
// for an error of ours.
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Kind != Internal {
		return e.Message
	}
	return ""
}
