/** `wasmqtt inspect`: what is in a WebAssembly file, and whether it may be flashed. */

import type { Command } from "commander";
import { UsageError } from "../../errors.ts";
import { InvalidModuleError } from "../../module/byte-reader.ts";
import { inspectModule, type ModuleInspection } from "../../module/inspect-module.ts";
import { action, type CliContext, type CommandCall, readUserFile } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { type Output, printable } from "../output.ts";

interface InspectFlags {
  json?: boolean;
}

export function registerInspect(program: Command, context: CliContext): void {
  program
    .command("inspect")
    .description("Tell what is in a WebAssembly file and whether it keeps the rules of a module.")
    .argument("<file>", "a .wasm file")
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExit code 99 if the module breaks a rule, 2 if the file is no module.")
    .action(action(context, inspect));
}

async function inspect(call: CommandCall<InspectFlags>): Promise<ExitCode> {
  const { context, output, flags, args } = call;
  const [path = ""] = args;
  const inspection = inspectBytes(path, readUserFile(context, path, "module"));
  const isKept = inspection.rules.every((rule) => rule.isKept);

  if (flags.json === true) {
    output.json({ schema: "wasmqtt/inspect.v1", file: path, ...inspection, isKept });
  } else {
    printFacts(path, inspection, output);
    printRules(inspection, output);
  }
  return isKept ? ExitCode.Ok : ExitCode.ExpectationFailed;
}

function inspectBytes(path: string, bytes: Uint8Array): ModuleInspection {
  try {
    return inspectModule(bytes);
  } catch (cause) {
    if (!(cause instanceof InvalidModuleError)) throw cause;
    throw new UsageError(
      `${JSON.stringify(path)} is no WebAssembly module: ${cause.message}`,
      "Give a .wasm file in the binary format, as the AssemblyScript compiler writes it",
      { cause },
    );
  }
}

function printFacts(path: string, inspection: ModuleInspection, output: Output): void {
  const { byteLength, sha256, imports, exports, memories } = inspection;
  const fact = (name: string, value: string) => {
    output.result(`  ${output.colors.dim(name.padEnd(11))}${printable(value)}`);
  };
  output.result(output.colors.bold(printable(path)));
  fact("SHA-256", sha256);
  fact("size", `${byteLength} bytes`);
  for (const { initialPageCount, maximumPageCount } of memories) {
    const limit = maximumPageCount === undefined ? "no maximum" : `at most ${maximumPageCount}`;
    fact("memory", `${initialPageCount} × 64 KiB, ${limit}`);
  }
  fact("data end", `${inspection.dataEnd ?? "not exported"}`);
  fact("heap base", `${inspection.heapBase ?? "not exported"}`);
  fact("ABI", `${inspection.abiVersion ?? "none"}`);
  fact("imports", names(imports.map(({ module, name }) => `${module}.${name}`)));
  fact("exports", names(exports.map(({ name }) => name)));
}

function names(list: string[]): string {
  return list.length === 0 ? "none" : list.join(" ");
}

function printRules({ rules }: ModuleInspection, output: Output): void {
  const { green, red, dim } = output.colors;
  output.result("RULES");
  for (const { rule, isKept, found } of rules) {
    const mark = isKept ? green("✓") : red("✗");
    output.result(`  ${mark} ${rule}: ${isKept ? dim(found) : printable(found)}`);
  }
}
