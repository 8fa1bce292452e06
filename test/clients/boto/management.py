"""As the administrator: EKS and IAM."""

import datetime
import json

from ask import ROLE, TRUST, client, contains, equal, refused


def clusters():
    eks = client("eks")
    contains(eks.list_clusters()["clusters"], "dev")
    got = eks.describe_cluster(name="dev")["cluster"]
    equal((got["status"], got["arn"]), ("ACTIVE", "arn:aws:eks:us-east-1:111122223333:cluster/dev"))
    contains(got["identity"]["oidc"]["issuer"], "https://")
    equal(type(got["createdAt"]), datetime.datetime, "createdAt")
    refused("ResourceNotFoundException", "No cluster found for name: absent.", eks.describe_cluster, name="absent")


def registration():
    eks = client("eks")
    config = {"roleArn": "arn:aws:iam::111122223333:role/connector", "provider": "OTHER"}
    got = eks.register_cluster(name="boto3-outside", connectorConfig=config, tags={"env": "test"})["cluster"]
    equal((got["status"], got["tags"]), ("PENDING", {"env": "test"}))
    if len(got["connectorConfig"]["activationCode"]) < 20:
        raise AssertionError("activation code is short")
    refused("ResourceInUseException", "", eks.register_cluster, name="boto3-outside", connectorConfig=config)
    equal(eks.describe_cluster(name="boto3-outside")["cluster"]["connectorConfig"].get("activationCode"), None, "code")
    eks.deregister_cluster(name="boto3-outside")
    refused("ResourceNotFoundException", "", eks.deregister_cluster, name="boto3-outside")


PAIR = {"namespace": "boto3", "serviceAccount": "reporter"}
ROLE_ARN = f"arn:aws:iam::111122223333:role/{ROLE}"


def associated():
    eks = client("eks")
    found = eks.list_pod_identity_associations(clusterName="dev", **PAIR)["associations"]
    return eks, found[0] if found else None


def association_create():
    eks = client("eks")
    new = {"clusterName": "dev", "roleArn": ROLE_ARN, **PAIR, "tags": {"a": "1"}, "clientRequestToken": "boto3-1"}
    got = eks.create_pod_identity_association(**new)["association"]
    equal((got["roleArn"], got["tags"], got["disableSessionTags"]), (ROLE_ARN, {"a": "1"}, False))
    again = eks.create_pod_identity_association(**new)["association"]
    equal(again["associationId"], got["associationId"], "id for the same clientRequestToken")
    refused("ResourceInUseException", got["associationId"], eks.create_pod_identity_association, **{**new, "clientRequestToken": "boto3-2"})


def association_list():
    eks, found = associated()
    equal((found["namespace"], found["serviceAccount"], found["clusterName"]), ("boto3", "reporter", "dev"))
    pages = eks.get_paginator("list_pod_identity_associations").paginate(clusterName="dev", PaginationConfig={"PageSize": 1})
    contains([a["associationId"] for page in pages for a in page["associations"]], found["associationId"])
    refused("ResourceNotFoundException", "", eks.list_pod_identity_associations, clusterName="absent")


def association_describe():
    eks, found = associated()
    got = eks.describe_pod_identity_association(clusterName="dev", associationId=found["associationId"])["association"]
    equal((got["associationArn"], got["roleArn"]), (found["associationArn"], ROLE_ARN))
    equal(type(got["createdAt"]), datetime.datetime, "createdAt")
    refused("ResourceNotFoundException", "a-absent", eks.describe_pod_identity_association, clusterName="dev", associationId="a-absent")


def association_update():
    eks, found = associated()
    other = "arn:aws:iam::111122223333:role/ec2-restart-role"
    got = eks.update_pod_identity_association(clusterName="dev", associationId=found["associationId"], roleArn=other)["association"]
    equal(got["roleArn"], other)
    refused("InvalidParameterException", "Role provided in the request does not exist.", eks.update_pod_identity_association,
            clusterName="dev", associationId=found["associationId"], roleArn="arn:aws:iam::111122223333:role/absent")
    change = {"clusterName": "dev", "associationId": found["associationId"]}
    got = eks.update_pod_identity_association(**change, targetRoleArn=ROLE_ARN)["association"]
    equal((got["targetRoleArn"], got["externalId"]), (ROLE_ARN, "us-east-1/111122223333/dev/boto3/reporter"))
    got = eks.update_pod_identity_association(**change, policy=json.dumps(POLICY), disableSessionTags=True)["association"]
    equal((got["targetRoleArn"], json.loads(got["policy"]), got["disableSessionTags"]), (ROLE_ARN, POLICY, True))
    got = eks.update_pod_identity_association(**change, targetRoleArn="", policy="", disableSessionTags=False)["association"]
    equal(("targetRoleArn" in got, "externalId" in got, "policy" in got, got["disableSessionTags"]), (False, False, False, False))


