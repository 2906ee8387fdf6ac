/** The JSON Schemas that are published: the form of a scenario file, and of a result. */

import { z } from "zod";
import { RESULT_SCHEMA_ID, resultSchema } from "./run/result.ts";
import { phaseSchemas, rawPhase } from "./scenario/phase-schema.ts";
import { group, rawDefaults, scenarioSchema } from "./scenario/scenario-schema.ts";
import { rawThreshold, thresholdForms } from "./scenario/threshold-schema.ts";

/** For editors (draft 2020-12). What depends on more than one key is checked when a scenario is read. */
export function scenarioJsonSchema(): object {
  const phaseKinds = Object.values(phaseSchemas).map(partSchema);
  const thresholdKinds = thresholdForms.map(partSchema);
  const { $schema, ...schema } = z.toJSONSchema(scenarioSchema, {
    io: "input",
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema === rawPhase) Object.assign(jsonSchema, { anyOf: phaseKinds });
      if (zodSchema === rawDefaults) Object.assign(jsonSchema, partSchema(group));
      if (zodSchema === rawThreshold) Object.assign(jsonSchema, { anyOf: thresholdKinds });
    },
  });
  return { $schema, $id: "urn:wasmqtt:scenario.v1", title: "A scenario of wasmqtt", ...schema };
}

function partSchema(part: z.ZodType): object {
  const { $schema: _, ...schema } = z.toJSONSchema(part, { io: "input" });
  return schema;
}

/** For programs that read results (draft 2020-12). They ignore keys that they do not know. */
export function resultJsonSchema(): object {
  const { $schema, ...schema } = z.toJSONSchema(resultSchema, { io: "input" });
  return { $schema, $id: RESULT_SCHEMA_ID, title: "A result of wasmqtt", ...schema };
}
