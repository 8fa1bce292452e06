package main

import (
	"net/url"

	"github.com/openlanyard/lanyard/dev"
)

func provider(action string, more ...string) request {
	return iamCall(action, "OpenIDConnectProviderArn", append([]string{"OpenIDConnectProviderArn", "arn:aws:iam::" + dev.Account + ":oidc-provider/none.example.org"}, more...))
}

// providerCalls are those about OIDC providers, and what is left of STS.
var providerCalls = []struct {
	operation string
	request   request
	rights    []string
}{
	{"CreateOpenIDConnectProvider", form("iam", "CreateOpenIDConnectProvider", url.Values{"Url": {"https://new.example.org"}}), []string{"iam:CreateOpenIDConnectProvider"}},
	{"CreateOpenIDConnectProvider", form("iam", "CreateOpenIDConnectProvider", url.Values{
		"Url": {"https://tagged.example.org"}, "Tags.member.1.Key": {"a"}, "Tags.member.1.Value": {"b"},
	}), []string{"iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider"}},
	{"GetOpenIDConnectProvider", provider("GetOpenIDConnectProvider"), []string{"iam:GetOpenIDConnectProvider"}},
	{"ListOpenIDConnectProviders", form("iam", "ListOpenIDConnectProviders", url.Values{}), []string{"iam:ListOpenIDConnectProviders"}},
	{"DeleteOpenIDConnectProvider", provider("DeleteOpenIDConnectProvider"), []string{"iam:DeleteOpenIDConnectProvider"}},
	{"UpdateOpenIDConnectProviderThumbprint", provider("UpdateOpenIDConnectProviderThumbprint", "ThumbprintList.member.1", "0000000000000000000000000000000000000001"), []string{"iam:UpdateOpenIDConnectProviderThumbprint"}},
	{"AddClientIDToOpenIDConnectProvider", provider("AddClientIDToOpenIDConnectProvider", "ClientID", "a"), []string{"iam:AddClientIDToOpenIDConnectProvider"}},
	{"RemoveClientIDFromOpenIDConnectProvider", provider("RemoveClientIDFromOpenIDConnectProvider", "ClientID", "a"), []string{"iam:RemoveClientIDFromOpenIDConnectProvider"}},
	{"TagOpenIDConnectProvider", provider("TagOpenIDConnectProvider", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"), []string{"iam:TagOpenIDConnectProvider"}},
	{"UntagOpenIDConnectProvider", provider("UntagOpenIDConnectProvider", "TagKeys.member.1", "a"), []string{"iam:UntagOpenIDConnectProvider"}},
	{"ListOpenIDConnectProviderTags", provider("ListOpenIDConnectProviderTags"), []string{"iam:ListOpenIDConnectProviderTags"}},
	{"GetAccessKeyInfo", form("sts", "GetAccessKeyInfo", url.Values{"AccessKeyId": {"AKIANONENONENONENONE"}}), []string{"sts:GetAccessKeyInfo"}},
}
