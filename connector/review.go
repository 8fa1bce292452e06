package connector

import (
	"encoding/json"

	"github.com/tidwall/gjson"

	"github.com/openlanyard/lanyard/fault"
)

// A review is what is needed of an AdmissionReview. The rest, such as who asks, decides nothing.
type review struct {
	apiVersion string
	uid        string
	isNewPod   bool
	dryRun     bool

	namespace      string
	serviceAccount string // as the pod says: the API server has put in its default before
	pod            string // JSON
}

// readReview reads versions v1 and v1beta1, which are alike here.
func readReview(text string) (review, error) {
	var v review
	var kind, operation, resource, subresource, group string
	var request gjson.Result
	whole := gjson.Parse(text)
	if !whole.IsObject() {
		return v, fault.New(fault.Malformed, "the body is not an AdmissionReview")
	}
	whole.ForEach(func(k, r gjson.Result) bool {
		switch k.Str {
		case "kind":
			kind = r.Str
		case "apiVersion":
			v.apiVersion = r.Str
		case "request":
			request = r
		}
		return true
	})
	if kind != "AdmissionReview" || v.apiVersion != "admission.k8s.io/v1" && v.apiVersion != "admission.k8s.io/v1beta1" {
		return v, fault.New(fault.Malformed, "AdmissionReview of admission.k8s.io/v1 and v1beta1 is answered, not %.80q of %.80q", kind, v.apiVersion)
	}
	if !request.IsObject() {
		return v, fault.New(fault.Malformed, "the review has no request")
	}
	request.ForEach(func(k, r gjson.Result) bool {
		switch k.Str {
		case "uid":
			v.uid = r.Str
		case "resource":
			group, resource = r.Get("group").Str, r.Get("resource").Str
		case "subResource":
			subresource = r.Str
		case "namespace":
			v.namespace = r.Str
		case "operation":
			operation = r.Str
		case "dryRun":
			v.dryRun = r.Bool()
		case "object":
			v.pod = r.Raw
		}
		return true
	})
	if v.uid == "" {
		return v, fault.New(fault.Malformed, "the request has no uid")
	}
	v.isNewPod = operation == "CREATE" && group == "" && resource == "pods" && subresource == ""
	if v.isNewPod {
		v.serviceAccount = gjson.Get(v.pod, "spec.serviceAccountName").Str
	}
	return v, nil
}

// subject says what an Event is about.
func (v *review) subject() Pod {
	m := gjson.Get(v.pod, "metadata")
	o := m.Get("ownerReferences.0")
	return Pod{
		Namespace: v.namespace, Name: m.Get("name").Str, UID: m.Get("uid").Str,
		Owner: Owner{o.Get("apiVersion").Str, o.Get("kind").Str, o.Get("name").Str, o.Get("uid").Str},
	}
}

func appendJSON(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return append(b, text...)
}
