/** Builds `dist/` from `src/`: bundles with hashed names, the page, and the sources' own hash. */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const here = new URL(".", import.meta.url);
const source = (name) => new URL(`src/${name}`, here);
const target = (name) => new URL(`dist/${name}`, here);
const viewer = (name) => new URL(`node_modules/swagger-ui-dist/${name}`, here);
const names = {};

/**
 * The stretcher's package is made for a node of its own; our mixer calls its WebAssembly itself, so
 * only the function that sets that up is taken, all that comes before the node.
 */
const engineAlone = {
  name: "engine-alone",
  setup(made) {
    made.onLoad({ filter: /SignalsmithStretch\.mjs$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const end = text.indexOf("function registerWorkletProcessor");
      if (end < 0) throw new Error("signalsmith-stretch is built differently now");
      return { contents: `${text.slice(0, end)}\nexport default SignalsmithStretch;` };
    });
  },
};

async function put(name, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  names[name] = name.replace(".", `-${hash}.`);
  await writeFile(target(names[name]), bytes);
}

async function bundle(entry, name, define = {}) {
  const { outputFiles } = await build({
    entryPoints: [source(entry).pathname],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    define,
    plugins: [engineAlone],
    write: false,
    legalComments: "none",
  });
  await put(name, outputFiles[0].contents);
}

/** Of every source, by its path within `src/` and content: the tests hold `dist/` in step with it. */
async function fingerprint() {
  const hash = createHash("sha256");
  for (const path of (await readdir(source(""), { recursive: true })).sort()) {
    if ((await stat(source(path))).isDirectory()) continue;
    hash.update(`${path}\0`).update(await readFile(source(path))).update("\0");
  }
  return hash.digest("hex");
}

await rm(target(""), { recursive: true, force: true });
await mkdir(target(""));
await bundle("mixer/mixer-worklet.ts", "mixer.js");
await bundle("mixer/stretch-worklet.ts", "stretch.js");
await writeFile(target("stretch.LICENSE.txt"), await readFile(source("mixer/stretch.LICENSE.txt")));
await bundle("main.ts", "main.js", {
  MIXER_FILE: JSON.stringify(`./${names["mixer.js"]}`),
  STRETCH_FILE: JSON.stringify(`./${names["stretch.js"]}`),
});
await bundle("studio.css", "studio.css");
await put("icon.svg", await readFile(source("icon.svg")));
await bundle("docs/docs.ts", "docs.js");
await bundle("docs/docs.css", "docs.css");
await put("viewer.js", await readFile(viewer("swagger-ui-bundle.js")));
await put("viewer.css", await readFile(viewer("swagger-ui.css")));
await writeFile(target("viewer.LICENSE.txt"), await readFile(viewer("LICENSE")));
for (const [path, name] of [["index.html", "index.html"], ["docs/docs.html", "docs.html"]]) {
  const page = await readFile(source(path), "utf8");
  await writeFile(target(name), page.replaceAll(/\{\{(.+?)\}\}/g, (_, file) => names[file]));
}
await writeFile(target("sources.sha256"), `${await fingerprint()}\n`);
