// What every test of the console has: a `lanyard dev` of its own with its administrator, the API beside the page, and a
// browser that tells of whatever the page should not have done.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const tools = createRequire(join(root, ".tools/console/package.json"));
const libraries = createRequire(join(root, "console/app/package.json"));
const { chromium } = tools("playwright-core");

export const eks = libraries("@aws-sdk/client-eks");
export const iam = libraries("@aws-sdk/client-iam");
export const sts = libraries("@aws-sdk/client-sts");
const { SignatureV4 } = libraries("@smithy/signature-v4");
const { Sha256 } = libraries("@aws-crypto/sha256-js");

const lanyard = join(root, "bin/lanyard");

/** Starts `lanyard dev` in a folder of its own; it ends with the test. */
export async function start(t, ...flags) {
  const dir = folder(t);
  const args = ["dev", "--dir", dir, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", ...flags];
  const [url, stop] = await running(t, args, /is ready: (\S+),/);
  const run = (...args) => execFileSync(lanyard, args, { encoding: "utf8", env: { PATH: process.env.PATH, LANYARD_DIR: dir } });
  return { ...world(url, settings(run("env"))), stop, run };
}

/** Makes a folder for servers. */
export function init(t) {
  const dir = join(folder(t), "server");
  execFileSync(lanyard, ["init", "--dir", dir, "--address", "127.0.0.1", "--region", "us-east-1"]);
  return dir;
}

/** Starts `lanyard server` in a folder; it ends with the test or before. */
export async function serve(t, dir, ...flags) {
  const args = ["server", "--dir", dir, "--plain-http", "--listen", "127.0.0.1:0", ...flags];
  const [address, stop] = await running(t, args, /"address":"([^"]+)"/);
  return { ...world(`http://${address}`, settings(readFileSync(join(dir, "administrator.env"), "utf8"))), stop };
}

/** Makes copies of the associations of a stopped server, in turn, in 100 namespaces, until there are so many. */
export const multiply = (dir, count) => execFileSync("go", ["run", "./test/console", dir, String(count)], { cwd: root });

// In memory where there is room: what a disk takes to keep a state is nothing that a page shows.
const memory = "/dev/shm";
const room = existsSync(memory) ? statfsSync(memory) : { bavail: 0, bsize: 0 };
const place = room.bavail * room.bsize > 2 ** 31 ? memory : tmpdir();

function folder(t) {
  const dir = mkdtempSync(join(place, "lanyard-console-"));
  atEnd(t, () => rmSync(dir, { recursive: true }));
  return dir;
}

const ends = new WeakMap();

/** What was begun last ends first; node's own hooks run in the order in which they were given. */
function atEnd(t, end) {
  if (!ends.has(t)) {
    ends.set(t, []);
    t.after(async () => {
      for (const last of ends.get(t).reverse()) await last();
    });
  }
  ends.get(t).push(end);
}

/** Starts a program and waits until it tells its address; also returns what stops it. */
async function running(t, args, ready) {
  const program = spawn(lanyard, args, { env: { PATH: process.env.PATH } });
  const ended = new Promise((resolve) => program.once("exit", resolve));
  const stop = async () => {
    program.kill("SIGTERM");
    await ended;
  };
  atEnd(t, stop);
  const told = await new Promise((resolve, reject) => {
    let told = "";
    const more = (text) => {
      told += text;
      const found = ready.exec(told);
      if (found) resolve(found[1]);
    };
    program.stdout.on("data", more);
    program.stderr.on("data", more);
    program.once("exit", (code) => reject(new Error(`lanyard ${args[0]} ended with ${code}: ${told}`)));
  });
  return [told, stop];
}

const settings = (text) => (name) => new RegExp(`^(?:export )?${name}=(.*)$`, "m").exec(text)?.[1];

function world(url, value) {
  const administrator = { accessKeyId: value("AWS_ACCESS_KEY_ID"), secretAccessKey: value("AWS_SECRET_ACCESS_KEY") };
  const config = { endpoint: url, region: "us-east-1", credentials: administrator };
  return { url, administrator, eks: new eks.EKSClient(config), iam: new iam.IAMClient(config), sts: new sts.STSClient(config) };
}

/** Makes a link to S3, as a program hands it to a page: it is good for so many seconds. */
export async function link(world, credentials, method, path, expiresIn = 60) {
  const { protocol, hostname, port, host } = new URL(world.url);
  const signer = new SignatureV4({ service: "s3", region: "us-east-1", credentials, sha256: Sha256, uriEscapePath: false });
  const [pathname, search] = path.split("?");
  const query = search === undefined ? {} : { [search]: "" };
  const request = { method, protocol, hostname, port: Number(port), path: pathname, query, headers: { host, "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" } };
  const signed = await signer.presign(request, { expiresIn });
  return `${world.url}${pathname}?${new URLSearchParams(signed.query)}`;
}

