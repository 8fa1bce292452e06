// As the administrator: the event history, and that of another account.

import { CloudTrailClient, LookupEventsCommand, paginateLookupEvents } from "@aws-sdk/client-cloudtrail";
import * as iam from "@aws-sdk/client-iam";
import { AssumeRoleCommand, STSClient } from "@aws-sdk/client-sts";

import { equal, ONCE, refused, TRUST } from "./ask.mjs";

const account = "111122223333";
const name = "trail-js";
const arn = `arn:aws:iam::${account}:role/${name}`;
const changes = ["one", "two", "three"];
const newestFirst = changes.toReversed();

const { TRIED_OTHER_ID: accessKeyId, TRIED_OTHER_SECRET: secretAccessKey, TRIED_OTHER_ACCOUNT: otherAccount } = process.env;
const THEIRS = { ...ONCE, credentials: { accessKeyId, secretAccessKey } };

// named are the records of an attribute, newest first, by pages of a size.
async function named(AttributeKey, AttributeValue, { as = ONCE, pageSize = 50, ...more } = {}) {
  const found = [];
  const pages = paginateLookupEvents({ client: new CloudTrailClient(as), pageSize }, { LookupAttributes: [{ AttributeKey, AttributeValue }], ...more });
  for await (const page of pages) found.push(...page.Events.map((e) => JSON.parse(e.CloudTrailEvent)));
  return found;
}

const described = (found) => found.filter((r) => r.requestParameters.roleName === name).map((r) => r.requestParameters.description);

const lookup = (input) => new CloudTrailClient(ONCE).send(new LookupEventsCommand(input));

async function byEventName() {
  const client = new iam.IAMClient(ONCE);
  const AssumeRolePolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: { Effect: "Allow", Principal: { AWS: account }, Action: "sts:AssumeRole" } });
  await client.send(new iam.CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument }));
  for (const Description of changes) await client.send(new iam.UpdateRoleDescriptionCommand({ RoleName: name, Description }));
  equal(described(await named("EventName", "UpdateRoleDescription")), newestFirst);
  const two = { LookupAttributes: [{ AttributeKey: "EventName", AttributeValue: "x" }, { AttributeKey: "ReadOnly", AttributeValue: "true" }] };
  await refused("InvalidLookupAttributesException", "", lookup(two));
}

async function byResourceName() {
  await new STSClient(ONCE).send(new AssumeRoleCommand({ RoleArn: arn, RoleSessionName: "js" }));
  const { Events } = await lookup({ LookupAttributes: [{ AttributeKey: "ResourceName", AttributeValue: arn }] });
  equal(Events.map((e) => [e.EventName, e.EventSource, e.ReadOnly, e.Username]), [["AssumeRole", "sts.amazonaws.com", "true", "administrator"]]);
  equal(Events[0].Resources, [{ ResourceType: "AWS::IAM::Role", ResourceName: arn }]);
  equal((await named("ResourceName", name)).map((r) => r.eventID), [Events[0].EventId]);
  equal(await named("ResourceName", `${arn}x`), []);
}

async function byPages() {
  const found = await named("EventName", "UpdateRoleDescription", { pageSize: 1 });
  equal(described(found), newestFirst);
  equal(new Set(found.map((r) => r.eventID)).size, found.length, "events of all pages");
  await refused("InvalidNextTokenException", "", lookup({ NextToken: "x" }));
}

async function byTime() {
  const { Role } = await new iam.IAMClient(ONCE).send(new iam.GetRoleCommand({ RoleName: name }));
  const made = Math.floor(Role.CreateDate.getTime() / 1000) * 1000;
  const [before, after] = [new Date(made - 60_000), new Date(made + 60_000)]; // the event is of the call's beginning, perhaps in a second of before
  const has = async (times) => (await named("EventName", "CreateRole", times)).some((r) => r.requestParameters.roleName === name);
  equal([await has({ StartTime: before, EndTime: after }), await has({ EndTime: before }), await has({ StartTime: after })], [true, false, false]);
  await refused("InvalidTimeRangeException", "", lookup({ StartTime: after, EndTime: before }));
}

async function ofAnotherAccount() {
  const theirs = `${name}-theirs`;
  await new iam.IAMClient(THEIRS).send(new iam.CreateRoleCommand({ RoleName: theirs, AssumeRolePolicyDocument: TRUST }));
  for (const [as, owner, have, lack] of [[THEIRS, otherAccount, theirs, name], [ONCE, account, name, theirs]]) {
    const found = await named("EventName", "CreateRole", { as });
    equal([...new Set(found.map((r) => r.recipientAccountId))], [owner]);
    const names = found.map((r) => r.requestParameters.roleName);
    equal([names.includes(have), names.includes(lack)], [true, false]);
  }
  equal(await named("ResourceName", arn, { as: THEIRS }), []);
}

export const TRAIL = [
  ["LookupEvents by EventName", byEventName],
  ["LookupEvents by ResourceName", byResourceName],
  ["LookupEvents by pages", byPages],
  ["LookupEvents by time", byTime],
  ["LookupEvents of another account", ofAnotherAccount],
];
