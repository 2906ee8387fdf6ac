/** What the firmware takes: writes docs/size.md from the built modules, or with --check says whether it still holds. */

import { readFileSync, writeFileSync } from "node:fs";

/** Bytes that a release must stay below. */
const LIMITS = { core: 10_400, thermometer: 12_950, reporter: 15_150 };

const ROOT = new URL("../", import.meta.url);
const DOCUMENT = new URL("docs/size.md", ROOT);

const text = documentText();
if (process.argv.includes("--check")) check(text);
else writeFileSync(DOCUMENT, text);

function documentText() {
  const core = measure("core");
  const thermometer = measure("thermometer");
  const reporter = measure("reporter");
  const rows = [core, thermometer, reporter].map(
    ({ name, bytes }) => `| \`${name}.wasm\` | ${format(bytes)} | ${format(LIMITS[name])} |`,
  );
  return `# What the firmware takes

Made by \`npm run size\`; a test fails when it no longer holds. All numbers are bytes.

| Module | Size | Limit in CI |
| --- | --- | --- |
${rows.join("\n")}

A record is its fields and the buffers that the embedder lends. There is nothing else: no heap, no stack of its own.

| Record | Fields | A fleet's sensor | A board's block |
| --- | --- | --- | --- |
| client (\`core.wasm\`) | ${core.fieldsLength} | ${format(core.fleetLength)} | |
| thermometer (\`thermometer.wasm\`) | ${thermometer.fieldsLength} | ${format(thermometer.fleetLength)} | ${format(thermometer.blockLength)} |
| reporter (\`reporter.wasm\`) | ${reporter.fieldsLength} | ${format(reporter.fleetLength)} | ${format(reporter.blockLength)} |

Fields: with buffers of no length, but for the 16 bytes that CONNECT's headers need. A fleet's sensor: 512 bytes to receive,
an outbox of 2,048, 64 for client id and Will, 16 unfinished incoming QoS 2 messages. A board's block is all that a board has: the module and its record (a reporter's profile, too) need the first 4,096 bytes of linear memory and no more.
`;
}

function measure(name) {
  const file = readFileSync(new URL(`dist/${name}.wasm`, ROOT));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(file));
  const [receive, transmit, identity, incoming] = [16, 64, 32, 0];
  return {
    name,
    bytes: file.length,
    fieldsLength:
      exports.clientSize(receive, transmit, identity, incoming, 0) - receive - transmit - identity,
    fleetLength: exports.clientSize(512, 2048, 64, 16, 0),
    blockLength: exports.blockLength?.(),
  };
}

function check(expected) {
  for (const [name, limit] of Object.entries(LIMITS)) {
    const { bytes } = measure(name);
    if (bytes > limit) fail(`${name}.wasm has ${bytes} bytes, the limit is ${limit}`);
  }
  if (readFileSync(DOCUMENT, "utf8") !== expected)
    fail("docs/size.md is stale: run `npm run size`");
}

function fail(problem) {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
}

function format(number) {
  return number.toLocaleString("en-US");
}
