// Not the console but a page of somebody's own, which uses a bucket by links that its server signed: what S3's CORS rules
// are for. The browser asks before it sends, and shows the page no answer that the rules do not open to it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { link, open, start, user } from "./world.mjs";

const rules = (origin) =>
  `<CORSConfiguration><CORSRule><AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>` +
  "<AllowedHeader>content-type</AllowedHeader><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>";

test("a page of another origin and its links", async (t) => {
  const world = await start(t);
  const server = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<title>App</title>"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address();
  const origin = `http://127.0.0.1:${port}`;

  const put = async (path, body) => {
    const answer = await fetch(await link(world, world.administrator, "PUT", path), { method: "PUT", body });
    assert.equal(answer.status, 200, await answer.text());
  };
  await put("/app-uploads");
  await put("/app-uploads?cors", rules(origin));
  await put("/app-closed");
  await put("/app-closed/a", "a");
  const writer = await user(world, "writer", [{ Effect: "Allow", Action: "s3:PutObject", Resource: "arn:aws:s3:::app-uploads/*" }]);

  // What a page's script gets: the answer, or the browser's word that it may not have it.
  const page = await open(t, { url: "http://" });
  const send = (url, options) =>
    page.evaluate(
      async ([url, options]) => {
        try {
          const answer = await fetch(url, options);
          return { status: answer.status, etag: answer.headers.get("etag"), text: await answer.text() };
        } catch (error) {
          return error.name;
        }
      },
      [url, options],
    );
  const upload = { method: "PUT", body: '{"a":1}', headers: { "Content-Type": "application/json" } };

  await page.goto(`${origin}/`);
  const made = await send(await link(world, writer, "PUT", "/app-uploads/a.json"), upload);
  assert.equal(made.status, 200);
  assert.match(made.etag, /^"[0-9a-f]{32}"$/);
  const read = await send(await link(world, world.administrator, "GET", "/app-uploads/a.json"));
  assert.deepEqual([read.status, read.text, read.etag], [200, '{"a":1}', made.etag]);

  const denied = await send(await link(world, writer, "GET", "/app-uploads/a.json"));
  assert.equal(denied.status, 403);
  assert.match(denied.text, /user\/writer is not authorized to perform: s3:GetObject/);
  const late = await link(world, writer, "PUT", "/app-uploads/late.json", 1);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  const expired = await send(late, upload);
  assert.deepEqual([expired.status, /<Code>(\w+)</.exec(expired.text)?.[1]], [403, "AccessDenied"]);

  const header = { ...upload, headers: { "X-Other": "b" } };
  assert.equal(await send(await link(world, writer, "PUT", "/app-uploads/b.json"), header), "TypeError", "a header that no rule has");
  assert.equal(await send(await link(world, world.administrator, "GET", "/app-closed/a")), "TypeError", "a bucket without rules");
  await page.goto(`http://localhost:${port}/`);
  assert.equal(await send(await link(world, writer, "PUT", "/app-uploads/c.json"), upload), "TypeError", "a page of another origin");
  for (const name of ["late", "b", "c"]) {
    const answer = await fetch(await link(world, world.administrator, "GET", `/app-uploads/${name}.json`));
    assert.equal(answer.status, 404, `${name}.json was made`);
  }
});
