/** Texts with a place for the device in them: `%i` its number, `%05i` the number with zeros in front, `%c` its Client Identifier, `%%` a percent sign. */

/** What stands for a device in a pattern. */
export interface PatternValues {
  number: number;
  /** For `%c`; a pattern for Client Identifiers cannot have it. */
  clientId?: string;
}

/** Everything that starts with a percent sign, known or not. */
const PLACE = /%(%|\d*[A-Za-z]|)/gu;
/** More digits than any number of devices has. */
const DIGITS_MAX = 10;

/** The pattern with its places filled. The pattern is known to be valid: see `patternProblem`. */
export function fillPattern(pattern: string, values: PatternValues): string {
  return pattern.replace(PLACE, (_place, kind: string) => {
    if (kind === "%") return "%";
    if (kind === "c") return values.clientId ?? "";
    return String(values.number).padStart(Number.parseInt(kind, 10) || 0, "0");
  });
}

/** What is wrong with `pattern`, as the end of a sentence, or undefined. `letters` are the places that it may have. */
export function patternProblem(pattern: string, letters: "i" | "ic"): string | undefined {
  for (const [place, kind = ""] of pattern.matchAll(PLACE)) {
    if (kind === "%" || (kind === "c" && letters === "ic")) continue;
    if (kind.endsWith("i") && Number.parseInt(kind, 10) > DIGITS_MAX) {
      return `has "${place}", but a number has at most ${DIGITS_MAX} digits here`;
    }
    if (kind.endsWith("i")) continue;
    const known = letters === "ic" ? "%i, %05i and %c" : "%i and %05i";
    return `has "${place}", but only ${known} stand for something; write %% for a percent sign`;
  }
  return undefined;
}

/** Whether each device gets a text of its own. */
export function isPerDevice(pattern: string): boolean {
  return [...pattern.matchAll(PLACE)].some(([, kind]) => kind !== "%");
}
