/** Tables and lists as HTML that a screen reader can read out. */

import { formatCount, formatMs } from "../summary/text-format.ts";
import { type Html, type HtmlValue, html } from "./html.ts";

export interface Table {
  caption: string;
  /** The first stands above the names of the rows. */
  columns: readonly string[];
  /** The first cell is the row's name. */
  rows: readonly (readonly HtmlValue[])[];
  /** The cells after the first are words, not numbers. */
  isText?: boolean;
}

/** A table that scrolls sideways by itself where the screen is narrow. */
export function table({ caption, columns, rows, isText = false }: Table): Html {
  const head = columns.map((column) => html`<th scope="col">${column}</th>`);
  const body = rows.map(
    ([name, ...cells]) =>
      html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`,
  );
  return html`<div class="scrolls" role="group" aria-label="${caption}">
<table class="${isText ? "words" : "numbers"}">
<caption>${caption}</caption>
<thead><tr>${head}</tr></thead>
<tbody>${body}</tbody>
</table>
</div>`;
}

/** Names and what belongs to them. */
export function facts(pairs: readonly (readonly [name: string, value: HtmlValue])[]): Html {
  return html`<dl class="facts">${pairs.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl>`;
}

/** A mark and a word, so that the colour is never alone. */
export function mark(tone: "good" | "doubtful" | "bad", word: string): Html {
  const sign = { good: "✓", doubtful: "!", bad: "✗" }[tone];
  return html`<span class="mark ${tone}"><span aria-hidden="true">${sign}</span> ${word}</span>`;
}

/** A number that stays on one line. */
export function countText(count: number): string {
  return formatCount(count).replaceAll(" ", "\u00a0");
}

/** Milliseconds without the unit. */
export function msText(valueMs: number): string {
  return formatMs(valueMs).replaceAll(" ", "\u00a0");
}
