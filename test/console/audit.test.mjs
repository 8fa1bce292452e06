import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, iam, narrow, open, signIn, start, sts, user } from "./world.mjs";

// The walk-through of `lanyard dev` has asked as two pods: one got credentials, and the other was refused. The agent may have
// asked for the first one once more, as it heard of its association later.
const once = /^(1 match|2 matches)$/;

test("who did what, and which statement decided", async (t) => {
  const world = await start(t);
  const page = await open(t, world);
  await signIn(page, world);
  await page.getByRole("link", { name: "Audit", exact: true }).click();
  const records = page.getByRole("grid", { name: "Records" });
  await records.getByRole("link", { name: "AssumeRoleForPodIdentity" }).first().waitFor();
  await page.getByRole("application", { name: /^Records over time/ }).or(page.getByLabel(/^Records over time/)).first().waitFor();
  await shoot(page, "all");
  await accessible(page, "the audit");
  await narrow(page, "the audit");

  // By the action and the outcome, then by the pod.
  await filter(page, "Outcome = refused");
  await filter(page, "Action = AssumeRoleForPodIdentity");
  await page.getByText("1 match", { exact: true }).first().waitFor();
  await records.getByText("ResourceNotFoundException").waitFor();
  await shoot(page, "refused");
  await page.getByRole("button", { name: "Clear filters" }).click();
  await filter(page, "Pod : eks-pod-id");
  await filter(page, "Role = ec2-restart-role");
  await filter(page, "Action = AssumeRoleForPodIdentity");
  await filter(page, "Outcome = allowed");
  const one = records.getByRole("link", { name: "AssumeRoleForPodIdentity" });
  await page.getByText(once).first().waitFor();
  await one.first().click();

  await page.getByRole("heading", { name: "eks-auth: AssumeRoleForPodIdentity" }).waitFor();
  await page.getByText("trust: allowed by statement 0").waitFor();
  const json = JSON.parse(await page.getByLabel("The record as JSON", { exact: true }).textContent());
  assert.equal(json.additionalEventData.pod.serviceAccount, "ec2-restart-sa");
  assert.match(json.additionalEventData["decision/trust"], /^Allow by statement 0/);
  await shoot(page, "record");
  await accessible(page, "a record");
  await narrow(page, "a record");

  // A link to it is enough, and back is where it was.
  const id = json.eventID;
  assert.ok(page.url().endsWith(`#/audit/${id}`), page.url());
  await page.goBack();
  await page.getByText(once).first().waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.goto(`${world.url}/console/#/audit/no-such-record`);
  await page.getByText("There is no such record").waitFor();
  await accessible(page, "no record");
  await page.getByRole("link", { name: "To the audit" }).click();

  await filter(page, "Action = DeleteEverything");
  await page.getByText("No record matches the filters.").waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await records.getByRole("link", { name: "AssumeRoleForPodIdentity" }).first().waitFor();
});

test("a time in which nothing was, and one with more than is read at once", async (t) => {
  const world = await start(t, "--empty");
  const calls = Array.from({ length: 620 }, (_, i) => i);
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (calls.pop() !== undefined) await world.sts.send(new sts.GetCallerIdentityCommand({}));
    }),
  );
  const page = await open(t, world);
  await signIn(page, world);
  await page.goto(`${world.url}/console/#/audit`);
  await page.getByText("(500+)").waitFor();
  await page.getByRole("button", { name: "Load older records" }).click();
  await page.getByRole("heading", { name: /^Records \(6\d\d\)$/ }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Load older records" }).count(), 0);
  await page.getByRole("button", { name: "Next page", exact: true }).click();
  await page.getByRole("button", { name: "Page 2", exact: true }).waitFor();

  await page.getByRole("button", { name: /^Time Last/ }).click();
  await page.getByText("Absolute mode").first().click();
  await page.getByLabel("Start date").fill("2026/01/01");
  await page.getByLabel("Start time").fill("00:00:00");
  await page.getByLabel("End date").fill("2026/01/02");
  await page.getByLabel("End time").fill("00:00:00");
  await accessible(page, "the choice of a time");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("Nothing was recorded in this time.", { exact: false }).first().waitFor();
  await shoot(page, "nothing");
  await accessible(page, "an audit of nothing");
  await page.getByRole("button", { name: "Show the last 7 days" }).click();
  await page.getByText("(500+)").waitFor();
});

test("the audit of who may not read it, and of another account", async (t) => {
  const world = await start(t, "--empty");
  const reader = await user(world, "reader", [{ Effect: "Allow", Action: "eks:List*", Resource: "*" }]);
  const page = await open(t, world);
  await signIn(page, world, reader);
  await page.getByRole("link", { name: "Audit", exact: true }).click();
  await page.getByText("You need cloudtrail:LookupEvents on *").waitFor();
  await accessible(page, "an audit that is not shown");

  const told = world.run("account", "create", "other");
  const key = (name) => new RegExp(`${name}=(\\S+)`).exec(told)[1];
  const theirs = await open(t, world);
  await signIn(theirs, world, { accessKeyId: key("AWS_ACCESS_KEY_ID"), secretAccessKey: key("AWS_SECRET_ACCESS_KEY") });
  await world.iam.send(new iam.CreateRoleCommand({ RoleName: "ours", AssumeRolePolicyDocument: '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}}' }));
  await theirs.getByRole("link", { name: "Audit", exact: true }).click();
  const records = theirs.getByRole("grid", { name: "Records" });
  await records.getByRole("link", { name: "GetCallerIdentity" }).first().waitFor();
  assert.equal(await records.getByRole("link", { name: "CreateRole" }).count(), 0);
});

/** Types a filter as it reads. */
async function filter(page, text) {
  const box = page.getByRole("combobox", { name: "Filter the records" });
  await box.fill(text);
  await box.press("Enter");
  await page.getByRole("button", { name: `Remove filter, ${text}` }).or(page.getByText(text, { exact: true })).first().waitFor();
}

async function shoot(page, name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
}
