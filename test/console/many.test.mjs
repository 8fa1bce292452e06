import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, eks, many, open, role, serve, signIn } from "./world.mjs";

const count = 10_000;

test("10,000 associations", async (t) => {
  const world = await serve(t, "--associations-per-cluster", String(count));
  const arn = await role(world, "reports");
  const connectorConfig = { provider: "OTHER", roleArn: arn };
  await world.eks.send(new eks.RegisterClusterCommand({ name: "big", connectorConfig }));
  const service = (i) => ({ namespace: `team-${String(i % 100).padStart(2, "0")}`, serviceAccount: `service-${String(i).padStart(5, "0")}` });
  await many(
    world,
    Array.from({ length: count }, (_, i) => ["POST", "/clusters/big/pod-identity-associations", { ...service(i), roleArn: arn }]),
  );

  const page = await open(t, world);
  await signIn(page, world);
  await page.getByRole("link", { name: "big" }).click();
  await page.getByRole("tab", { name: "Access" }).click();
  await page.getByText("(10,000)", { exact: true }).waitFor();
  const rows = page.getByRole("table", { name: "Pod identity associations" }).locator("tbody tr");
  assert.equal(await rows.count(), 20);

  const search = page.getByLabel("Search pod identity associations");
  await search.fill("team-77/service-07777");
  await page.getByText("1 match", { exact: true }).waitFor();
  assert.equal(await rows.count(), 1);
  await rows.getByText(arn).waitFor(); // asked for when it came to be shown
  await search.fill("team-77");
  await page.getByText("100 matches").waitFor();
  await search.fill("no such service");
  await page.getByText("No association matches.").waitFor();
  await page.getByRole("button", { name: "Clear the search" }).click();

  const sort = page.getByRole("button", { name: /^Service account/ });
  await sort.click();
  await rows.first().getByText("service-00000").waitFor();
  await sort.click();
  await rows.first().getByText("service-09999").waitFor();
  await page.getByRole("button", { name: "Page 500" }).click();
  await rows.last().getByText("service-00000").waitFor();
  await accessible(page, "10,000 associations");
});
