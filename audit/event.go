package audit

import "time"

// Event is one record, with the fields and names of a CloudTrail record: it is both what a caller fills and what a line of
// the log holds. Place.Record fills EventVersion, EventTime, EventID, EventType and EventCategory where they are empty.
// A field that may hold a secret needs no care of the caller: members named like one (token, sessionToken,
// secretAccessKey, …) and values that look like a signed token are written as Hidden.
type Event struct {
	EventVersion        string       `json:"eventVersion"`
	UserIdentity        UserIdentity `json:"userIdentity"`
	EventTime           time.Time    `json:"eventTime"`   // whole seconds, UTC
	EventSource         string       `json:"eventSource"` // eks-auth.amazonaws.com
	EventName           string       `json:"eventName"`
	AWSRegion           string       `json:"awsRegion"`
	SourceIPAddress     string       `json:"sourceIPAddress"`
	UserAgent           string       `json:"userAgent"` // at most 1 KiB is kept
	ErrorCode           string       `json:"errorCode,omitempty"`
	ErrorMessage        string       `json:"errorMessage,omitempty"` // at most 1 KiB is kept
	RequestParameters   any          `json:"requestParameters"`      // Object is cheapest, any JSON value works
	ResponseElements    any          `json:"responseElements"`       // likewise
	AdditionalEventData any          `json:"additionalEventData,omitempty"`
	RequestID           string       `json:"requestID"`
	EventID             string       `json:"eventID"`
	ReadOnly            bool         `json:"readOnly"`
	Resources           []Resource   `json:"resources,omitempty"`
	EventType           string       `json:"eventType"` // AwsApiCall unless set
	ManagementEvent     bool         `json:"managementEvent"`
	RecipientAccountID  string       `json:"recipientAccountId"`
	SharedEventID       string       `json:"sharedEventID,omitempty"`
	EventCategory       string       `json:"eventCategory"` // Management or Data, after ManagementEvent
	TLSDetails          *TLSDetails  `json:"tlsDetails,omitempty"`
}

// Fail makes the event that of a refused call: with the error, without a response, and with its parameters cut to what tells
// which call it was. Whoever is refused can repeat it without end, and is not to fill the disk.
func (e *Event) Fail(code, message string) {
	e.ErrorCode, e.ErrorMessage, e.ResponseElements = code, message, nil
	switch parameters := e.RequestParameters.(type) {
	case Object:
		for i := range parameters {
			parameters[i].Value = brief(parameters[i].Value)
		}
	case map[string]any:
		for name, value := range parameters {
			parameters[name] = brief(value)
		}
	}
}

// brief cuts a text, and leaves out what has parts.
func brief(value any) any {
	switch v := value.(type) {
	case string:
		return shorten(v, maxText)
	case nil, bool, int, int64, time.Time:
		return v
	}
	return "omitted"
}

// Object is a JSON object that costs no map. It is written in the order of its names, which each stand once.
type Object []Member

// Member is one name of an Object with its value.
type Member struct {
	Name  string
	Value any
}

// Set gives a member a value, in place of the one it has.
func (o Object) Set(name string, value any) Object {
	for i := range o {
		if o[i].Name == name {
			o[i].Value = value
			return o
		}
	}
	return append(o, Member{Name: name, Value: value})
}

// MarshalJSON is for an Object inside a value that is not one.
func (o Object) MarshalJSON() ([]byte, error) { return appendObject(nil, o) }

// UserIdentity says who made the call. Empty members are left out.
type UserIdentity struct {
	Type           string          `json:"type,omitempty"` // AssumedRole, IAMUser, Root, AWSService, WebIdentityUser
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      string          `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"`
	UserName       string          `json:"userName,omitempty"`
	Provider       string          `json:"identityProvider,omitempty"`
	InvokedBy      string          `json:"invokedBy,omitempty"`
	SessionContext *SessionContext `json:"sessionContext,omitempty"`
}

// SessionContext describes the session that signed a call.
type SessionContext struct {
	Issuer         SessionIssuer     `json:"sessionIssuer"`
	Attributes     SessionAttributes `json:"attributes"`
	SourceIdentity string            `json:"sourceIdentity,omitempty"`
	Pod            *Pod              `json:"pod,omitempty"` // which the session was given to, or a session before it; not in CloudTrail
}

// Pod is where a session came from, as it was then.
type Pod struct {
	Cluster        string `json:"cluster,omitempty"` // the immutable id
	Namespace      string `json:"namespace,omitempty"`
	Name           string `json:"name,omitempty"`
	UID            string `json:"uid,omitempty"`
	Node           string `json:"node,omitempty"`
	NodeUID        string `json:"nodeUid,omitempty"`
	ServiceAccount string `json:"serviceAccount,omitempty"`
	Association    string `json:"association,omitempty"` // id
}

// SessionIssuer is the role that a session is of.
type SessionIssuer struct {
	Type        string `json:"type,omitempty"` // Role
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn,omitempty"`
	AccountID   string `json:"accountId,omitempty"`
	UserName    string `json:"userName,omitempty"`
}

// SessionAttributes says when a session was made. There is no multi-factor authentication, and CloudTrail says so with a
// word, not with a JSON boolean.
type SessionAttributes struct {
	CreationDate     time.Time `json:"creationDate"`
	MFAAuthenticated string    `json:"mfaAuthenticated"` // "false" unless set
}

// Resource is a thing that the call touched.
type Resource struct {
	AccountID string `json:"accountId,omitempty"`
	Type      string `json:"type,omitempty"` // AWS::IAM::Role
	ARN       string `json:"ARN,omitempty"`  // CloudTrail's own spelling
}

// TLSDetails describes the connection of the call.
type TLSDetails struct {
	Version     string `json:"tlsVersion,omitempty"`
	CipherSuite string `json:"cipherSuite,omitempty"`
	Host        string `json:"clientProvidedHostHeader,omitempty"`
}

// Tag is one element of a list of tags, as a session's record shows them.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
