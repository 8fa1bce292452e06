package registry

import "github.com/openlanyard/lanyard/fault"

const maxToken = 256

func checkToken(token string) error {
	if len(token) > maxToken {
		return fault.New(fault.Invalid, "clientRequestToken: at most %d characters are accepted, got %d", maxToken, len(token))
	}
	return nil
}

// otherParameters refuses a call that is no repetition though it has the request token of the one that made, or changed, what is
// there: its caller would take for done what is not.
func otherParameters(token, of string) error {
	return fault.New(fault.Invalid, "clientRequestToken %q was used with other parameters, for %s", token, of)
}
