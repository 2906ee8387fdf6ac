/** Numbers and tables as text for people. */

/** 91204 -> "91 204". */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Milliseconds without the unit: "0.15", "41.2", "1 204.0". */
export function formatMs(valueMs: number): string {
  if (valueMs < 10) return valueMs.toFixed(2);
  const [whole = "", fraction = ""] = valueMs.toFixed(1).split(".");
  return `${formatCount(Number(whole))}.${fraction}`;
}

/** 998 of 1000 -> "99.80%". Never rounded up, so that 100% means all. */
export function formatShare(part: number, whole: number): string {
  return `${(Math.floor((10_000 * part) / whole) / 100).toFixed(2)}%`;
}

const BYTE_UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** "512 bytes", "4.1 KiB", "412 MiB". */
export function formatBytes(byteCount: number): string {
  let value = byteCount;
  let unitIndex = 0;
  // 1023.5 would be printed as "1024".
  while (value >= 1023.5 && unitIndex < BYTE_UNITS.length - 1) {
    value /= 1024;
    unitIndex++;
  }
  const digits = unitIndex === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unitIndex]}`;
}

/** Text of others, such as an error's, on one line and without control characters. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}

/** Text in lines of at most `width` characters, as far as its words allow. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}

/** Rows of cells as lines: the columns in `left` stand on the left, the others on the right. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  left: ReadonlySet<number> = new Set([0]),
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return left.has(column) ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd(),
  );
}
