// The managed policies of a role and its permissions boundary, in the console: who may change them does, and who may not is
// told what is missing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, iam, narrow, open, role, signIn, start, user } from "./world.mjs";

const arn = (name) => `arn:aws:iam::111122223333:policy/${name}`;
const allow = (...actions) => JSON.stringify({ Version: "2012-10-17", Statement: { Effect: "Allow", Action: actions, Resource: "*" } });
const policy = (world, name, ...actions) => world.iam.send(new iam.CreatePolicyCommand({ PolicyName: name, PolicyDocument: allow(...actions) }));
const attached = async (world) => (await world.iam.send(new iam.ListAttachedRolePoliciesCommand({ RoleName: "reports" }))).AttachedPolicies.map((p) => p.PolicyName);
const boundary = async (world) => (await world.iam.send(new iam.GetRoleCommand({ RoleName: "reports" }))).Role.PermissionsBoundary?.PermissionsBoundaryArn;

test("managed policies and the boundary of a role", async (t) => {
  const world = await start(t, "--empty");
  await role(world, "reports");
  await policy(world, "read-tags", "s3:GetObject");
  await world.iam.send(new iam.CreatePolicyVersionCommand({ PolicyArn: arn("read-tags"), PolicyDocument: allow("s3:GetObjectTagging"), SetAsDefault: true }));
  // More than the console asks for at once.
  await Promise.all(Array.from({ length: 120 }, (_, i) => policy(world, `team-${String(i).padStart(3, "0")}`, "s3:ListBucket")));
  const page = await open(t, world);
  await signIn(page, world);
  await page.getByRole("link", { name: "Roles" }).first().click();
  await page.getByRole("link", { name: "reports" }).click();
  const table = page.getByRole("grid", { name: "Managed policies" });
  const row = (name) => table.getByRole("row", { name: new RegExp(name) });
  const dialog = page.getByRole("dialog");

  await t.test("attaching", async () => {
    await page.getByText("No managed policy is attached.").waitFor();
    await page.getByRole("button", { name: "Attach policies" }).first().click();
    const { Policies: all } = await world.iam.send(new iam.ListPoliciesCommand({ MaxItems: 1000 }));
    await dialog.getByText(`(${all.length})`, { exact: true }).waitFor();
    await dialog.getByLabel("Search policies").fill("team-119"); // of the second page
    await dialog.getByRole("checkbox", { name: "Choose team-119" }).check();
    await dialog.getByLabel("Search policies").fill("aws managed");
    await dialog.getByRole("row", { name: /AmazonS3ReadOnlyAccess/ }).getByText("AWS managed").waitFor();
    await dialog.getByLabel("Search policies").fill("policy/read-tags");
    await dialog.getByRole("checkbox", { name: "Choose read-tags" }).check();
    const says = dialog.getByLabel("Policy read-tags", { exact: true });
    assert.equal(JSON.parse(await says.textContent()).Statement.Action[0], "s3:GetObjectTagging"); // the default version
    await accessible(page, "attaching policies");
    await narrow(page, "attaching policies");
    await dialog.getByRole("button", { name: "Attach", exact: true }).click();
    await page.getByText("team-119, read-tags are attached").waitFor();
    await row("read-tags").getByText("Customer managed").waitFor();
    assert.deepEqual(await attached(world), ["read-tags", "team-119"]);
  });

  await t.test("what one says", async () => {
    await page.getByRole("button", { name: "Show the policy read-tags" }).focus();
    await page.keyboard.press("Enter");
    await dialog.getByText(/Its default version, v2, /).waitFor();
    await dialog.getByLabel("Policy read-tags", { exact: true }).getByText("s3:GetObjectTagging").waitFor();
    await accessible(page, "a managed policy");
    await narrow(page, "a managed policy");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Show the policy read-tags");
  });

  await t.test("a boundary, by keyboard", async () => {
    await page.getByText("The role has no boundary.").waitFor();
    await page.getByRole("button", { name: "Set boundary" }).focus();
    await page.keyboard.press("Enter");
    await dialog.getByRole("row", { name: /team-007/ }).waitFor();
    await tabTo(page, "Search policies");
    await page.keyboard.type("team-007");
    await dialog.getByText("1 match", { exact: true }).filter({ visible: true }).waitFor();
    await tabTo(page, "Policies");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Space");
    await dialog.getByLabel("Policy team-007", { exact: true }).waitFor();
    await tabTo(page, "Set");
    await page.keyboard.press("Enter");
    await page.getByText("The boundary team-007 is set").waitFor();
    await page.getByRole("button", { name: "Show the policy team-007" }).waitFor();
    assert.equal(await boundary(world), arn("team-007"));
    await page.getByRole("button", { name: "Change boundary" }).waitFor();
    await accessible(page, "a role with managed policies and a boundary");
    await narrow(page, "a role with managed policies and a boundary");
  });

  await t.test("who may only look", async () => {
    const looker = await user(world, "looker", [{ Effect: "Allow", Action: ["iam:GetRole", "iam:GetPolicy", "iam:List*", "lanyard:DescribeAccount"], Resource: "*" }]);
    const other = await open(t, world);
    await signIn(other, world, looker);
    await other.goto(`${world.url}/console/#/roles/reports`);
    const refused = async (name, action, resource = "arn:aws:iam::111122223333:role/reports") => {
      const button = other.getByRole("button", { name, exact: true, disabled: true });
      await button.waitFor();
      await button.hover();
      await other.getByText(`You need ${action} on ${resource}`, { exact: true }).filter({ visible: true }).waitFor();
    };
    await refused("Attach policies", "iam:AttachRolePolicy");
    await refused("Detach", "iam:DetachRolePolicy");
    await refused("Change boundary", "iam:PutRolePermissionsBoundary");
    await refused("Remove boundary", "iam:DeleteRolePermissionsBoundary");
    await refused("Show the policy read-tags", "iam:GetPolicyVersion", arn("read-tags"));
    await accessible(other, "managed policies of who may only look");
  });

  // What no policy forbids in general is not disabled, and the server may refuse it all the same.
  await t.test("who may list none, and attach all but one", async () => {
    const team = await user(world, "team", [
      { Effect: "Allow", Action: ["iam:GetRole", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"], Resource: "*" },
      { Effect: "Deny", Action: "iam:AttachRolePolicy", Resource: "*", Condition: { ArnEquals: { "iam:PolicyARN": arn("team-008") } } },
    ]);
    const other = await open(t, world);
    await signIn(other, world, team);
    await other.goto(`${world.url}/console/#/roles/reports`);
    await other.getByRole("button", { name: "Attach policies" }).click();
    await other.getByText(/is not authorized to perform: iam:ListPolicies/).waitFor();
    await other.getByLabel("Policy ARN").fill(arn("team-008"));
    await other.getByRole("button", { name: "Attach", exact: true }).click();
    await other.getByText("The policy team-008 was not attached").waitFor();
    assert.deepEqual(await attached(world), ["read-tags", "team-119"]);
    await other.getByRole("button", { name: "Change boundary" }).click();
    await other.getByLabel("Policy ARN").fill(arn("team-008"));
    await other.getByRole("button", { name: "Set", exact: true }).click();
    await other.getByText("The boundary team-008 is set").waitFor();
    assert.equal(await boundary(world), arn("team-008"));
  });

  await t.test("detaching, and no boundary", async () => {
    await page.getByRole("button", { name: "Refresh managed policies" }).click();
    await row("team-119").getByRole("checkbox").check();
    await page.getByRole("button", { name: "Detach", exact: true }).click();
    await dialog.getByText(/What team-119 says holds no longer/).waitFor();
    await accessible(page, "detaching a policy");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    assert.deepEqual(await attached(world), ["read-tags", "team-119"]);
    await page.getByRole("button", { name: "Detach", exact: true }).click();
    await dialog.getByRole("button", { name: "Detach", exact: true }).click();
    await page.getByText("team-119 is detached").waitFor();
    await row("team-119").waitFor({ state: "detached" });
    assert.deepEqual(await attached(world), ["read-tags"]);
    await page.getByRole("button", { name: "Remove boundary" }).click();
    await dialog.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("The boundary is removed.").waitFor();
    await page.getByText("The role has no boundary.").waitFor();
    assert.equal(await boundary(world), undefined);
  });
});

/** Presses the tab key until what has this name, or is in what has it, has the focus. */
async function tabTo(page, name) {
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate((name) => {
      const at = document.activeElement;
      return at.textContent === name || at.closest(`[aria-label="${name}"]`) !== null;
    }, name);
    if (there) return;
  }
  assert.fail(`the tab key does not reach ${name}`);
}
