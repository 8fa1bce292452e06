import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, open, role, signIn, start, user } from "./world.mjs";

test("what the principal may not do", async (t) => {
  const world = await start(t);
  const reader = await user(world, "reader", [
    { Effect: "Allow", Action: ["eks:List*", "eks:Describe*"], Resource: "*" },
    { Effect: "Allow", Action: "eks:DeletePodIdentityAssociation", Resource: "*" },
  ]);
  const page = await open(t, world);
  await signIn(page, world, reader);

  const refused = async (name, action) => {
    const button = page.getByRole("button", { name, exact: true, disabled: true }).first();
    await button.waitFor();
    await button.hover();
    await page.getByText(new RegExp(`You need ${action} on arn:aws:eks:us-east-1:111122223333:`)).filter({ visible: true }).waitFor();
  };

  await refused("Register a cluster", "eks:RegisterCluster");
  await accessible(page, "the clusters of a reader");
  await page.getByRole("link", { name: "dev", exact: true }).click();
  await page.getByRole("tab", { name: "Access" }).click();
  await refused("Create association", "eks:CreatePodIdentityAssociation");
  await page.getByRole("checkbox", { name: "Choose default/ec2-restart-sa" }).check();
  await refused("Edit", "eks:UpdatePodIdentityAssociation");
  await accessible(page, "the associations of a reader");

  // What is allowed beside it is not disabled, and what cannot be told is said to be so.
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText(/Which pods had credentials is not shown: .*cloudtrail:LookupEvents/).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("tab", { name: "Add-ons" }).click();
  await refused("Get more add-ons", "eks:CreateAddon");
});

test("what hangs on what the call brings", async (t) => {
  const world = await start(t, "--empty");
  const arn = await role(world, "reports");
  const limited = await user(world, "limited", [
    { Effect: "Allow", Action: ["iam:Get*", "iam:List*"], Resource: "*" },
    { Effect: "Allow", Action: "iam:AttachRolePolicy", Resource: arn, Condition: { ArnEquals: { "iam:PolicyARN": "arn:aws:iam::aws:policy/ReadOnlyAccess" } } },
  ]);
  const page = await open(t, world);
  await signIn(page, world, limited);
  await page.getByRole("link", { name: "Roles" }).first().click();
  await page.getByRole("link", { name: "reports", exact: true }).click();
  await page.getByRole("button", { name: "Attach policies", exact: true, disabled: false }).first().waitFor();
  await page.getByRole("button", { name: "Set boundary", exact: true, disabled: true }).first().waitFor();
});

test("who may do nothing", async (t) => {
  const world = await start(t, "--empty");
  const nobody = await user(world, "nobody", [{ Effect: "Deny", Action: "*", Resource: "*" }]);
  const page = await open(t, world);
  await signIn(page, world, nobody);
  await page.getByText("The clusters could not be loaded").waitFor();
  await page.getByText(/not authorized to perform: eks:ListClusters/).waitFor();
  await accessible(page, "nothing that may be seen");
});

test("who may associate, but not hand on the role", async (t) => {
  const world = await start(t, "--empty");
  const arn = await role(world, "admin");
  const team = await user(world, "team", [{ Effect: "Allow", Action: "eks:*", Resource: "*" }]);
  const page = await open(t, world);
  await signIn(page, world, team);
  await page.getByRole("link", { name: "dev", exact: true }).click();
  await page.getByRole("tab", { name: "Access" }).click();
  await page.getByRole("button", { name: "Create association" }).first().click();
  await page.getByText(/The roles could not be listed, so type the ARN. .*iam:ListRoles/).waitFor();
  await page.getByRole("combobox", { name: "IAM role" }).fill(arn);
  await page.getByLabel("Namespace").fill("default");
  await page.getByLabel("Service account", { exact: true }).fill("reports");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByText(/not authorized to perform: iam:PassRole/).waitFor();
  const { associations } = await world.eks.send(new eks.ListPodIdentityAssociationsCommand({ clusterName: "dev" }));
  assert.deepEqual(associations, []);
});
