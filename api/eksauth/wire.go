package eksauth

import (
	"bytes"
	"encoding/json"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/broker"
)

// The wire of the one operation that every pod waits for is read and written by hand: encoding/json took an eighth of
// the server's time. The tests hold both ways against it.

// tokenPattern is the model's. tokenText is what a signed token consists of (RFC 7515): nothing that JSON would escape, and
// but for the points nothing that the pattern would refuse.
const (
	tokenPattern = `[A-Za-z0-9-_=]+\.[A-Za-z0-9-_=]+\.[A-Za-z0-9-_=]+`
	tokenText    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
)

// readToken returns the request's only member that counts. Newer agents also send eksNodeName, instanceId and zone:
// claims of the caller's that nothing is decided on.
func readToken(c *api.Call) (string, error) {
	if token, ok := quickly(c.Body); ok {
		return token, nil
	}
	if err := c.CheckBody(); err != nil {
		return "", err
	}
	in, err := api.Decode[struct {
		Token string `json:"token"`
	}](c)
	return in.Token, err
}

// quickly reads a body that has the one member, a token of three parts that the pattern matches.
func quickly(body []byte) (token string, ok bool) {
	text, begins := bytes.CutPrefix(body, []byte(`{"token":"`))
	text, ends := bytes.CutSuffix(text, []byte(`"}`))
	if !begins || !ends || len(bytes.TrimLeft(text, tokenText)) > 0 || bytes.Count(text, []byte(".")) != 2 {
		return "", false
	}
	whole := text[0] != '.' && text[len(text)-1] != '.' && !bytes.Contains(text, []byte(".."))
	return string(text), whole
}

// answer is the response. EKS Auth spells assumeRoleId where STS has AssumedRoleId.
func answer(g *broker.Grant, assumed string) json.RawMessage {
	s, b := g.Session, make([]byte, 0, 1024+len(g.Credentials.SessionToken))
	for _, member := range [...]struct{ before, text string }{
		{`{"subject":{"namespace":`, g.Token.Namespace},
		{`,"serviceAccount":`, g.Token.ServiceAccount},
		{`},"audience":`, g.Token.Audience},
		{`,"podIdentityAssociation":{"associationArn":`, g.Association.ARN().String()},
		{`,"associationId":`, g.Association.ID},
		{`},"assumedRoleUser":{"arn":`, assumed},
		{`,"assumeRoleId":`, s.RoleID + ":" + s.Name},
		{`},"credentials":{"accessKeyId":`, g.Credentials.AccessKeyID},
		{`,"secretAccessKey":`, g.Credentials.SecretAccessKey},
		{`,"sessionToken":`, g.Credentials.SessionToken},
	} {
		b = api.AppendText(append(b, member.before...), member.text)
	}
	b = append(b, `,"expiration":`...)
	b = api.Epoch(g.Credentials.Expires).Append(b)
	return append(b, "}}"...)
}