def association_tags():
    eks, found = associated()
    arn = found["associationArn"]
    eks.tag_resource(resourceArn=arn, tags={"b": "2", "c": "3"})
    equal(eks.list_tags_for_resource(resourceArn=arn)["tags"], {"a": "1", "b": "2", "c": "3"})
    eks.untag_resource(resourceArn=arn, tagKeys=["a", "c"])
    equal(eks.list_tags_for_resource(resourceArn=arn)["tags"], {"b": "2"})
    absent = "arn:aws:eks:us-east-1:111122223333:podidentityassociation/dev/a-absent"
    refused("NotFoundException", "", eks.list_tags_for_resource, resourceArn=absent)
    refused("BadRequestException", "", eks.list_tags_for_resource, resourceArn="arn:aws:s3:::bucket")


def association_bad():
    eks = client("eks")
    new = {"clusterName": "dev", "roleArn": ROLE_ARN, "namespace": "boto3", "serviceAccount": "bad"}
    for change, message in (
        ({"roleArn": "arn:aws:iam::111122223333:role/absent"}, "Role provided in the request does not exist."),
        ({"namespace": "Not_A_Namespace"}, "namespace contains invalid characters"),
        ({"targetRoleArn": "reporter"}, "targetRoleArn"),
        ({"policy": json.dumps(POLICY)}, "disableSessionTags must be set to true"),
    ):
        refused("InvalidParameterException", message, eks.create_pod_identity_association, **{**new, **change})
    refused("ResourceNotFoundException", "absent", eks.create_pod_identity_association, **{**new, "clusterName": "absent"})
    equal(eks.list_pod_identity_associations(clusterName="dev", namespace="boto3", serviceAccount="bad")["associations"], [])


def association_delete():
    eks, found = associated()
    got = eks.delete_pod_identity_association(clusterName="dev", associationId=found["associationId"])["association"]
    equal(got["associationId"], found["associationId"])
    refused("ResourceNotFoundException", "", eks.delete_pod_identity_association, clusterName="dev", associationId=found["associationId"])


NAME = "boto3-role"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}]}


def role_create():
    iam = client("iam")
    got = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=TRUST, Description="for a test", Tags=[{"Key": "a", "Value": "1"}])["Role"]
    equal((got["Arn"], got["RoleId"][:4]), (f"arn:aws:iam::111122223333:role/{NAME}", "AROA"))
    refused("EntityAlreadyExists", NAME, iam.create_role, RoleName=NAME, AssumeRolePolicyDocument=TRUST)
    refused("MalformedPolicyDocument", "", iam.create_role, RoleName="boto3-bad", AssumeRolePolicyDocument="{")


def role_get():
    iam = client("iam")
    got = iam.get_role(RoleName=NAME)["Role"]
    equal((got["AssumeRolePolicyDocument"], got["Description"]), (json.loads(TRUST), "for a test"))
    equal(type(got["CreateDate"]), datetime.datetime, "CreateDate")
    contains([r["RoleName"] for p in iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1}) for r in p["Roles"]], NAME)
    refused("NoSuchEntity", "absent", iam.get_role, RoleName="absent")


def role_trust():
    iam, trust = client("iam"), json.loads(TRUST)
    trust["Statement"][0]["Condition"] = {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "pay"}}
    iam.update_assume_role_policy(RoleName=NAME, PolicyDocument=json.dumps(trust))
    equal(iam.get_role(RoleName=NAME)["Role"]["AssumeRolePolicyDocument"], trust)
    trust["Statement"][0]["Condition"] = {"Unheard": {"aws:x": "y"}}
    refused("MalformedPolicyDocument", "Unheard", iam.update_assume_role_policy, RoleName=NAME, PolicyDocument=json.dumps(trust))


def role_policies():
    iam = client("iam")
    iam.put_role_policy(RoleName=NAME, PolicyName="read", PolicyDocument=json.dumps(POLICY))
    equal(iam.get_role_policy(RoleName=NAME, PolicyName="read")["PolicyDocument"], POLICY)
    equal(iam.list_role_policies(RoleName=NAME)["PolicyNames"], ["read"])
    refused("MalformedPolicyDocument", "", iam.put_role_policy, RoleName=NAME, PolicyName="bad", PolicyDocument='{"Statement":[]}')
    refused("DeleteConflict", "", iam.delete_role, RoleName=NAME)
    iam.delete_role_policy(RoleName=NAME, PolicyName="read")
    refused("NoSuchEntity", "read", iam.get_role_policy, RoleName=NAME, PolicyName="read")