/** Makes a user with a policy and gives its access key. */
export async function user(world, name, statements) {
  await world.iam.send(new iam.CreateUserCommand({ UserName: name }));
  const document = JSON.stringify({ Version: "2012-10-17", Statement: statements });
  await world.iam.send(new iam.PutUserPolicyCommand({ UserName: name, PolicyName: "own", PolicyDocument: document }));
  const { AccessKey: key } = await world.iam.send(new iam.CreateAccessKeyCommand({ UserName: name }));
  return { accessKeyId: key.AccessKeyId, secretAccessKey: key.SecretAccessKey };
}

// One for all tests of a file; it comes up while their server does. Chromium's shell is Chromium without what is around a
// page, for half the time; unhinted, its letters are as wide as Chromium's. Without a sandbox of its own: as root Chromium
// has none, and the page is ours and can reach nothing but this machine.
const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"].find(existsSync);
const browser = chromium.launch({ executablePath, args: ["--no-sandbox", "--font-render-hinting=none"] });
after(async () => (await browser).close());

/**
 * Opens a page that shares nothing with others, as if in a browser of its own. After the test nothing may have been thrown
 * or refused by the content policy, and nobody else asked for anything.
 */
export async function open(t, world, options = {}) {
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  atEnd(t, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // of what does not come: 10,000 rows may take long where three browsers share a slow machine
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`thrown: ${error.message}`));
  page.on("console", (line) => {
    if (/Content Security Policy|Refused to|Warning:/.test(line.text())) wrong.push(line.text());
  });
  page.on("request", (request) => {
    if (!/^(data:|blob:)/.test(request.url()) && !request.url().startsWith(world.url)) wrong.push(`asked ${request.url()}`);
  });
  atEnd(t, () => {
    if (wrong.length > 0) throw new Error(`the page misbehaved:\n${wrong.join("\n")}`);
  });
  return page;
}

/** Signs in by the form. */
export async function signIn(page, world, credentials = world.administrator) {
  await page.goto(`${world.url}/console/`);
  await page.getByLabel("Access key ID").fill(credentials.accessKeyId);
  await page.getByLabel("Secret access key").fill(credentials.secretAccessKey);
  if (credentials.sessionToken) await page.getByLabel("Session token").fill(credentials.sessionToken);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Says who may be what: the trust policy of the guide. */
export const podsTrust = JSON.stringify({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Principal: { Service: "pods.eks.amazonaws.com" }, Action: ["sts:AssumeRole", "sts:TagSession"] }],
});

export async function role(world, name) {
  const { Role: made } = await world.iam.send(new iam.CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: podsTrust }));
  return made.Arn;
}

/** Gives a role a policy of these statements. */
export const permit = (world, name, ...statements) =>
  world.iam.send(new iam.PutRolePolicyCommand({ RoleName: name, PolicyName: "it", PolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement: statements }) }));

/** Holds the page to the rules that axe knows: in light to all, and in dark, which is other colours, to those about colours. */
export async function accessible(page, name) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  await page.mouse.move(0, 0); // what the last button said of itself stands outside of everything
  for (const dark of [false, true]) {
    if (dark !== (await page.evaluate(() => document.body.classList.contains("awsui-dark-mode")))) {
      await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
      await page.waitForFunction((dark) => document.body.classList.contains("awsui-dark-mode") === dark, dark);
    }
    await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => undefined)))); // colours fade over
    const options = { resultTypes: ["violations"], ...(dark && { runOnly: aboutColours }) };
    const { violations } = await page.evaluate((options) => window.axe.run(document, options), options);
    const found = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
    assert.deepEqual(found, [], `${name}, ${dark ? "dark" : "light"}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

const aboutColours = ["color-contrast", "link-in-text-block"]; // of those that run by themselves, all of category color
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");

/** Nothing may be to the right of what a phone shows. */
export async function narrow(page, name) {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  await page.evaluate(rest);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${name} is ${wide} pixels wide on a screen of 390`);
  await page.setViewportSize(before);
}

/** Waits until the layout, which follows by observers of which nothing tells, has been the same for some frames. */
async function rest() {
  const size = () => `${document.documentElement.scrollWidth} ${document.documentElement.scrollHeight}`;
  const begun = performance.now();
  let before = "";
  for (let same = 0; same < 8; ) {
    await new Promise(requestAnimationFrame);
    same = size() === before ? same + 1 : 0;
    before = size();
    if (performance.now() - begun > 10_000) throw new Error("the layout does not come to rest");
  }
}

/** With UPDATE=1, makes a picture of the README anew. */
export async function picture(page, name) {
  if (!process.env.UPDATE) return;
  const before = page.viewportSize();
  await page.setViewportSize({ width: 1280, height: 660 });
  await page.waitForTimeout(500); // what moves comes to rest
  const path = join(root, "docs", `console-${name}.png`);
  await page.screenshot({ path });
  assert.ok(statSync(path).size < 150_000, `${path} has ${statSync(path).size} bytes`);
  await page.setViewportSize(before);
}
