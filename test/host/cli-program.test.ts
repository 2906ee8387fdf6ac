/** The frame around the commands: what they are given, and how each kind of error ends. */

import { beforeEach, describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import {
  action,
  type CommandCall,
  interrupted,
  type RegisterCommand,
  readUserFile,
} from "../../host/src/cli/command.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { PublishError } from "../../host/src/client/client-errors.ts";
import { ConnectionError, ProtocolError, RefusedError, UsageError } from "../../host/src/errors.ts";
import { RecordingContext } from "../support/run-cli.ts";

interface TryFlags {
  size?: string;
}

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
});

/** Runs `args` in a program whose only command, `try [what]`, does `run`. */
function runTry(
  args: string[],
  run: (call: CommandCall<TryFlags>) => Promise<ExitCode>,
): Promise<ExitCode> {
  const register: RegisterCommand = (program, cliContext) => {
    program
      .command("try")
      .argument("[what]")
      .option("--size <size>")
      .action(action(cliContext, run));
  };
  return runCli(args, context, [register]);
}

const done = () => Promise.resolve(ExitCode.Ok);

describe("a command", () => {
  test("gets its arguments, flags and output; its answer is the exit code", async () => {
    const exitCode = await runTry(["try", "it", "--size", "3"], ({ args, flags, output }) => {
      output.result(`${args.join()} ${flags.size}`);
      return Promise.resolve(ExitCode.ExpectationFailed);
    });
    expect(exitCode).toBe(99);
    expect(context.stdout.text).toBe("it 3\n");
  });

  test.each([[["--quiet", "try"]], [["try", "--quiet"]]])(
    "takes global flags anywhere: %j",
    async (args) => {
      await runTry(args, ({ output }) => {
        output.note("not seen");
        return Promise.resolve(ExitCode.Ok);
      });
      expect(context.stderr.text).toBe("");
    },
  );

  test("has --help, and -h is none", async () => {
    expect(await runTry(["try", "--help"], done)).toBe(0);
    expect(context.stdout.text).toContain("Usage: wasmqtt try");
    expect(await runTry(["help", "try"], done)).toBe(0);
    expect(await runTry(["try", "-h"], done)).toBe(2);
    expect(context.stderr.text).toContain("short for --host");
  });

  test("reads files that the person named, and says what is wrong with them", () => {
    context.files.set("a", "text");
    expect(readUserFile(context, "a", "scenario").toString()).toBe("text");
    expect(() => readUserFile(context, "b", "scenario")).toThrow(
      'The scenario "b" cannot be read: there is no such file',
    );
  });
});

describe("commander's own errors", () => {
  test.each([
    [["tyr"], /unknown command 'tyr'\n\(Did you mean try\?\)/],
    [["try", "--siez", "1"], /unknown option '--siez'\n\(Did you mean --size\?\)/],
    [["try", "a", "b"], /too many arguments/],
    [["try", "--size"], /argument missing/],
    [[], /Usage: wasmqtt/],
  ])("%j is exit code 2", async (args, text) => {
    expect(await runTry(args, done)).toBe(2);
    expect(context.stderr.text).toMatch(text);
    expect(context.stdout.text).toBe("");
  });

  test("--version is none", async () => {
    expect(await runTry(["--version"], done)).toBe(0);
    expect(context.stdout.text).toBe("1.2.3\n");
  });
});

describe("an error of a command", () => {
  test("of usage is exit code 2, problem and remedy without a stack", async () => {
    const run = () => Promise.reject(new UsageError("No such thing", "Take another"));
    expect(await runTry(["try"], run)).toBe(2);
    expect(context.stderr.text).toBe("error: No such thing\n  Take another\n");
  });

  test("of the connection is exit code 3", async () => {
    const error = new ConnectionError("unreachable", "nobody\u001b listens", "Start the broker");
    expect(await runTry(["try"], () => Promise.reject(error))).toBe(3);
    expect(context.stderr.text).toBe("error: nobody\\u{1b} listens\n  Start the broker\n");
  });

  test.each([
    [
      "refused",
      new RefusedError(5),
      3,
      /\(return code 5\): this client may not connect\n {2}Check/,
    ],
    ["ended", new ProtocolError(Status.MalformedPacket), 3, /no MQTT packet\n {2}See the broker's/],
    ["without an answer", new PublishError("in-doubt", "a"), 5, /"a" is in doubt.*\n {2}Ask/],
  ])("of a client that was %s has its own exit code", async (_what, error, exitCode, text) => {
    expect(await runTry(["try"], () => Promise.reject(error))).toBe(exitCode);
    expect(context.stderr.text).toMatch(text);
    expect(context.stderr.text).not.toContain("bug");
  });

  test.each(["EMFILE", "ENFILE"])(
    "for want of open files (%s) is no bug, but exit code 2",
    async (code) => {
      const error = Object.assign(new Error(`${code}: too many open files, open 'a.js'`), { code });
      expect(await runTry(["try"], () => Promise.reject(error))).toBe(2);
      expect(context.stderr.text).toMatch(
        /^error: .*even to begin: E.FILE.*\n {2}Raise .*doctor -c/,
      );
      expect(context.stderr.text).not.toContain("bug");
    },
  );

  test("that nobody expected is exit code 1, called a bug, with its stack", async () => {
    const run = () => Promise.reject(new TypeError("x is not a function"));
    expect(await runTry(["try"], run)).toBe(1);
    expect(context.stderr.text).toMatch(/^error: x is not a function\n {2}This is a bug/);
    expect(context.stderr.text).toMatch(/TypeError: x is not a function\n +at /);
  });

  test("respects --no-color", async () => {
    context.stderr.isTTY = true;
    const run = () => Promise.reject(new UsageError("No", "Yes"));
    await runTry(["try", "--no-color"], run);
    expect(context.stderr.text).toBe("error: No\n  Yes\n");
  });
});

describe("an interrupt", () => {
  test.each([
    [ExitCode.Interrupted, 130, "Stopping. Press Ctrl-C again to end at once.\n"],
    [ExitCode.Terminated, 143, ""],
    [ExitCode.Ok, 0, ""], // nobody reads stdout any more
  ])("lets the command finish and ends in %i", async (reason, exitCode, said) => {
    const run = async ({ output }: CommandCall<TryFlags>) => {
      setImmediate(() => context.interruptController.abort(reason));
      await interrupted(context);
      output.result("summary");
      return ExitCode.Ok;
    };
    expect(await runTry(["try"], run)).toBe(exitCode);
    expect(context.stdout.text).toBe("summary\n");
    expect(context.stderr.text).toBe(said);
  });

  test("ends a command that gives up with an AbortError without a word", async () => {
    const run = async () => {
      context.interruptController.abort(ExitCode.Terminated);
      throw new DOMException("aborted", "AbortError");
    };
    expect(await runTry(["try"], run)).toBe(143);
    expect(context.stderr.text).toBe("");
  });

  test("does not hide what goes wrong while stopping", async () => {
    const run = async () => {
      context.interruptController.abort(ExitCode.Terminated);
      throw new UsageError("No", "Yes");
    };
    expect(await runTry(["try"], run)).toBe(2);
  });

  test("before the command starts counts as well", async () => {
    context.interruptController.abort(ExitCode.Interrupted);
    const run = async () => {
      await interrupted(context);
      return ExitCode.Ok;
    };
    expect(await runTry(["try"], run)).toBe(130);
  });
});
