/** `wasmqtt sign`: wraps a module as boards take it, with a version and, given a key, a signature. */

import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { readFlashFile } from "../../board/flash-plan.ts";
import { parseVersion, versionText, wrapModule } from "../../board/module-image.ts";
import { readPrivateKey } from "../../board/signing-keys.ts";
import { UsageError } from "../../errors.ts";
import { action, type CliContext, type CommandCall, readUserFile } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { printable } from "../output.ts";

interface SignFlags {
  output: string;
  key?: string;
  imageVersion: string;
  json?: boolean;
}

export function registerSign(program: Command, context: CliContext): void {
  program
    .command("sign")
    .description("Wrap a module with a version and a signature (an MCUboot image), for `flash`.")
    .argument("<file>", "a .wasm file, or a wrapped one to be wrapped anew")
    .requiredOption("-o, --output <file>", "where to write it")
    .requiredOption("--image-version <version>", "as in 1.2.0; boards take nothing older")
    .option("--key <file>", "private key, as `wasmqtt keygen` makes it (default: no signature)")
    .option("--json", "print one JSON document")
    .action(action(context, sign));
}

async function sign({ context, output, flags, args }: CommandCall<SignFlags>): Promise<ExitCode> {
  const [path = ""] = args;
  const { module } = readFlashFile(path, readUserFile(context, path, "module"));
  const key = flags.key === undefined ? undefined : readUserFile(context, flags.key, "private key");
  const image = wrapModule(module, {
    version: parseVersion(flags.imageVersion),
    privateKey: key === undefined ? undefined : readPrivateKey(key),
  });
  writeImage(flags.output, image.bytes);
  const hash = Buffer.from(image.hash).toString("hex");
  const version = versionText(image.version);
  const isSigned = image.signature !== undefined;
  if (flags.json === true) {
    const facts = { file: flags.output, version, isSigned, length: image.bytes.length };
    output.json({ schema: "wasmqtt/image.v1", ...facts, sha256: image.moduleSha256, hash });
    return ExitCode.Ok;
  }
  const how = isSigned ? "signed" : "not signed";
  output.result(
    `${printable(flags.output)}  ${image.bytes.length} bytes, version ${version}, ${how}`,
  );
  output.result(`  module SHA-256  ${image.moduleSha256}`);
  output.result(`  image hash      ${hash}`);
  return ExitCode.Ok;
}

function writeImage(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes);
  } catch (cause) {
    throw new UsageError(
      `${JSON.stringify(path)} cannot be written: ${(cause as Error).message}`,
      "Name a file in a folder that this user may write, with -o",
      { cause },
    );
  }
}
