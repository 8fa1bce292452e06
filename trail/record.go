package trail

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/audit"
)

// Record is as much of an event as it is found by.
type Record struct {
	EventID            string             `json:"eventID"`
	EventName          string             `json:"eventName"`
	EventSource        string             `json:"eventSource"`
	EventTime          time.Time          `json:"eventTime"`
	ErrorCode          string             `json:"errorCode"`
	ReadOnly           bool               `json:"readOnly"`
	ManagementEvent    bool               `json:"managementEvent"`
	RecipientAccountID string             `json:"recipientAccountId"`
	UserIdentity       audit.UserIdentity `json:"userIdentity"`
	Resources          []audit.Resource   `json:"resources"`
	RequestParameters  struct {
		ClusterName string `json:"clusterName"`
	} `json:"requestParameters"`
	AdditionalEventData struct {
		Pod         audit.Pod `json:"pod"`
		Association string    `json:"association"`
	} `json:"additionalEventData"`
}

// ParseRecord reads a record. A member of a request that has another type than the one looked for is none to find it by.
func ParseRecord(text []byte) (*Record, error) {
	var r Record
	err := json.Unmarshal(text, &r)
	var other *json.UnmarshalTypeError
	if errors.As(err, &other) && (strings.HasPrefix(other.Field, "requestParameters") || strings.HasPrefix(other.Field, "additionalEventData")) {
		err = nil
	}
	return &r, err
}

// Issuer is the ARN of the role whose session called; "" where none did.
func (r *Record) Issuer() string {
	if r.UserIdentity.SessionContext == nil {
		return ""
	}
	return r.UserIdentity.SessionContext.Issuer.ARN
}

// Pod is the pod that got credentials, or whose session called; zero where there is none.
func (r *Record) Pod() audit.Pod {
	if s := r.UserIdentity.SessionContext; s != nil && s.Pod != nil {
		return *s.Pod
	}
	pod := r.AdditionalEventData.Pod
	if pod != (audit.Pod{}) && pod.Association == "" {
		pod.Association = r.AdditionalEventData.Association
	}
	return pod
}

// Username is a user's name, and the session's of a role.
func (r *Record) Username() string {
	if r.UserIdentity.UserName != "" || r.UserIdentity.Type != "AssumedRole" {
		return r.UserIdentity.UserName
	}
	return behindSlash(r.UserIdentity.ARN)
}

// Outcome is "allowed", or the error's code.
func (r *Record) Outcome() string {
	if r.ErrorCode == "" {
		return "allowed"
	}
	return r.ErrorCode
}

// resourceName is BUCKET or BUCKET/KEY at S3, and what stands behind the last slash elsewhere.
func resourceName(arn string) string {
	if _, name, isS3 := strings.Cut(arn, ":::"); isS3 {
		return name
	}
	return behindSlash(arn)
}

func behindSlash(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// A Kind is what a record can be found by. Those of LookupEvents have its names
// (https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupAttribute.html).
type Kind string

// The rarer a kind's values are, the earlier it stands: a search begins with the first that it has.
const (
	EventID        Kind = "EventId"
	ResourceName   Kind = "ResourceName" // the ARN, or the name in it
	PodName        Kind = "pod"
	Association    Kind = "association"
	AccessKeyID    Kind = "AccessKeyId"
	Username       Kind = "Username"
	ServiceAccount Kind = "service account" // NAMESPACE/NAME
	Namespace      Kind = "namespace"
	Role           Kind = "role" // name or ARN of the role that called or was assumed
	Node           Kind = "node"
	EventName      Kind = "EventName"
	ResourceType   Kind = "ResourceType"
	EventSource    Kind = "EventSource"
	ReadOnly       Kind = "ReadOnly"
)

var kinds = []Kind{
	EventID, ResourceName, PodName, Association, AccessKeyID, Username, ServiceAccount, Namespace, Role, Node, EventName, ResourceType,
	EventSource, ReadOnly,
}

// Values are a record's of a kind; an empty one is none.
func (r *Record) Values(k Kind) []string {
	pod := r.Pod()
	switch k {
	case EventID:
		return []string{r.EventID}
	case EventName:
		return []string{r.EventName}
	case EventSource:
		return []string{r.EventSource}
	case ReadOnly:
		if r.ReadOnly {
			return []string{"true"}
		}
		return []string{"false"}
	case Username:
		return []string{r.Username()}
	case AccessKeyID:
		return []string{r.UserIdentity.AccessKeyID}
	case ResourceType:
		return r.eachResource(func(a audit.Resource) []string { return []string{a.Type} })
	case ResourceName:
		return r.eachResource(func(a audit.Resource) []string { return []string{a.ARN, resourceName(a.ARN)} })
	case Role:
		roles := r.eachResource(func(a audit.Resource) []string { return roleNames(a.ARN) })
		return append(roles, roleNames(r.Issuer())...)
	case PodName:
		return []string{pod.Name}
	case Namespace:
		return []string{pod.Namespace}
	case Node:
		return []string{pod.Node}
	case Association:
		return []string{pod.Association}
	case ServiceAccount:
		if pod.ServiceAccount != "" {
			return []string{pod.Namespace + "/" + pod.ServiceAccount}
		}
	}
	return nil
}

// maxResources are those that a record is found by: each is several rows of the index, and who brings a record may give it thousands.
const maxResources = 100

func (r *Record) eachResource(values func(audit.Resource) []string) (all []string) {
	for _, a := range r.Resources[:min(len(r.Resources), maxResources)] {
		all = append(all, values(a)...)
	}
	return all
}

func roleNames(arn string) []string {
	if !strings.Contains(arn, ":role/") {
		return nil
	}
	return []string{arn, behindSlash(arn)}
}

// Has reports whether a record has a value of a kind.
func (r *Record) Has(k Kind, value string) bool {
	for _, v := range r.Values(k) {
		if v == value && v != "" {
			return true
		}
	}
	return false
}
