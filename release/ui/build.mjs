// Bundles src/main.js with htmx and CodeMirror: `npm ci && npm run build [-- FOLDER]`.
// The bundle and the licences of what it contains go to FOLDER, by default that of the package.
import { build } from "esbuild";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join, dirname } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../../proxy/headrace/ui/static");
await mkdir(out, { recursive: true });

const result = await build({
  entryPoints: [join(here, "src/main.js")],
  absWorkingDir: here,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
  metafile: true,
  outfile: join(out, "headrace.js"),
});

const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found) packages.add(found[1]);
}
const texts = ["The script headrace.js contains these libraries.\n"];
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} has no text of its licence`);
  const text = (await readFile(join(folder, file), "utf8")).trim();
  texts.push(`\n${"=".repeat(80)}\n${name} ${version} (${license})\n\n${text}\n`);
}
await writeFile(join(out, "headrace.js.licences.txt"), texts.join(""));
