/** Durations as people write them: 500ms, 10s, 2m, 1.5h. */

/** What `parseDurationMs` takes; a JSON Schema holds the same pattern. */
export const DURATION_PATTERN = /^\d+(\.\d+)?(ms|s|m|h)$/;

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: HOUR_MS };

/** Milliseconds, or undefined if `text` is no duration. */
export function parseDurationMs(text: string): number | undefined {
  if (!DURATION_PATTERN.test(text)) return undefined;
  const unit = text.endsWith("ms") ? "ms" : text.slice(-1);
  return Number.parseFloat(text) * (UNIT_MS[unit] ?? Number.NaN);
}

/** The two largest units: 0s, 250ms, 12.4s, 3m08s, 1h05m. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return "0s";
  if (durationMs < 1000) return `${Math.round(durationMs)}ms`;
  // 59,950 ms and more would be rounded to "60s".
  if (durationMs < 59_950) return `${Math.round(durationMs / 100) / 10}s`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 3600) return twoUnits(Math.floor(seconds / 60), "m", seconds % 60, "s");
  const minutes = Math.round(seconds / 60);
  return twoUnits(Math.floor(minutes / 60), "h", minutes % 60, "m");
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  if (small === 0) return `${large}${largeUnit}`;
  return `${large}${largeUnit}${String(small).padStart(2, "0")}${smallUnit}`;
}
