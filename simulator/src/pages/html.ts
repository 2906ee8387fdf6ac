/** HTML as text, in which everything that comes from elsewhere is escaped. */

import { printable } from "../../../host/src/cli/output.ts";

/** Text that is HTML already. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlValue = string | number | Html | readonly HtmlValue[] | undefined;

/**
 * A template: strings and numbers are escaped, pieces of HTML go in as they are, lists are joined, undefined leaves
 * nothing.
 */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = parts[0] ?? "";
  for (const [index, value] of values.entries()) text += textOf(value) + parts[index + 1];
  return new Html(text);
}

/** Data for a script of the page, as a block that no browser executes. */
export function jsonBlock(id: string, value: unknown): Html {
  // "</script>" and "<!--" would end the block or hide its end.
  const json = JSON.stringify(value).replaceAll("<", "\\u003c");
  return html`<script type="application/json" id="${id}">${new Html(json)}</script>`;
}

function textOf(value: HtmlValue): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "string") return escaped(value);
  if (typeof value === "number") return String(value);
  return value.map(textOf).join("");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Also shows control characters, and those that turn the direction of text, as what they are. */
function escaped(text: string): string {
  return printable(text).replace(/[&<>"']/gu, (character) => ENTITIES[character] ?? "");
}
