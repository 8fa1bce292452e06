// The map: what it draws, by mouse and by keyboard, and as a table.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, narrow, open, permit, picture, role, signIn, start, user } from "./world.mjs";

test("the map", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);
  await signIn(page, world);
  await page.getByRole("link", { name: "Map" }).first().click();
  await page.getByText("No service account has a role yet.").waitFor();
  await accessible(page, "no map");

  const reader = await role(world, "reader");
  const writer = await role(world, "writer");
  await permit(world, "reader", { Effect: "Allow", Action: ["s3:GetObject", "s3:ListBucket"], Resource: ["arn:aws:s3:::reports", "arn:aws:s3:::reports/${aws:PrincipalTag/kubernetes-namespace}/*"] });
  await permit(
    world,
    "writer",
    { Effect: "Allow", Action: "s3:PutObject", Resource: "arn:aws:s3:::reports/*", Condition: { IpAddress: { "aws:SourceIp": "10.0.0.0/8" } } },
    { Effect: "Allow", Action: "s3:*", Resource: "arn:aws:s3:::archive/*" },
    { Effect: "Deny", Action: "s3:DeleteObject", Resource: "*" },
  );
  for (const [namespace, serviceAccount, roleArn] of [["shop", "web", reader], ["shop", "batch", writer], ["billing", "export", reader]]) {
    await world.eks.send(new eks.CreatePodIdentityAssociationCommand({ clusterName: "dev", namespace, serviceAccount, roleArn }));
  }
  await page.getByRole("button", { name: "Refresh the map" }).click();
  const node = (name) => page.getByRole("button", { name: new RegExp(`^${name}, `) });
  await node("dev/shop/web").waitFor();
  for (const name of ["dev/shop/batch", "dev/billing/export", "reader", "writer", "bucket reports", "bucket archive"]) assert.equal(await node(name).count(), 1, name);
  assert.equal(await page.locator(".map .link").count(), 6);
  assert.equal(await page.locator(".map .link.open").count(), 1); // the writer's way to reports hangs on an address
  await page.getByRole("button", { name: "bucket reports, s3:GetObject, s3:ListBucket, s3:PutObject" }).waitFor();
  await accessible(page, "the map");
  await narrow(page, "the map");

  await t.test("by mouse", async () => {
    await node("bucket archive").click();
    const who = page.getByRole("list", { name: "Who reaches it" });
    await who.getByText("dev/shop/batch as writer").waitFor();
    assert.equal(await who.getByRole("listitem").count(), 1);
    assert.equal(await page.locator(".map .link.lit").count(), 2);
    await node("dev/shop/batch").click();
    const says = page.getByRole("list", { name: "What its policies say" });
    await says.getByText("deny s3:DeleteObject on *").waitFor();
    await says.getByText("allow s3:PutObject on arn:aws:s3:::reports/* if aws:SourceIp IpAddress 10.0.0.0/8").waitFor();
    await accessible(page, "the map, with something chosen");
    await narrow(page, "the map, with something chosen");
    await picture(page, "map");
    await node("dev/shop/web").click();
    await says.getByText("arn:aws:s3:::reports/shop/*").waitFor(); // its own namespace is filled in
    await node("dev/shop/web").click();
    assert.equal(await says.count(), 0);
  });

  await t.test("by keyboard", async () => {
    const focused = () => page.evaluate(() => document.activeElement.querySelector("title").textContent);
    await node("dev/billing/export").focus();
    await page.keyboard.press("ArrowDown");
    assert.match(await focused(), /^dev\/shop\/batch, /);
    await page.keyboard.press("ArrowRight");
    assert.match(await focused(), /^writer, /);
    await page.keyboard.press("ArrowRight");
    assert.match(await focused(), /^bucket archive, /);
    await page.keyboard.press("Enter");
    await page.getByRole("list", { name: "Who reaches it" }).waitFor();
    assert.equal(await node("bucket archive").getAttribute("aria-pressed"), "true");
    assert.equal(await page.locator('.map [tabindex="0"]').count(), 1);
    await page.keyboard.press("Enter");
  });

  await t.test("searching", async () => {
    const search = page.getByLabel("Search the map");
    await search.fill("archive");
    await node("reader").waitFor({ state: "detached" });
    await page.getByText("1 service account", { exact: true }).filter({ visible: true }).waitFor();
    assert.equal(await node("dev/shop/batch").count(), 1);
    await search.fill("no such bucket");
    await page.getByText("Nothing matches.").waitFor();
    await page.getByRole("button", { name: "Clear the search" }).last().click();
    await node("reader").waitFor();
  });

  await t.test("as a table", async () => {
    await page.getByRole("button", { name: "Table" }).click();
    await page.getByRole("row", { name: /dev\/shop\/batch/ }).getByText("bucket archive: s3:*").waitFor();
    await page.getByRole("row", { name: /dev\/shop\/batch/ }).getByText("bucket reports: s3:PutObject (depends)").waitFor();
    await accessible(page, "the map as a table");
    await narrow(page, "the map as a table");
    await page.getByRole("link", { name: "writer" }).click();
    await page.getByRole("heading", { name: "writer" }).waitFor();
  });

  await t.test("without permission", async () => {
    const other = await open(t, world);
    await signIn(other, world, await user(world, "nobody", [{ Effect: "Allow", Action: "lanyard:DescribeAccount", Resource: "*" }]));
    await other.getByRole("link", { name: "Map" }).first().click();
    await other.getByText(/^You need lanyard:CanReach on /).waitFor();
  });
});
