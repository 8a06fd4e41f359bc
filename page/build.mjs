// Bundles src/ into service/page/built/, which the repository keeps: no machine that runs the service needs node.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2] ?? `${here}../service/page/built`;

const bundle = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.tsx"],
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none", // licences.txt has them whole
  entryNames: "app-[hash]",
  outdir: out,
  write: false,
});

const icon = readFileSync(`${here}src/icon.svg`);
const named = new Map(bundle.outputFiles.map((file) => [file.path.split("/").at(-1), file.contents]));
named.set(`icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`, icon);
const packages = Object.keys(JSON.parse(readFileSync(`${here}package.json`, "utf8")).dependencies);
const licence = (name) => {
  const folder = `${here}node_modules/${name}/`;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  return `${name}\n\n${file ? readFileSync(folder + file, "utf8").trim() : JSON.parse(readFileSync(`${folder}package.json`, "utf8")).license}\n`;
};
named.set("licences.txt", `What the page's script holds besides its own code:\n\n${packages.map(licence).join("\n\n")}`);
const find = (suffix) => [...named.keys()].find((name) => name.endsWith(suffix));

const page = readFileSync(`${here}src/index.html`, "utf8")
  .replace("{script}", find(".js"))
  .replace("{style}", find(".css"))
  .replace("{icon}", find(".svg"));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const [name, content] of named) writeFileSync(`${out}/${name}`, content);
writeFileSync(`${out}/index.html`, page);
