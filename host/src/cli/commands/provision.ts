/** `wasmqtt provision`: gives a board the public key that its modules must be signed with, for good. */

import type { Command } from "commander";
import { readPublicKey } from "../../board/signing-keys.ts";
import { UsageError } from "../../errors.ts";
import { action, type CliContext, type CommandCall, readUserFile } from "../command.ts";
import { addDeviceOptions, type DeviceFlags, deviceLine } from "../device-options.ts";
import { ExitCode } from "../exit-code.ts";
import { withBoard } from "../with-board.ts";

interface ProvisionFlags extends DeviceFlags {
  yes?: boolean;
}

export function registerProvision(program: Command, context: CliContext): void {
  const command = program
    .command("provision")
    .description("Give a board the public key of its modules. That is final.")
    .argument(
      "<key>",
      "the key file of `wasmqtt keygen`, or its public key alone (PEM, or 64 hex digits)",
    )
    .option("--yes", "yes, the board shall take only modules that are signed with it, from now on");
  addDeviceOptions(command).action(action(context, provision));
}

async function provision(call: CommandCall<ProvisionFlags>): Promise<ExitCode> {
  const { context, output, flags, args } = call;
  const [path = ""] = args;
  const publicKey = readPublicKey(readUserFile(context, path, "key"));
  const text = Buffer.from(publicKey).toString("hex");
  if (flags.yes !== true) {
    throw new UsageError(
      `The board would take only modules signed with ${text.slice(0, 16)}…, and keep this key until its whole flash is erased`,
      "If that is what you want, and the private key is kept safe, add --yes",
    );
  }
  const line = await deviceLine(flags, context);
  await withBoard(line, context, (board) => board.provision(publicKey));
  output.result(`The board takes only modules that are signed with ${text}.`);
  return ExitCode.Ok;
}
