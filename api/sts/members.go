package sts

import "github.com/openlanyard/lanyard/api"

// The shapes of STS's members, in the model's bounds.
var (
	arnShape                               = api.Text(20, 2048, `[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`)
	roleSessionNameShape                   = api.Text(2, 64, `[\w+=,.@-]*`)
	policyDescriptorShape                  = api.StructureOf(api.May("arn", arnShape))
	policyDescriptorListShape              = api.ListOf(0, 0, policyDescriptorShape)
	unrestrictedSessionPolicyDocumentShape = api.Text(1, 0, `[\u0009\u000A\u000D\u0020-\u00FF]+`)
	roleDurationSecondsShape               = api.Between(900, 43200)
	tagKeyShape                            = api.Text(1, 128, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
	tagValueShape                          = api.Text(0, 256, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
	tagShape                               = api.StructureOf(api.Must("Key", tagKeyShape), api.Must("Value", tagValueShape))
	tagListShape                           = api.ListOf(0, 50, tagShape)
	tagKeyListShape                        = api.ListOf(0, 50, tagKeyShape)
	externalIDShape                        = api.Text(2, 1224, `[\w+=,.@:\/-]*`)
	serialNumberShape                      = api.Text(9, 256, `[\w+=/:,.@-]*`)
	tokenCodeShape                         = api.Text(6, 6, `[\d]*`)
	contextAssertionShape                  = api.Text(4, 2048, "")
	providedContextShape                   = api.StructureOf(api.May("ProviderArn", arnShape), api.May("ContextAssertion", contextAssertionShape))
	providedContextsListShape              = api.ListOf(1, 5, providedContextShape)
	clientTokenShape                       = api.Secret(4, 20000, "")
	sessionPolicyDocumentShape             = api.Text(1, 2048, `[\u0009\u000A\u000D\u0020-\u00FF]+`)
	accessKeyIDShape                       = api.Text(16, 128, `[\w]*`)
	userNameShape                          = api.Text(2, 32, `[\w+=,.@-]*`)
	durationSecondsShape                   = api.Between(900, 129600)
)

// inputs are what each operation takes, in the order of the model.
var inputs = api.Inputs{
	"AssumeRole": {
		api.Must("RoleArn", arnShape), api.Must("RoleSessionName", roleSessionNameShape),
		api.May("PolicyArns", policyDescriptorListShape), api.May("Policy", unrestrictedSessionPolicyDocumentShape),
		api.May("DurationSeconds", roleDurationSecondsShape), api.May("Tags", tagListShape),
		api.May("TransitiveTagKeys", tagKeyListShape), api.May("ExternalId", externalIDShape), api.May("SerialNumber", serialNumberShape),
		api.May("TokenCode", tokenCodeShape), api.May("SourceIdentity", roleSessionNameShape),
		api.May("ProvidedContexts", providedContextsListShape),
	},
	"AssumeRoleWithWebIdentity": {
		api.Must("RoleArn", arnShape), api.Must("RoleSessionName", roleSessionNameShape), api.Must("WebIdentityToken", clientTokenShape),
		api.May("ProviderId", contextAssertionShape), api.May("PolicyArns", policyDescriptorListShape),
		api.May("Policy", sessionPolicyDocumentShape), api.May("DurationSeconds", roleDurationSecondsShape),
	},
	"GetAccessKeyInfo":  {api.Must("AccessKeyId", accessKeyIDShape)},
	"GetCallerIdentity": {},
	"GetFederationToken": {
		api.Must("Name", userNameShape), api.May("Policy", sessionPolicyDocumentShape), api.May("PolicyArns", policyDescriptorListShape),
		api.May("DurationSeconds", durationSecondsShape), api.May("Tags", tagListShape),
	},
	"GetSessionToken": {
		api.May("DurationSeconds", durationSecondsShape), api.May("SerialNumber", serialNumberShape),
		api.May("TokenCode", tokenCodeShape),
	},
}
