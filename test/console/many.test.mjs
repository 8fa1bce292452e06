// A cluster with 10,000 associations: its list, and the map.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, init, multiply, open, permit, picture, role, serve, signIn } from "./world.mjs";

test("10,000 associations", async (t) => {
  const dir = init(t);
  const before = await serve(t, dir);
  const name = (i) => `reports-${String(i).padStart(2, "0")}`;
  const roles = await Promise.all(Array.from({ length: 50 }, (_, i) => role(before, name(i))));
  await Promise.all(roles.map((_, i) => permit(before, name(i), { Effect: "Allow", Action: "s3:GetObject", Resource: `arn:aws:s3:::bucket-${i}/*` })));
  await before.eks.send(new eks.RegisterClusterCommand({ name: "big", connectorConfig: { provider: "OTHER", roleArn: roles[0] } }));
  for (const [i, roleArn] of roles.entries()) {
    const first = { clusterName: "big", namespace: `team-${50 + i}`, serviceAccount: "first", roleArn };
    await before.eks.send(new eks.CreatePodIdentityAssociationCommand(first));
  }
  await before.stop();
  multiply(dir, 10_000);
  const world = await serve(t, dir);
  const page = await open(t, world);
  await signIn(page, world);

  await t.test("in the list", async () => {
    await page.getByRole("link", { name: "big" }).click();
    await page.getByRole("tab", { name: "Access" }).click();
    await page.getByText("(10,000)", { exact: true }).waitFor();
    const rows = page.getByRole("grid", { name: "Pod identity associations" }).locator("tbody tr");
    assert.equal(await rows.count(), 20);

    const search = page.getByLabel("Search pod identity associations");
    await search.fill("team-77/service-07777");
    await page.getByText("1 match", { exact: true }).filter({ visible: true }).waitFor();
    assert.equal(await rows.count(), 1);
    await rows.getByText(roles[27]).waitFor(); // asked for when it came to be shown
    await search.fill("team-77");
    await page.getByText("100 matches").filter({ visible: true }).waitFor();
    await rows.last().getByText(roles[27]).waitFor();
    await picture(page, "access");
    await search.fill("no such service");
    await page.getByText("No association matches.").filter({ visible: true }).waitFor();
    await page.getByRole("button", { name: "Clear the search" }).click();

    const sort = page.getByRole("button", { name: /^Service account/ });
    await sort.click();
    await rows.first().getByText("first", { exact: true }).waitFor();
    await sort.click();
    await rows.first().getByText("service-09949").waitFor();
    await page.getByRole("button", { name: "Page 500" }).click();
    await rows.last().getByText("first", { exact: true }).waitFor();
    await accessible(page, "10,000 associations");
  });

  await t.test("in the map", async () => {
    await page.getByRole("link", { name: "Map" }).first().click();
    await page.getByText("(10,000)", { exact: true }).waitFor();
    const node = (name) => page.getByRole("button", { name: new RegExp(`^${name}, `) });
    await page.getByRole("button", { name: "big/team-07/, namespace, 100 service accounts" }).waitFor();
    assert.ok((await page.locator(".map .node").count()) <= 75);
    await node("big/team-07/").click();
    await page.getByText("100 service accounts", { exact: true }).filter({ visible: true }).first().waitFor();
    await node("reports-07").waitFor();
    await page.getByLabel("Search the map").fill("service-04242");
    await node("big/team-42/service-04242").waitFor();
    assert.equal(await page.locator(".map .node").count(), 3);
    await accessible(page, "a map of 10,000");
  });
});
