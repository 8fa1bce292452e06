// As the administrator: EKS, IAM and signatures. As the node's agent: web identity.

import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3";
import { AssumeRoleWithWebIdentityCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

import { contains, equal, ONCE, POD_TOKEN, refused, ROLE, TRUST } from "./ask.mjs";

const roleArn = `arn:aws:iam::111122223333:role/${ROLE}`;

async function clustersAndAssociations() {
  const client = new eks.EKSClient(ONCE);
  const send = (Command, input) => client.send(new Command(input));
  contains((await send(eks.ListClustersCommand, {})).clusters, "dev");
  const { cluster } = await send(eks.DescribeClusterCommand, { name: "dev" });
  equal([cluster.status, cluster.createdAt instanceof Date], ["ACTIVE", true]);
  await refused("ResourceNotFoundException", "No cluster found for name: absent.", send(eks.DescribeClusterCommand, { name: "absent" }));

  const at = { clusterName: "dev" };
  const pair = { namespace: "js", serviceAccount: "reporter" };
  const made = (await send(eks.CreatePodIdentityAssociationCommand, { ...at, ...pair, roleArn, tags: { a: "1" } })).association;
  const again = await refused("ResourceInUseException", made.associationId, send(eks.CreatePodIdentityAssociationCommand, { ...at, ...pair, roleArn }));
  equal(again instanceof eks.ResourceInUseException, true, "class");
  const { associations } = await send(eks.ListPodIdentityAssociationsCommand, { ...at, ...pair });
  equal(associations.map((a) => a.associationId), [made.associationId]);
  const one = { ...at, associationId: made.associationId };
  equal((await send(eks.DescribePodIdentityAssociationCommand, one)).association.roleArn, roleArn);
  const other = "arn:aws:iam::111122223333:role/ec2-restart-role";
  equal((await send(eks.UpdatePodIdentityAssociationCommand, { ...one, roleArn: other })).association.roleArn, other);
  await send(eks.TagResourceCommand, { resourceArn: made.associationArn, tags: { b: "2" } });
  await send(eks.UntagResourceCommand, { resourceArn: made.associationArn, tagKeys: ["a"] });
  equal((await send(eks.ListTagsForResourceCommand, { resourceArn: made.associationArn })).tags, { b: "2" });
  const absent = { ...at, ...pair, serviceAccount: "bad", roleArn: "arn:aws:iam::111122223333:role/absent" };
  await refused("InvalidParameterException", "Role provided in the request does not exist.", send(eks.CreatePodIdentityAssociationCommand, absent));
  await send(eks.DeletePodIdentityAssociationCommand, one);
  await refused("ResourceNotFoundException", "", send(eks.DeletePodIdentityAssociationCommand, one));
}

async function rolesAndPolicies() {
  const client = new iam.IAMClient(ONCE);
  const send = (Command, input) => client.send(new Command(input));
  const RoleName = "js-role";
  const named = { RoleName, PolicyName: "read" };
  const PolicyDocument = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}';
  const { Role } = await send(iam.CreateRoleCommand, { RoleName, AssumeRolePolicyDocument: TRUST, Tags: [{ Key: "a", Value: "1" }] });
  equal(Role.Arn, "arn:aws:iam::111122223333:role/js-role");
  await refused("EntityAlreadyExistsException", RoleName, send(iam.CreateRoleCommand, { RoleName, AssumeRolePolicyDocument: TRUST }));
  equal(decodeURIComponent((await send(iam.GetRoleCommand, { RoleName })).Role.AssumeRolePolicyDocument), TRUST);
  await send(iam.PutRolePolicyCommand, { ...named, PolicyDocument });
  equal(decodeURIComponent((await send(iam.GetRolePolicyCommand, named)).PolicyDocument), PolicyDocument);
  await refused("MalformedPolicyDocumentException", "", send(iam.PutRolePolicyCommand, { ...named, PolicyDocument: '{"Statement":[]}' }));
  await refused("DeleteConflictException", "", send(iam.DeleteRoleCommand, { RoleName }));
  await send(iam.DeleteRolePolicyCommand, named);
  await send(iam.DeleteRoleCommand, { RoleName });
  await refused("NoSuchEntityException", RoleName, send(iam.GetRoleCommand, { RoleName }));
  equal((await send(iam.GetUserCommand, {})).User.UserName, "administrator");
}

const everywhere = (more) => [
  () => new S3Client({ ...ONCE, ...more }).send(new ListBucketsCommand()),
  () => new iam.IAMClient({ ...ONCE, ...more }).send(new iam.GetUserCommand()),
  () => new eks.EKSClient({ ...ONCE, ...more }).send(new eks.ListClustersCommand()),
];

async function refusedEverywhere(credentials, codes) {
  for (const [i, call] of everywhere({ credentials }).entries()) await refused(codes[i], "", call());
}

async function anyRegion() {
  for (const call of everywhere({ region: "eu-west-1" })) await call();
}

async function wrongKeys() {
  const accessKeyId = process.env.AWS_ACCESS_KEY_ID;
  await refusedEverywhere({ accessKeyId, secretAccessKey: "wrong" }, ["SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException"]);
  const unknown = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wrong" };
  await refusedEverywhere(unknown, ["InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"]);
}

async function webIdentity() {
  contains((await new STSClient(ONCE).send(new GetCallerIdentityCommand())).Arn, ":assumed-role/lanyard-agent-");
}

async function webIdentityRefused() {
  const sts = new STSClient(ONCE);
  const as = { RoleArn: process.env.AWS_ROLE_ARN, RoleSessionName: "js" };
  for (const WebIdentityToken of [POD_TOKEN, "x.y.z"]) {
    await refused("InvalidIdentityTokenException", "", sts.send(new AssumeRoleWithWebIdentityCommand({ ...as, WebIdentityToken })));
  }
}

async function ownCA() {
  contains((await new STSClient(ONCE).send(new GetCallerIdentityCommand())).Arn, ":user/");
}

export const TLS = [["own CA by the injected variables", ownCA]];

export const EKS = [["clusters and associations", clustersAndAssociations]];

export const IAM = [["roles and policies", rolesAndPolicies]];

export const SIGNING = [
  ["any region", anyRegion],
  ["wrong secret, unknown key", wrongKeys],
];

export const AGENT = [
  ["AssumeRoleWithWebIdentity by the default chain", webIdentity],
  ["AssumeRoleWithWebIdentity, refused", webIdentityRefused],
];
