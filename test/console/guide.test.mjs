// Steps 2 and 3 of the guide, by hand in the console, and what comes of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, narrow, open, picture, role, signIn, start } from "./world.mjs";

// Asks the agent for credentials, as any SDK in a pod does, again too where it says that it cannot tell now, and prints the answer.
const fetchCredentials = `
  const authorization = require("fs").readFileSync(process.env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, "utf8");
  const ask = async (times) => {
    const answer = await fetch(process.env.AWS_CONTAINER_CREDENTIALS_FULL_URI, { headers: { authorization } });
    const text = await answer.text();
    if (answer.status >= 500 && times > 1) return setTimeout(ask, 500, times - 1);
    console.log(answer.status, text);
  };
  ask(20);`;

test("the guide's steps 2 and 3", async (t) => {
  const world = await start(t, "--empty");
  const arn = await role(world, "ec2-restart-role");
  const other = await role(world, "reader");
  const page = await open(t, world);
  await page.goto(`${world.url}/console/`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await accessible(page, "signing in");
  await narrow(page, "signing in");
  await signIn(page, world);

  await t.test("registering a cluster", async () => {
    await page.getByRole("button", { name: "Register a cluster" }).click();
    await page.getByLabel("Name").fill("prod");
    await page.getByRole("button", { name: "Register", exact: true }).click();
    await page.getByText("lanyard join --name prod --reactivate").waitFor();
    await page.getByRole("button", { name: "By hand, with the Helm chart" }).click();
    await page.getByText("The activation code is shown this once").waitFor();
    const { cluster } = await world.eks.send(new eks.DescribeClusterCommand({ name: "prod" }));
    await page.getByText(cluster.connectorConfig.activationId).waitFor();
    await accessible(page, "joining");
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("row", { name: /prod/ }).getByText("Pending").waitFor();
    await accessible(page, "the clusters");
    await narrow(page, "the clusters");
    await page.getByRole("link", { name: "prod" }).click();
    await page.getByText("Join the cluster, from where kubectl reaches it:").waitFor();
    await accessible(page, "a cluster that is pending");
    await narrow(page, "a cluster that is pending");
  });

  await t.test("one that is not there until one tries again", async () => {
    await page.goto(`${world.url}/console/#/clusters/later`);
    await page.getByText("The cluster could not be loaded").waitFor();
    await accessible(page, "a cluster that is not there");
    const made = { name: "later", connectorConfig: { provider: "OTHER", roleArn: "arn:aws:iam::111122223333:role/any" } };
    await world.eks.send(new eks.RegisterClusterCommand(made));
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Join the cluster, from where kubectl reaches it:").waitFor();
    assert.equal(await page.getByText("could not be loaded").count(), 0);
  });

  await t.test("a name that is taken", async () => {
    await page.goto(`${world.url}/console/#/clusters`);
    await page.getByRole("button", { name: "Register a cluster" }).click();
    await page.getByLabel("Name").fill("prod");
    await page.getByRole("button", { name: "Register", exact: true }).click();
    await page.getByText("The cluster was not registered").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
  });

  await t.test("step 2: the add-on", async () => {
    await page.getByRole("link", { name: "dev", exact: true }).click();
    await page.getByRole("tab", { name: "Add-ons" }).click();
    await page.getByText("No add-on yet.").waitFor();
    await accessible(page, "no add-on");
    await page.getByRole("button", { name: "Get more add-ons" }).first().click();
    await page.getByRole("radio", { name: "eks-pod-identity-agent" }).check();
    await page.getByRole("button", { name: /Version/ }).click();
    await page.getByRole("option", { name: "v1.3.2-eksbuild.2" }).click();
    const values = page.getByLabel("Configuration values");
    await values.fill('{"image": "evil"}');
    await page.getByText("image cannot be configured.").filter({ visible: true }).waitFor();
    await values.fill('{"agent": {"probePort": 2704}}');
    await page.getByRole("button", { name: "What may be configured" }).click();
    await page.getByText("probePort").first().waitFor();
    await accessible(page, "getting an add-on");
    await narrow(page, "getting an add-on");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByText("is being created").waitFor();
    const { addon } = await world.eks.send(new eks.DescribeAddonCommand({ clusterName: "dev", addonName: "eks-pod-identity-agent" }));
    assert.equal(addon.addonVersion, "v1.3.2-eksbuild.2");
    assert.deepEqual(JSON.parse(addon.configurationValues), { agent: { probePort: 2704 } });
    await page.getByRole("button", { name: "Edit eks-pod-identity-agent" }).waitFor();
    await accessible(page, "an add-on");
    await narrow(page, "an add-on");
  });

  await t.test("step 3: the association", async () => {
    assert.match(asPod(world), /^4\d\d /);
    await page.getByRole("tab", { name: "Access" }).click();
    await page.getByText("No service account of this cluster has a role yet.").waitFor();
    await accessible(page, "no association");
    await page.getByRole("button", { name: "Create association" }).first().click();
    await page.getByRole("combobox", { name: "IAM role" }).fill("restart");
    await page.getByRole("option", { name: /ec2-restart-role/ }).click();
    await page.getByLabel("Namespace").fill("default");
    await page.getByLabel("Service account", { exact: true }).fill("ec2-restart-sa");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Optional settings" }).click();
    await accessible(page, "creating an association");
    await narrow(page, "creating an association");
    await page.getByRole("button", { name: "Optional settings" }).click();
    await picture(page, "associate");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByText("Pods of default/ec2-restart-sa get credentials of ec2-restart-role.").waitFor();
    await page.getByRole("row", { name: /ec2-restart-sa/ }).getByText(arn).waitFor();
    await accessible(page, "the associations");
    await narrow(page, "the associations");
    assert.match(asPod(world), /^200 .*AccessKeyId/);
  });

  await t.test("editing it", async () => {
    await page.getByRole("checkbox", { name: "Choose default/ec2-restart-sa" }).check();
    await page.getByRole("button", { name: "Edit", exact: true }).click();
    await page.getByRole("combobox", { name: "IAM role" }).fill(other);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("row", { name: /ec2-restart-sa/ }).getByText(other).waitFor();
  });

  await t.test("its session policy, given and taken away", async () => {
    const edit = async (policy) => {
      await page.getByRole("checkbox", { name: "Choose default/ec2-restart-sa" }).check();
      await page.getByRole("button", { name: "Edit", exact: true }).click();
      const settings = page.getByRole("button", { name: "Optional settings" });
      if ((await settings.getAttribute("aria-expanded")) === "false") await settings.click();
      await page.getByLabel("Session policy").fill(policy);
      await page.getByRole("checkbox", { name: "Leave out the session tags" }).check(); // without which it may have none
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByRole("dialog").waitFor({ state: "detached" });
      const { associations } = await world.eks.send(new eks.ListPodIdentityAssociationsCommand({ clusterName: "dev" }));
      const { association } = await world.eks.send(new eks.DescribePodIdentityAssociationCommand({ clusterName: "dev", associationId: associations[0].associationId }));
      return association.policy;
    };
    const policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}';
    assert.equal(await edit(policy), policy);
    assert.equal(await edit(""), undefined);
  });

  await t.test("deleting it, and whom that cuts off", async () => {
    await page.getByRole("checkbox", { name: "Choose default/ec2-restart-sa" }).check();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    const pods = page.getByRole("list", { name: "Pods that are cut off" });
    await pods.getByText("default/ec2-restart-sa-exec").waitFor();
    await accessible(page, "deleting an association");
    await narrow(page, "deleting an association");
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("The association of default/ec2-restart-sa is deleted.").waitFor();
    await page.getByText("No service account of this cluster has a role yet.").waitFor();
    assert.match(asPod(world), /^4\d\d /);
  });
});

const asPod = (world) => world.run("exec", "--namespace", "default", "--service-account", "ec2-restart-sa", "--", process.execPath, "-e", fetchCredentials);
