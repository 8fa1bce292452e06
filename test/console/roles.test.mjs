// A role from nothing to what pods become, in the console: trust, permissions with findings, and who can become it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, iam, narrow, open, picture, signIn, start, user } from "./world.mjs";

test("roles", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);
  await signIn(page, world);
  await page.getByRole("link", { name: "Roles" }).first().click();
  await page.getByText("No role yet.").waitFor();
  await accessible(page, "no roles");
  await narrow(page, "no roles");

  await t.test("creating one, with findings", async () => {
    await page.getByRole("button", { name: "Create role" }).first().click();
    await page.getByLabel("Name", { exact: true }).fill("reports");
    const trust = page.getByRole("textbox", { name: "Trust policy" });
    const stored = await trust.inputValue();
    const findings = page.getByRole("status", { name: "Findings in the trust policy" });
    await findings.getByText("Nothing is wrong with it.").waitFor();
    await trust.fill(stored.replace('"Allow"', '"Alow"'));
    await findings.getByText(/Line 5, column 17: .*"Alow"/).waitFor();
    await accessible(page, "creating a role");
    await narrow(page, "creating a role");
    assert.equal(await page.getByRole("button", { name: "Create", exact: true }).getAttribute("aria-disabled"), "true");
    await trust.fill(stored.replace('"sts:TagSession"', '"sts:SetSourceIdentity"'));
    await findings.getByText("sts:TagSession is missing").waitFor(); // a warning, with which it is stored
    await trust.fill(stored);
    await findings.getByText("Nothing is wrong with it.").waitFor();
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByText("The role reports is created.").waitFor();
    await page.getByText("The role may do nothing yet.").waitFor();
    await accessible(page, "a new role");
  });

  await t.test("its permissions", async () => {
    await page.getByRole("button", { name: "Add an inline policy" }).first().click();
    await page.getByLabel("Policy name").fill("read");
    const policy = page.getByRole("textbox", { name: "Policy document" });
    await policy.fill('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObjet","Resource":"*"}}');
    await page.getByRole("status").getByText('"s3:GetObjet": no operation here asks for such an action').waitFor();
    await accessible(page, "a policy with a warning");
    await policy.fill('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}}');
    await page.getByRole("status").getByText("Nothing is wrong with it.").waitFor();
    await page.getByRole("button", { name: "Save the policy read" }).click();
    await page.getByText("The policy read is saved").waitFor();
    const stored = await world.iam.send(new iam.GetRolePolicyCommand({ RoleName: "reports", PolicyName: "read" }));
    assert.equal(JSON.parse(decodeURIComponent(stored.PolicyDocument)).Statement.Action, "s3:GetObject");
    await page.getByRole("textbox", { name: "Policy read" }).waitFor();
    await accessible(page, "a role's permissions");
    await narrow(page, "a role's permissions");
    await picture(page, "role");
  });

  await t.test("its trust policy", async () => {
    await page.getByRole("tab", { name: "Trust policy" }).click();
    const trust = page.getByRole("textbox", { name: "Trust policy" });
    await trust.fill((await trust.inputValue()).replace('"Effect": "Allow"', '"Effect": "Allow", "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "shop"}}'));
    await page.getByRole("status").getByText("Nothing is wrong with it.").waitFor();
    await page.getByRole("button", { name: "Save the trust policy" }).click();
    await page.getByText("The trust policy is saved.").waitFor();
    await accessible(page, "a trust policy");
  });

  await t.test("who can become it", async () => {
    for (const namespace of ["shop", "billing"]) {
      const made = { clusterName: "dev", namespace, serviceAccount: "web", roleArn: "arn:aws:iam::111122223333:role/reports" };
      await world.eks.send(new eks.CreatePodIdentityAssociationCommand(made));
    }
    await page.getByRole("tab", { name: "Who can become it" }).click();
    await page.getByRole("button", { name: "Refresh who can become it" }).click();
    await page.getByRole("row", { name: /shop\/web of cluster dev/ }).getByText("statement 0 of the trust policy").waitFor();
    assert.equal(await page.getByText("billing/web").count(), 0); // which the trust policy now leaves out
    await page.getByText("Its trust policy names pods.eks.amazonaws.com").waitFor();
    await accessible(page, "who can become a role");
    await narrow(page, "who can become a role");
  });

  await t.test("the list, and who may only look", async () => {
    await page.getByRole("link", { name: "Roles" }).first().click();
    await page.getByRole("row", { name: /reports/ }).getByText("Trusts pods").waitFor();
    await accessible(page, "the roles");
    await narrow(page, "the roles");
    const looker = await user(world, "looker", [{ Effect: "Allow", Action: ["iam:Get*", "iam:List*", "lanyard:DescribeAccount"], Resource: "*" }]);
    const other = await open(t, world);
    await signIn(other, world, looker);
    await other.getByRole("link", { name: "Roles" }).first().click();
    await other.getByRole("row", { name: /reports/ }).waitFor();
    const create = other.getByRole("button", { name: "Create role" });
    await create.and(other.locator('[aria-disabled="true"]')).waitFor();
    await other.getByRole("link", { name: "reports" }).click();
    await other.getByRole("button", { name: "Delete the policy read" }).and(other.locator('[aria-disabled="true"]')).waitFor();
    await other.getByRole("button", { name: "Delete the policy read" }).hover();
    await other.getByText("You need iam:DeleteRolePolicy on arn:aws:iam::111122223333:role/reports").filter({ visible: true }).waitFor();
    await other.getByRole("tab", { name: "Who can become it" }).click();
    await other.getByText(/is not authorized to perform: lanyard:WhoCan/).waitFor();
  });

  await t.test("deleting a policy", async () => {
    await page.getByRole("link", { name: "reports" }).click();
    await page.getByRole("button", { name: "Delete the policy read" }).click();
    await page.getByText("The policy read is deleted.").waitFor();
    await page.getByText("The role may do nothing yet.").waitFor();
  });
});
