/** `wasmqtt keygen`: makes the key that modules are signed with. */

import type { Command } from "commander";
import { createKeyFile } from "../../board/signing-keys.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { printable } from "../output.ts";

export function registerKeygen(program: Command, context: CliContext): void {
  program
    .command("keygen")
    .description("Make a key pair for signing modules (Ed25519): one file, only for your eyes.")
    .argument("<file>", "where to write it; must not be there yet")
    .option("--json", "print one JSON document")
    .action(action(context, keygen));
}

async function keygen({ output, flags, args }: CommandCall<{ json?: boolean }>): Promise<ExitCode> {
  const [path = ""] = args;
  const { publicKey } = createKeyFile(path);
  const publicKeyText = Buffer.from(publicKey).toString("hex");
  if (flags.json === true) {
    output.json({ schema: "wasmqtt/key.v1", file: path, publicKey: publicKeyText });
    return ExitCode.Ok;
  }
  const file = printable(path);
  output.result(`${file}  private key, readable by you alone`);
  output.result(`  public key  ${publicKeyText}`);
  output.note(
    "Who has this file can sign for your boards; without it nobody can. Keep a copy. Next:",
  );
  output.note(`  wasmqtt flash app.wasm --key ${file}`);
  output.note(
    `  wasmqtt provision ${file} --yes      from then on a board takes only what it has signed`,
  );
  return ExitCode.Ok;
}
