/** `--out html=FILE`: the report as a page that needs nothing else. */

import type { RunResult } from "../run/result.ts";

/** The page and its charts are loaded only here: most runs do without. */
export async function reportPage(result: RunResult): Promise<string> {
  const { htmlReport } = await import("../pages/report.ts");
  return htmlReport(result);
}
