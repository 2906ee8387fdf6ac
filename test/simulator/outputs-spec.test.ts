/** `--out kind=target`: what is understood, and what is said about the rest. */

import { describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import { OUTPUT_KINDS, parseOutputSpec } from "../../simulator/src/outputs/output-spec.ts";
import { parseEndpoint } from "../../simulator/src/outputs/prometheus.ts";

/** The problem and the remedy of the UsageError that `read` throws. */
function mistake(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof UsageError) return `${error.message}\n${error.remedy}`;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("kind=target", () => {
  test.each(OUTPUT_KINDS)("%s takes the rest as its target, with equals signs", (kind) => {
    expect(parseOutputSpec(`${kind}=a=b c`)).toEqual({ kind, target: "a=b c" });
  });

  test.each(["json", "ndjson", "csv", "junit", "md"])("%s may go to stdout", (kind) => {
    expect(parseOutputSpec(`${kind}=-`)).toEqual({ kind, target: "-" });
  });

  test.each(["hgrm", "html", "prometheus"])("%s may not, and an example is given", (kind) => {
    expect(mistake(() => parseOutputSpec(`${kind}=-`))).toMatch(
      new RegExp(`cannot go to stdout\n.*--out ${kind}=`, "u"),
    );
  });

  test.each([
    ["jsn=a", '"jsn"; did you mean json?'],
    ["JSON=a", '"JSON"; did you mean json?'],
    ["prometeus=:1", '"prometeus"; did you mean prometheus?'],
    ["result.json", 'there is no kind "result.json"\n'],
    ["=a", 'there is no kind ""\n'],
    ["", 'there is no kind ""\n'],
    ["xml=a", 'there is no kind "xml"'],
  ])("%j is no kind, and the kinds are listed", (text, said) => {
    const all = mistake(() => parseOutputSpec(text));
    expect(all).toContain(said);
    expect(all).toContain(OUTPUT_KINDS.join(", "));
  });

  test.each(["csv", "csv="])("%j has no target, and an example is given", (text) => {
    expect(mistake(() => parseOutputSpec(text))).toBe(
      `--out ${JSON.stringify(text)} does not say where to\nAdd the target, as in --out csv=samples.csv`,
    );
  });
});

describe("where Prometheus may ask", () => {
  test.each([
    ["9464", "127.0.0.1", 9464],
    [":9464", "127.0.0.1", 9464],
    [":0", "127.0.0.1", 0],
    ["0.0.0.0:9464", "0.0.0.0", 9464],
    ["localhost:65535", "localhost", 65_535],
    ["[::1]:9464", "::1", 9464],
    ["[::]:9464", "::", 9464],
  ])("%s", (target, host, port) => {
    expect(parseEndpoint(target)).toEqual({ host, port });
  });

  test.each(["", ":", "host", "host:", "65536", "-1", "::1:9464", "a:b:1", "http://a:1", "1.5"])(
    "%j is no address to listen on",
    (target) => {
      expect(mistake(() => parseEndpoint(target))).toMatch(/no address to listen on\nGive a port/u);
    },
  );
});
