import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, init, multiply, open, picture, role, serve, signIn } from "./world.mjs";

test("10,000 associations", async (t) => {
  const dir = init(t);
  const before = await serve(t, dir);
  const arn = await role(before, "reports");
  await before.eks.send(new eks.RegisterClusterCommand({ name: "big", connectorConfig: { provider: "OTHER", roleArn: arn } }));
  const first = { clusterName: "big", namespace: "team-99", serviceAccount: "service-99999", roleArn: arn };
  await before.eks.send(new eks.CreatePodIdentityAssociationCommand(first));
  await before.stop();
  multiply(dir, 10_000);
  const world = await serve(t, dir);

  const page = await open(t, world);
  await signIn(page, world);
  await page.getByRole("link", { name: "big" }).click();
  await page.getByRole("tab", { name: "Access" }).click();
  await page.getByText("(10,000)", { exact: true }).waitFor();
  const rows = page.getByRole("grid", { name: "Pod identity associations" }).locator("tbody tr");
  assert.equal(await rows.count(), 20);

  const search = page.getByLabel("Search pod identity associations");
  await search.fill("team-77/service-07777");
  await page.getByText("1 match", { exact: true }).filter({ visible: true }).waitFor();
  assert.equal(await rows.count(), 1);
  await rows.getByText(arn).waitFor(); // asked for when it came to be shown
  await search.fill("team-77");
  await page.getByText("100 matches").filter({ visible: true }).waitFor();
  await rows.last().getByText(arn).waitFor();
  await picture(page, "access");
  await search.fill("no such service");
  await page.getByText("No association matches.").filter({ visible: true }).waitFor();
  await page.getByRole("button", { name: "Clear the search" }).click();

  const sort = page.getByRole("button", { name: /^Service account/ });
  await sort.click();
  await rows.first().getByText("service-00000").waitFor();
  await sort.click();
  await rows.first().getByText("service-99999").waitFor();
  await page.getByRole("button", { name: "Page 500" }).click();
  await rows.last().getByText("service-00000").waitFor();
  await accessible(page, "10,000 associations");
});
