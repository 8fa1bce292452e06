// Builds the page and writes each of its files gzipped: that is the form in which they are embedded and, mostly, sent.

import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const target = join(import.meta.dirname, "..", "assets");
const { output } = await build();
for (const name of await readdir(target)) {
  if (name !== ".gitignore") await rm(join(target, name), { recursive: true });
}
for (const made of output) {
  const file = join(target, `${made.fileName}.gz`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, gzipSync(made.type === "chunk" ? made.code : made.source, { level: 9 }));
}
