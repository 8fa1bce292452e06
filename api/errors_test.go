package api_test

import (
	"testing"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/cloudtrail"
	"github.com/openlanyard/lanyard/api/eks"
	"github.com/openlanyard/lanyard/api/eksauth"
	"github.com/openlanyard/lanyard/api/iam"
	"github.com/openlanyard/lanyard/api/lanyard"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/fault"
)

var tables = map[string]api.Errors{
	"eks": eks.Errors, "eks-auth": eksauth.Errors, "iam": iam.Errors, "sts": sts.Errors, "lanyard": lanyard.Errors,
	"cloudtrail": cloudtrail.Errors,
}

func TestTablesHaveEveryKind(t *testing.T) {
	for door, table := range tables {
		for _, kind := range fault.Kinds() {
			if code := table[kind]; code.Name == "" || code.Status < 400 || code.Status > 599 {
				t.Errorf("%s shows %s as %+v, which is no error", door, kind, code)
			}
		}
		if len(table) != len(fault.Kinds()) {
			t.Errorf("%s has %d kinds, fault has %d", door, len(table), len(fault.Kinds()))
		}
	}
}

// TestModelledCodes holds the doors against the codes and statuses of AWS's own service models.
func TestModelledCodes(t *testing.T) {
	type row struct {
		kind   fault.Kind
		name   string
		status int
	}
	for door, rows := range map[string][]row{
		"eks": {
			{fault.Invalid, "InvalidParameterException", 400},
			{fault.BadState, "InvalidRequestException", 400},
			{fault.Limit, "ResourceLimitExceededException", 400},
			{fault.Denied, "AccessDeniedException", 403},
			{fault.CrossAccount, "AccessDeniedException", 403},
			{fault.NotFound, "ResourceNotFoundException", 404},
			{fault.Exists, "ResourceInUseException", 409},
			{fault.Throttled, "ThrottlingException", 429},
			{fault.Unavailable, "ServiceUnavailableException", 503},
		},
		"eks-auth": {
			{fault.Invalid, "InvalidParameterException", 400},
			{fault.BadState, "InvalidRequestException", 400},
			{fault.Denied, "AccessDeniedException", 400}, // 403 elsewhere
			{fault.BadToken, "InvalidTokenException", 400},
			{fault.ExpiredToken, "ExpiredTokenException", 400},
			{fault.NotFound, "ResourceNotFoundException", 404},
			{fault.Throttled, "ThrottlingException", 429},
			{fault.Unavailable, "ServiceUnavailableException", 503},
		},
		"iam": {
			{fault.NotFound, "NoSuchEntity", 404},
			{fault.Exists, "EntityAlreadyExists", 409},
			{fault.InUse, "DeleteConflict", 409},
			{fault.Limit, "LimitExceeded", 409},
			{fault.MalformedPolicy, "MalformedPolicyDocument", 400},
			{fault.Unmodifiable, "UnmodifiableEntity", 400},
			{fault.Denied, "AccessDenied", 403},
			{fault.Invalid, "ValidationError", 400},
			{fault.UnknownOperation, "InvalidAction", 400},
			{fault.MissingAuth, "MissingAuthenticationToken", 403},
			{fault.UnknownKey, "InvalidClientTokenId", 403},
			{fault.BadSignature, "SignatureDoesNotMatch", 403},
			{fault.ExpiredCredentials, "ExpiredToken", 403},
			{fault.IncompleteAuth, "IncompleteSignature", 400},
			{fault.Throttled, "Throttling", 400},
			{fault.Unavailable, "ServiceUnavailable", 503},
		},
		"sts": {
			{fault.BadToken, "InvalidIdentityToken", 400},
			{fault.ExpiredToken, "ExpiredTokenException", 400},
			{fault.Limit, "PackedPolicyTooLarge", 400},
			{fault.MalformedPolicy, "MalformedPolicyDocument", 400},
			{fault.Denied, "AccessDenied", 403},
			{fault.Invalid, "ValidationError", 400},
			{fault.ExpiredCredentials, "ExpiredToken", 403},
		},
	} {
		for _, want := range rows {
			if got := tables[door][want.kind]; got.Name != want.name || got.Status != want.status {
				t.Errorf("%s shows %s as %s %d, want %s %d", door, want.kind, got.Name, got.Status, want.name, want.status)
			}
		}
	}
}

// TestAgentsKeepWhatMayPass holds EKS Auth's table against what AWS's agent does: on these codes it drops a pod's
// credentials, so only a verdict on the pod's token or association may be shown as one of them.
func TestAgentsKeepWhatMayPass(t *testing.T) {
	verdicts := map[string][]fault.Kind{
		"ResourceNotFoundException": {fault.NotFound},
		"ExpiredTokenException":     {fault.ExpiredToken},
		"InvalidTokenException":     {fault.BadToken},
		"AccessDeniedException":     {fault.Denied, fault.CrossAccount},
	}
	for kind, code := range eksauth.Errors {
		may, drops := verdicts[code.Name]
		if !drops {
			continue
		}
		ok := false
		for _, k := range may {
			ok = ok || k == kind
		}
		if !ok {
			t.Errorf("%s is shown as %s, on which agents drop good credentials", kind, code.Name)
		}
	}
}