def managed():
    iam = client("iam")
    arn = iam.create_policy(PolicyName=NAME, Path="/team/", PolicyDocument=json.dumps(POLICY))["Policy"]["Arn"]
    equal(arn, f"arn:aws:iam::111122223333:policy/team/{NAME}")
    refused("EntityAlreadyExists", NAME, iam.create_policy, PolicyName=NAME, PolicyDocument=json.dumps(POLICY))
    refused("MalformedPolicyDocument", "", iam.create_policy, PolicyName="boto3-bad", PolicyDocument="{")
    iam.attach_role_policy(RoleName=NAME, PolicyArn=arn)
    equal(iam.list_attached_role_policies(RoleName=NAME)["AttachedPolicies"], [{"PolicyName": NAME, "PolicyArn": arn}])
    equal([r["RoleName"] for r in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]], [NAME])
    contains([p["Arn"] for page in iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 1}) for p in page["Policies"]], arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(POLICY), SetAsDefault=True)
    got = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    equal((got["Document"], got["IsDefaultVersion"]), (POLICY, True))
    equal(iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"], 1)
    refused("DeleteConflict", "attached", iam.delete_policy, PolicyArn=arn)
    refused("NoSuchEntity", "AmazonEC2FullAccess", iam.attach_role_policy, RoleName=NAME, PolicyArn="arn:aws:iam::aws:policy/AmazonEC2FullAccess")
    iam.detach_role_policy(RoleName=NAME, PolicyArn=arn)
    refused("NoSuchEntity", NAME, iam.detach_role_policy, RoleName=NAME, PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    refused("NoSuchEntity", NAME, iam.get_policy, PolicyArn=arn)


def role_tags():
    iam = client("iam")
    iam.tag_role(RoleName=NAME, Tags=[{"Key": "b", "Value": "two words: ü"}])
    iam.untag_role(RoleName=NAME, TagKeys=["a"])
    equal(iam.list_role_tags(RoleName=NAME)["Tags"], [{"Key": "b", "Value": "two words: ü"}])


def assume_role():
    account = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111122223333"},
               "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}]}
    client("iam").update_assume_role_policy(RoleName=NAME, PolicyDocument=json.dumps(account))
    sts, ask = client("sts"), {"RoleArn": f"arn:aws:iam::111122223333:role/{NAME}", "RoleSessionName": "boto3"}
    got = sts.assume_role(**ask, Tags=[{"Key": "team", "Value": "blue"}], TransitiveTagKeys=["team"], SourceIdentity="ann",
                          DurationSeconds=900, ExternalId="x-7", Policy=json.dumps(POLICY))
    equal((got["AssumedRoleUser"]["Arn"], got["SourceIdentity"]), (f"arn:aws:sts::111122223333:assumed-role/{NAME}/boto3", "ann"))
    refused("MalformedPolicyDocument", "", sts.assume_role, **ask, Policy="{}")
    refused("ValidationError", "MaxSessionDuration", sts.assume_role, **ask, DurationSeconds=3601)
    refused("AccessDenied", "not authorized to perform: sts:AssumeRole", sts.assume_role, **{**ask, "RoleArn": ROLE_ARN})


def role_delete():
    iam = client("iam")
    iam.delete_role(RoleName=NAME)
    refused("NoSuchEntity", NAME, iam.delete_role, RoleName=NAME)


def get_user():
    equal(client("iam").get_user()["User"]["UserName"], "administrator")
    refused("NoSuchEntity", "absent", client("iam").get_user, UserName="absent")


def iam_unknown():
    refused("InvalidAction", "ListSAMLProviders", client("iam").list_saml_providers)


EKS = [
    ("ListClusters, DescribeCluster", clusters),
    ("RegisterCluster, DeregisterCluster", registration),
    ("CreatePodIdentityAssociation", association_create),
    ("ListPodIdentityAssociations", association_list),
    ("DescribePodIdentityAssociation", association_describe),
    ("UpdatePodIdentityAssociation", association_update),
    ("TagResource, UntagResource, ListTagsForResource", association_tags),
    ("associations that are refused", association_bad),
    ("DeletePodIdentityAssociation", association_delete),
]

IAM = [
    ("CreateRole", role_create),
    ("GetRole, ListRoles", role_get),
    ("UpdateAssumeRolePolicy", role_trust),
    ("PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy", role_policies),
    ("managed policies: create, attach, versions, detach, delete", managed),
    ("TagRole, UntagRole, ListRoleTags", role_tags),
    ("AssumeRole", assume_role),
    ("DeleteRole", role_delete),
    ("GetUser", get_user),
    ("operations not served", iam_unknown),
]
