/** What `wasmqtt probe` prints with --json, as a schema: the form that programs can rely on. */

import { z } from "zod";
import { SUBJECTS } from "./probe.ts";

/** Names the document. Keys and findings may be added under the same name; a change of meaning makes a v2. */
export const PROBE_SCHEMA_ID = "urn:wasmqtt:probe.v1";

const finding = z
  .object({
    id: z.string().describe("Of the question; the same in each report"),
    subject: z.enum(SUBJECTS),
    question: z.string().describe("For people"),
    did: z.string().describe("What was done to find out"),
    clause: z
      .string()
      .nullable()
      .describe("Of MQTT 3.1.1, the one that decides or that leaves the choice"),
    verdict: z
      .enum(["conforms", "deviates", "free", "unknown"])
      .describe(
        "free: the standard leaves it to the broker. unknown: not found out, and got says why",
      ),
    found: z.string().describe("The answer in a few words"),
    got: z.string().describe("What came back"),
    value: z.number().nullable().describe("The answer as a number, where it is one"),
    unit: z.enum(["ms", "bytes", "messages", "keep alives", "connections/s"]).nullable(),
  })
  .meta({ id: "finding" });

export type Finding = z.infer<typeof finding>;

export const probeReportSchema = z
  .object({
    schema: z.literal(PROBE_SCHEMA_ID),
    tool: z.object({ name: z.literal("wasmqtt"), version: z.string() }),
    broker: z.object({ url: z.string().describe("Without user name and password") }),
    startedAt: z.iso.datetime(),
    durationMs: z.number().min(0),
    interrupted: z.boolean().describe("Somebody stopped it before its end"),
    findings: z.array(finding),
    leftOver: z
      .array(z.string())
      .describe("Retained messages and sessions that could not be removed, as plain sentences"),
  })
  .describe("What a broker does with MQTT 3.1.1, found out by asking it");

export type ProbeReport = z.infer<typeof probeReportSchema>;

/** For programs that read reports (draft 2020-12). They ignore keys that they do not know. */
export function probeJsonSchema(): object {
  const { $schema, ...schema } = z.toJSONSchema(probeReportSchema, { io: "input" });
  return { $schema, $id: PROBE_SCHEMA_ID, title: "A probe of wasmqtt", ...schema };
}
