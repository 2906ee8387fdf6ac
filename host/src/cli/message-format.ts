/** How a received message is printed: the formats of `mosquitto_sub -F`, and JSON. */

import type { IncomingMessage } from "../core/session.ts";
import { UsageError } from "../errors.ts";
import type { World } from "../world.ts";

/** The bytes to print for a message, its line end included. */
export type MessageFormat = (message: IncomingMessage, world: World) => Uint8Array;

/** The payload as it came. */
export const payloadFormat: MessageFormat = ({ payload }) => line(payload);

/** Topic and payload. */
export const verboseFormat: MessageFormat = ({ topic, payload }) => line(`${topic} `, payload);

/** One JSON object, whose payload is a text, or `payloadBase64` where the bytes are no UTF-8. */
export const jsonFormat: MessageFormat = (message, world) => line(json(message, world));

type Field = (message: IncomingMessage, world: World) => string | Uint8Array;

const FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  ["%", () => "%"],
  ["t", ({ topic }) => topic],
  ["p", ({ payload }) => payload],
  ["x", ({ payload }) => Buffer.from(payload).toString("hex")],
  ["l", ({ payload }) => `${payload.length}`],
  ["q", ({ qos }) => `${qos}`],
  ["r", ({ retain }) => (retain ? "1" : "0")],
  ["d", ({ dup }) => (dup ? "1" : "0")],
  ["U", (_, world) => (world.unixMs() / 1000).toFixed(3)],
  ["I", (_, world) => isoTime(world)],
  ["j", json],
]);

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\\", "\\"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["0", "\0"],
]);

/** For the help. */
export const FORMAT_TEXT = `
Formats (-F):
  %t topic  %p payload  %x payload in hexadecimal  %l its bytes  %q QoS  %r retained  %d repeated (DUP)
  %U seconds since 1970  %I time (ISO 8601)  %j all as JSON  %% a percent sign  \\n \\r \\t \\0 \\\\ as usual`;

/** Reads a format. Throws a UsageError. */
export function parseFormat(text: string): MessageFormat {
  const parts = [...text.matchAll(/([%\\])(.?)|[^%\\]+/gsu)].map(([part, mark, letter = ""]) => {
    if (mark === "%") return FIELDS.get(letter) ?? unknown(text, part);
    if (mark === "\\") return ESCAPES.get(letter) ?? unknown(text, part);
    return part;
  });
  return (message, world) =>
    line(...parts.map((part) => (typeof part === "string" ? part : part(message, world))));
}

function unknown(text: string, part: string): never {
  throw new UsageError(
    `The format ${JSON.stringify(text)} has ${JSON.stringify(part)}, which is not known`,
    "See the formats with `wasmqtt sub --help`",
  );
}

function line(...parts: (string | Uint8Array)[]): Uint8Array {
  return Buffer.concat([...parts, "\n"].map((part) => Buffer.from(part)));
}

function json({ topic, payload, qos, retain, dup }: IncomingMessage, world: World): string {
  return JSON.stringify({ time: isoTime(world), topic, qos, retain, dup, ...jsonPayload(payload) });
}

function jsonPayload(payload: Uint8Array): { payload: string } | { payloadBase64: string } {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return { payload: decoder.decode(payload) };
  } catch {
    return { payloadBase64: Buffer.from(payload).toString("base64") };
  }
}

function isoTime(world: World): string {
  return new Date(world.unixMs()).toISOString();
}
