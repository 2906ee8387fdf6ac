/** Where the built package is: dist/, or the folder that WASMQTT_DIST names, to measure another build beside it. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder =
  process.env.WASMQTT_DIST === undefined
    ? new URL("../../dist/", import.meta.url)
    : pathToFileURL(`${resolve(process.env.WASMQTT_DIST)}/`);

export function importFromDist(path) {
  return import(new URL(path, folder).href);
}

export function readFromDist(path) {
  return readFileSync(new URL(path, folder));
}
