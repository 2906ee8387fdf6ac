/** The program `wasmqtt`: its commands, its global flags, and the one place where errors end. */

import { Command, CommanderError } from "commander";
import { type CliContext, createOutput, type RegisterCommand } from "./command.ts";
import { EXIT_CODES_TEXT, ExitCode, explain } from "./exit-code.ts";

/** Runs one command line (without the names of Node and of the script). Never throws. */
export async function runCli(
  args: readonly string[],
  context: CliContext,
  commands: readonly RegisterCommand[],
): Promise<ExitCode> {
  const program = createProgram(context);
  for (const register of commands) register(program, context);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    return failed(error, context, program.opts());
  }
  return interruptCode(context) ?? context.exitCode;
}

function createProgram(context: CliContext): Command {
  const { stdout, stderr, system } = context;
  return new Command("wasmqtt")
    .description("One WebAssembly module that speaks MQTT: on a board, in Node, and as a fleet.")
    .helpOption("--help", "show this help (-h is the host, as in mosquitto_pub)")
    .helpCommand("help [command]", "show the help of a command")
    .version(system.version, "--version", "print the version")
    .option("--quiet", "print the result, warnings and errors only")
    .option("--no-progress", "do not show what is going on")
    .option("--no-color", "no colours; the variable NO_COLOR does the same")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
    })
    .addHelpText("after", `\n${EXIT_CODES_TEXT}`)
    .showHelpAfterError("  Add --help for the flags; -h is none of that, it is short for --host.")
    .exitOverride();
}

/** The exit code of an interrupted run; undefined if nobody interrupted it. */
function interruptCode({ interrupt }: CliContext): ExitCode | undefined {
  return interrupt.aborted ? (interrupt.reason as ExitCode) : undefined;
}

/** Says what went wrong. Also for errors that come from outside a command. */
export function failed(error: unknown, context: CliContext, flags = {}): ExitCode {
  // commander has said it already; showing the help or the version is an error to it, too.
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
  }
  const code = interruptCode(context);
  if (code !== undefined && (isAbort(error) || error === code)) return code;

  const { exitCode, problem, remedy, stack } = explain(error);
  createOutput(context, flags).error(problem, remedy);
  if (stack !== undefined) context.stderr.write(`${stack}\n`);
  return exitCode;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
