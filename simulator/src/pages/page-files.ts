/** The files that a browser gets: scripts, which are built, the stylesheet, and uPlot. */

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../../host/src/errors.ts";

export type PageScript =
  | "charts.js"
  | "dashboard.js"
  | "device-tiles.js"
  | "place.js"
  | "publish-form.js";

/** A script of ours. Throws a UsageError where it is not built. */
export function pageScript(name: PageScript): string {
  const path = new URL(`dist/simulator/browser/${name}`, root());
  if (!existsSync(path)) {
    throw new UsageError(
      `${fileURLToPath(path)} is missing: the scripts of the pages are not built`,
      "Run: npm run build",
    );
  }
  return readFileSync(path, "utf8");
}

/** uPlot's stylesheet and ours. */
export function pageStyle(): string {
  const ours = readFileSync(new URL("simulator/browser/page.css", root()), "utf8");
  return `${uplotFile("uPlot.min.css")}\n${ours}`;
}

/** uPlot with its licence, which asks for it. It makes a global of that name. */
export function uplotScript(): string {
  return `/*! uPlot, MIT License, Copyright (c) Leon Sorokin */\n${uplotFile("uPlot.iife.min.js")}`;
}

function uplotFile(name: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), "utf8");
}

/** The folder of this package, whether this file runs from its source or from dist/. */
function root(): URL {
  const fromSource = new URL("../../../", import.meta.url);
  const isSource = existsSync(new URL("simulator/browser/page.css", fromSource));
  return isSource ? fromSource : new URL("../", fromSource);
}
