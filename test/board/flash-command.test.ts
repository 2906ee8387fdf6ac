/** `wasmqtt flash` and its neighbours against a scripted board on a real pseudo-terminal, through node-serialport. */

import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SerialPort } from "serialport";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { registerFlash } from "../../host/src/cli/commands/flash.ts";
import { registerKeygen } from "../../host/src/cli/commands/keygen.ts";
import { registerMonitor } from "../../host/src/cli/commands/monitor.ts";
import { registerProvision } from "../../host/src/cli/commands/provision.ts";
import { registerReset } from "../../host/src/cli/commands/reset.ts";
import { registerSign } from "../../host/src/cli/commands/sign.ts";
import { registerSlots } from "../../host/src/cli/commands/slots.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { readModule } from "../../host/src/core/core.ts";
import { registerConfig } from "../../simulator/src/cli/commands/config.ts";
import { profileOf } from "../../simulator/src/profiles/profile.ts";
import { describeWith } from "../support/optional.ts";
import { PtyBoard } from "../support/pty-board.ts";
import { openPtyPair } from "../support/pty-pair.ts";
import { RecordingContext } from "../support/run-cli.ts";

const COMMANDS = [
  registerFlash,
  registerMonitor,
  registerReset,
  registerSlots,
  registerConfig,
  registerSign,
  registerKeygen,
  registerProvision,
];

const thermometer = Buffer.from(await readModule("thermometer"));
const THERMOMETER_SHA = createHash("sha256").update(thermometer).digest("hex");

let context: RecordingContext;
let folder: string;

/** Asserts what becomes true within a generous limit. */
const soon = <Value>(look: () => Value) => expect.poll(look, { timeout: 10_000 });

beforeEach(() => {
  context = freshContext();
  folder = mkdtempSync(join(tmpdir(), "wasmqtt-flash-"));
});
afterEach(() => {
  context.interruptController.abort(ExitCode.Interrupted);
  rmSync(folder, { recursive: true });
});

/** Each command line has a context of its own; this one reads real files, too. */
function freshContext(): RecordingContext {
  const fresh = new RecordingContext();
  fresh.system = { ...fresh.system, readModule };
  const { readFile } = fresh;
  return Object.assign(fresh, {
    readFile: (path: string | URL) => {
      try {
        return readFile(path);
      } catch {
        return readFileSync(path);
      }
    },
  });
}

function run(...args: string[]): Promise<ExitCode> {
  context = freshContext();
  return runCli(args, context, COMMANDS);
}

function encryptedKey(): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  const format = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" } as const;
  return privateKey.export(format).toString();
}

function fileOf(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

describeWith(["socat"], "with a board", () => {
  let board: PtyBoard;

  beforeEach(async () => {
    board = await PtyBoard.open();
  });
  afterEach(async () => {
    context.interruptController.abort(ExitCode.Interrupted);
    await board.close();
  });

  const on = (...args: string[]) => run(...args, "-d", board.path);

  test("a module is sent, tried and confirmed, and its SHA-256 is that of the file", async () => {
    expect(await on("flash", "thermometer.wasm")).toBe(ExitCode.Ok);
    expect(context.stdout.text).toContain(`SHA-256 ${THERMOMETER_SHA}`);
    expect(context.stdout.text).toContain("thermometer.wasm 1.0.0 runs in slot 1");
    expect(board.scripted.slots[1]?.confirmed).toBe(true);
    expect(board.scripted.slots[1]?.bytes.subarray(32, 32 + thermometer.length)).toEqual(
      thermometer,
    );
  });

  test("a module that runs already is not sent again", async () => {
    await on("flash", "thermometer.wasm");
    const uploads = board.scripted.requestCounts.get("1/1");
    expect(await on("flash", "thermometer.wasm", "--json")).toBe(ExitCode.Ok);
    expect(board.scripted.requestCounts.get("1/1")).toBe(uploads);
    expect(JSON.parse(context.stdout.text)).toEqual({
      schema: "wasmqtt/flash.v1",
      file: "thermometer.wasm",
      device: board.path,
      board: "scripted",
      sha256: THERMOMETER_SHA,
      hash: expect.stringMatching(/^[\da-f]{64}$/u),
      version: "1.0.0",
      slot: 1,
      wasThere: true,
      isConfirmed: true,
    });
  });

  test.each([
    ["falls", "it fell 3 times: unreachable executed"],
    ["is refused", "it asks for too much memory"],
  ] as const)(
    "a module that %s gives way to the one before, and the board's reason is told",
    async (trial, reason) => {
      await on("flash", "thermometer.wasm");
      board.trial = trial;
      expect(await on("flash", "reporter.wasm")).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain(`The module did not stay: the board says "${reason}"`);
      expect(context.stderr.text).toContain(`SHA-256 ${THERMOMETER_SHA.slice(0, 12)}`);
      expect(context.stderr.text).toContain("wasmqtt run --firmware");
      expect(context.stdout.text).toBe("");
    },
  );

  test("--no-confirm leaves it on trial, and slots --confirm lets it stay", async () => {
    expect(await on("flash", "thermometer.wasm", "--no-confirm")).toBe(ExitCode.Ok);
    expect(context.stdout.text).toContain("on trial until the next reset");
    expect(board.scripted.slots[1]?.confirmed).toBe(false);
    expect(await on("slots", "--confirm")).toBe(ExitCode.Ok);
    expect(board.scripted.slots[1]?.confirmed).toBe(true);
  });

  test("Ctrl-C in the middle of a trial says what becomes of the module", async () => {
    board.info = {
      module: { state: "running", up: 1, sha: createHash("sha256").update(thermometer).digest() },
    };
    const ended = on("flash", "thermometer.wasm");
    await soon(() => context.stderr.text).toContain("It runs. If it does so for 5 s");
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
    expect(context.stderr.text).toContain("stays with `wasmqtt slots --confirm`");
    expect(context.stderr.text).not.toContain("error:");
    expect(board.scripted.slots[1]?.confirmed).toBe(false);
  });

  describe("before anything is erased", () => {
    afterEach(() => {
      expect(board.scripted.requestCounts.get("1/1")).toBeUndefined();
      expect(board.scripted.requestCounts.get("1/5")).toBeUndefined();
    });

    test("a file that is no module is refused", async () => {
      const path = fileOf("text.wasm", "this is a text, and long enough for a header of any kind");
      expect(await on("flash", path)).toBe(ExitCode.Device);
      expect(context.stderr.text).toMatch(/no WebAssembly module/u);
    });

    test("a file that is not there is exit code 2", async () => {
      expect(await on("flash", join(folder, "missing.wasm"))).toBe(ExitCode.Usage);
      expect(context.stderr.text).toContain("there is no such file");
    });

    test("a file that may not be read is not replaced by the module that ships", async () => {
      const readFile = () => {
        throw Object.assign(new Error("permission denied"), { code: "EACCES" });
      };
      context = Object.assign(freshContext(), { readFile });
      const args = ["flash", "thermometer.wasm", "-d", board.path];
      expect(await runCli(args, context, COMMANDS)).toBe(ExitCode.Usage);
      expect(context.stderr.text).toContain("this user may not read it");
    });

    test("a module that breaks a rule is refused with the rule", async () => {
      const empty = Buffer.from("0061736d01000000", "hex");
      expect(await on("flash", fileOf("empty.wasm", empty))).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain("one memory, exported as memory");
      expect(context.stderr.text).toContain("wasmqtt inspect");
    });

    test("a module that is no application is refused with what it lacks", async () => {
      const core = fileOf("core.wasm", await readModule("core"));
      expect(await on("flash", core)).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain("none for a board: It does not export configure()");
    });

    test("a board with another ABI is told from a module that is wrong", async () => {
      board.info = { abi: 99 };
      expect(await on("flash", "thermometer.wasm")).toBe(ExitCode.Device);
      expect(context.stderr.text).toMatch(
        /another ABI than the board: \d+, and the board .* has 99/u,
      );
      expect(context.stderr.text).toContain("firmware install");
    });

    test("a board with too little memory is told", async () => {
      board.info = { ram: { heap: 0, heapMax: 2_048, stack: 0, stackMax: 1_024 } };
      expect(await on("flash", "thermometer.wasm")).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain(
        "needs 4096 bytes of memory at least, and the board has 2048",
      );
    });

    test("a board with a key wants a signature", async () => {
      board.scripted.key = new Uint8Array(32);
      expect(await on("flash", "thermometer.wasm")).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain("is not signed");
      expect(context.stderr.text).toContain("--key FILE");
    });

    test("a key that is none is exit code 2", async () => {
      expect(await on("flash", "thermometer.wasm", "--key", fileOf("key.pem", "no key"))).toBe(
        ExitCode.Usage,
      );
      expect(context.stderr.text).toContain("wasmqtt keygen");
    });
  });

  test("an older version is refused, and the one that would do is named", async () => {
    await on("flash", "thermometer.wasm", "--image-version", "1.2.3");
    const uploads = board.scripted.requestCounts.get("1/1");
    expect(await on("flash", "reporter.wasm", "--image-version", "1.2.2")).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("has version 1.2.2, and the board has confirmed 1.2.3");
    expect(context.stderr.text).toContain("--image-version 1.2.3");
    expect(board.scripted.requestCounts.get("1/1")).toBe(uploads);
  });

  test("a module that is too large for a slot is refused with both lengths", async () => {
    await board.close();
    board = await PtyBoard.open({ slotLength: 1_024 });
    expect(await on("flash", "thermometer.wasm")).toBe(ExitCode.Device);
    expect(context.stderr.text).toMatch(
      /too large: \d+ bytes with its header, and a slot .* takes 1024/u,
    );
    expect(board.scripted.requestCounts.get("1/1")).toBeUndefined();
  });

  test("a signed image is flashed as it is, and its key file is for its owner alone", async () => {
    const key = join(folder, "key.pem");
    const image = join(folder, "thermometer.img");
    expect(await run("keygen", key, "--json")).toBe(ExitCode.Ok);
    const { publicKey } = JSON.parse(context.stdout.text) as { publicKey: string };
    expect(publicKey).toMatch(/^[\da-f]{64}$/u);
    expect(statSync(key).mode & 0o777).toBe(0o600);

    const signing = [
      "sign",
      "thermometer.wasm",
      "-o",
      image,
      "--key",
      key,
      "--image-version",
      "2.0.1",
    ];
    writeFileSync(join(folder, "thermometer.wasm"), thermometer);
    signing[1] = join(folder, "thermometer.wasm");
    expect(await run(...signing, "--json")).toBe(ExitCode.Ok);
    expect(JSON.parse(context.stdout.text)).toMatchObject({
      schema: "wasmqtt/image.v1",
      version: "2.0.1",
      isSigned: true,
      sha256: THERMOMETER_SHA,
    });

    expect(await on("provision", key)).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("until its whole flash is erased");
    expect(board.scripted.key).toBeUndefined();
    expect(await on("provision", key, "--yes")).toBe(ExitCode.Ok);
    expect(Buffer.from(board.scripted.key ?? []).toString("hex")).toBe(publicKey);

    expect(await on("flash", image)).toBe(ExitCode.Ok);
    expect(context.stdout.text).toContain("2.0.1 runs");
    expect(board.scripted.slots[1]?.bytes.equals(readFileSync(image))).toBe(true);
  });

  test.each([
    ["32 bytes of anything", "a file of thirty-two characters\n", "begins with -----BEGIN"],
    ["a text", "this is no key", "begins with -----BEGIN"],
    [
      "half a key",
      "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
      "what follows -----BEGIN PUBLIC KEY----- is no whole key",
    ],
    ["an encrypted key", encryptedKey(), "it is encrypted"],
  ])("%s is never the key of a board", async (_what, text, problem) => {
    expect(await on("provision", fileOf("some.key", text), "--yes")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain(problem);
    expect(context.stderr.text).toContain("64 hexadecimal digits");
    expect(context.stderr.text).not.toContain("unsupported");
    expect(board.scripted.key).toBeUndefined();
  });

  test("a signed image is not given another version without the key", async () => {
    const key = join(folder, "key.pem");
    const image = join(folder, "app.img");
    const path = fileOf("app.wasm", thermometer);
    await run("keygen", key);
    await run("sign", path, "-o", image, "--key", key, "--image-version", "2.0.1");
    expect(await on("flash", image, "--image-version", "2.1.0")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("give the key with --key");
    expect(await on("flash", image, "--image-version", "2.0.1")).toBe(ExitCode.Ok);
    expect(board.scripted.slots[1]?.bytes.equals(readFileSync(image))).toBe(true);
  });

  test("a key file is never written over", async () => {
    const key = fileOf("key.pem", "precious");
    expect(await run("keygen", key)).toBe(ExitCode.Usage);
    expect(readFileSync(key, "utf8")).toBe("precious");
  });

  test("--watch flashes again when the file changes, and outlives a file that is broken", async () => {
    const path = fileOf("app.wasm", thermometer);
    const ended = on("flash", path, "--watch");
    await soon(() => context.stderr.text).toContain("Waiting for");
    writeFileSync(path, "half a file");
    await soon(() => context.stderr.text).toContain("error:");
    writeFileSync(path, await readModule("reporter"));
    await soon(() => [...context.stdout.text.matchAll(/app\.wasm .* runs/gu)].length).toBe(2);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
  });

  test("--watch outlives a first module that does not stay", async () => {
    board.trial = "falls";
    const path = fileOf("app.wasm", thermometer);
    const ended = on("flash", path, "--watch");
    await soon(() => context.stderr.text).toContain("The module did not stay");
    board.trial = "runs";
    await soon(() => context.stderr.text).toContain("Waiting for");
    writeFileSync(path, await readModule("reporter"));
    await soon(() => context.stdout.text).toMatch(/app\.wasm .* runs/u);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
  });

  test("--watch --monitor outlives a cable that is out when the file changes", async () => {
    const path = fileOf("app.wasm", thermometer);
    const link = join(folder, "port");
    symlinkSync(board.path, link);
    const ended = run("flash", path, "--watch", "--monitor", "-d", link);
    await soon(() => context.stderr.text).toContain("Listening");
    rmSync(link);
    await board.close();
    await soon(() => context.stderr.text).toContain("waiting until it is back");
    writeFileSync(path, await readModule("reporter"));
    await soon(() => context.stderr.text).toMatch(/error: [\s\S]*waiting until it is back/u);
    board = await PtyBoard.open();
    symlinkSync(board.path, link);
    await soon(() => context.stderr.text).toMatch(/error: [\s\S]*(Listening|is back): /u);
    writeFileSync(path, await readModule("reporter"));
    await soon(() => [...context.stdout.text.matchAll(/app\.wasm .* runs/gu)].length).toBe(2);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
  });

  test("--watch ends at once where nobody is to be flashed", async () => {
    await board.close();
    expect(await on("flash", "thermometer.wasm", "--watch")).toBe(ExitCode.Device);
  });

  test("--watch flashes what was written while the board was busy with the file before", async () => {
    const path = fileOf("app.wasm", thermometer);
    const ended = on("flash", path, "--watch");
    await soon(() => context.stderr.text).toContain("The board restarts");
    writeFileSync(path, await readModule("reporter"));
    await soon(() => [...context.stdout.text.matchAll(/app\.wasm .* runs/gu)].length).toBe(2);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
  });

  test("reset waits until the board is back, slots shows what it has", async () => {
    await on("flash", "thermometer.wasm");
    expect(await on("reset")).toBe(ExitCode.Ok);
    expect(context.stdout.text).toContain("The board has restarted");
    expect(await on("slots")).toBe(ExitCode.Ok);
    expect(context.stdout.text).toContain(THERMOMETER_SHA);
    expect(context.stdout.text).toMatch(/ 1 +64 KiB +1\.0\.0 +runs/u);
    expect(await on("slots", "--json")).toBe(ExitCode.Ok);
    expect(JSON.parse(context.stdout.text)).toMatchObject({
      schema: "wasmqtt/slots.v1",
      board: "scripted",
      module: { sha256: THERMOMETER_SHA, state: "running" },
      slots: [
        { slot: 0, module: null },
        { slot: 1, module: { version: "1.0.0", isConfirmed: true, isActive: true } },
      ],
    });
  });

  test("config sets, shows and forgets values, and never shows the password", async () => {
    const secret = fileOf("secret.txt", "hunter2\n");
    const setting = ["config", "set", "id=kitchen", "user=me", "interval=500ms", "qos=2"];
    expect(await on(...setting, "profile=homie", "--password-file", secret)).toBe(ExitCode.Ok);
    expect(board.scripted.config).toMatchObject({
      id: "kitchen",
      user: "me",
      interval: 500,
      qos: 2,
    });
    expect(Buffer.from(board.scripted.config["pass"] as Uint8Array).toString()).toBe("hunter2");
    expect(board.scripted.config["profile"]).toEqual(profileOf("homie").block);
    expect(await on("config", "get", "--json")).toBe(ExitCode.Ok);
    expect(context.stdout.text).not.toContain("hunter2");
    expect(JSON.parse(context.stdout.text)).toMatchObject({
      schema: "wasmqtt/config.v1",
      clientId: "kitchen",
      hasPassword: true,
      intervalMs: 500,
      profile: "homie",
    });
    expect(await on("config", "unset", "pass", "profile")).toBe(ExitCode.Ok);
    expect(board.scripted.config["pass"]).toBeUndefined();
    expect(context.stdout.text).toMatch(/pass +not set/u);
  });

  test.each([
    [["password=hunter2"], "can be seen by others"],
    [["pass=hunter2"], "can be seen by others"],
    [["id=a/b"], "cannot be a board's client id"],
    [["interval=5"], "no duration"],
    [["interval=1ms"], "out of range"],
    [["qos=3"], "from 0 to 2"],
    [["profile=plain"], "built in"],
    [["profile=nokia"], "There is no profile"],
    [["colour=red"], 'There is no key "colour"'],
    [["id"], "is no key=value"],
    [["id=a", "qos=1", "id=b"], "id is there twice"],
    [[], "There is nothing to set"],
    [["--password-env", "NOT_SET_AT_ALL"], "is not set"],
  ])("config set %j is exit code 2", async (args, text) => {
    expect(await on("config", "set", ...args)).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain(text);
    expect(board.scripted.requestCounts.get("64/1")).toBeUndefined();
  });

  test.each(["", "\n", "\r\n"])(
    "config set with a password file that holds %j is exit code 2, and the password stays",
    async (text) => {
      board.scripted.config["pass"] = Buffer.from("hunter2");
      const secret = fileOf("secret.txt", text);
      expect(await on("config", "set", "--password-file", secret)).toBe(ExitCode.Usage);
      expect(context.stderr.text).toContain('secret.txt" is empty');
      expect(context.stderr.text).toContain("config unset pass");
      expect(board.scripted.requestCounts.get("64/1")).toBeUndefined();
    },
  );

  test("monitor prints lines with the time, harmless, and goes on after a reset", async () => {
    const ended = on("monitor");
    await soon(() => context.stderr.text).toContain("Listening");
    board.send("\u001b[0;32mgreen\u001b[0m \u001b]0;title\u0007 and \u009b2J\r\n");
    await soon(() => context.stdout.text).toContain("green");
    board.scripted.start("request");
    await soon(() => context.stdout.text).toContain("started because of request");
    expect(context.stdout.text).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}green \\u\{1b\}\]0;title\\u\{7\} and /mu,
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(context.stdout.text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u0080-\u009f]/u);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
  });

  test("monitor --raw prints the bytes, --json one object for each line", async () => {
    const raw = on("monitor", "--raw");
    await soon(() => context.stderr.text).toContain("Listening");
    board.send("\u001b[31mred");
    await soon(() => context.stdout.text).toContain("\u001b[31mred");
    context.interruptController.abort(ExitCode.Interrupted);
    await raw;
    const json = on("monitor", "--json");
    await soon(() => context.stderr.text).toContain("Listening");
    board.send("hello\n");
    await soon(() => context.stdout.text).toContain("hello");
    expect(JSON.parse(context.stdout.text)).toEqual({
      time: expect.stringMatching(/^\d{4}-/u),
      text: "hello",
      isWhole: true,
    });
    context.interruptController.abort(ExitCode.Interrupted);
    await json;
  });

  test("monitor prints bytes or JSON, not both", async () => {
    expect(await on("monitor", "--raw", "--json")).toBe(ExitCode.Usage);
  });

  test("what a board says about itself cannot begin a line of its own", async () => {
    board.info = { board: "x\n✓ board", engine: "y\n✓ engine" };
    expect(await on("slots")).toBe(ExitCode.Ok);
    expect(context.stdout.text).toContain("✓ board");
    expect(context.stdout.text).not.toMatch(/^✓/mu);
  });

  test("a port that another program has open is busy", async () => {
    const other = new SerialPort({ path: board.path, baudRate: 115_200, autoOpen: false });
    await new Promise<void>((resolve) => other.open(() => resolve()));
    try {
      expect(await on("slots")).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain("is in use by another program");
    } finally {
      await new Promise<void>((resolve) => other.close(() => resolve()));
    }
  });
});

describeWith(["socat"], "without a board", () => {
  test("a line where nobody answers says what to check", async () => {
    const pair = await openPtyPair();
    try {
      expect(await run("slots", "-d", pair.hostPath)).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain(`Nothing answers at ${pair.hostPath}`);
      expect(context.stderr.text).toContain("firmware install");
    } finally {
      await pair.cut();
    }
  });

  test("a line where something else speaks says so", async () => {
    const pair = await openPtyPair();
    const other = new SerialPort({ path: pair.boardPath, baudRate: 115_200 });
    const talking = setInterval(() => other.write("$GPGGA,123519,4807.038,N\r\n"), 100);
    try {
      expect(await run("flash", "thermometer.wasm", "-d", pair.hostPath)).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain("$GPGGA");
      expect(context.stderr.text).toContain("no board of ours");
    } finally {
      clearInterval(talking);
      await new Promise<void>((resolve) => other.close(() => resolve()));
      await pair.cut();
    }
  });
});

describe("a port that cannot be one", () => {
  test("that does not exist lists those that do", async () => {
    expect(await run("slots", "-d", "/dev/ttyMISSING7")).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("There is no port /dev/ttyMISSING7");
    expect(context.stderr.text).toMatch(/ports of this machine|no serial ports here/u);
  });

  test("a folder and a file are told apart", async () => {
    expect(await run("slots", "-d", folder)).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("is a folder");
    expect(await run("slots", "-d", fileOf("some", "text"))).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("is a file");
  });

  test("a device that is no serial port is left alone", async () => {
    expect(await run("slots", "-d", "/dev/null")).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("does not work as a serial port");
  });

  test("a socket that nobody listens at", async () => {
    const path = join(folder, "line.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    // A child of this process that dies without cleaning up leaves such a file behind.
    await new Promise<void>((resolve) => server.close(() => resolve()));
    expect(await run("slots", "-d", path)).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain(path);
  });

  test("-p is the broker's port, and the hint names -d", async () => {
    expect(await run("slots", "-p", "/dev/ttyUSB0")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("-d /dev/ttyUSB0");
  });

  test("without -d the variables count, in their order", async () => {
    const fresh = freshContext();
    Object.assign(fresh.env, { ESPTOOL_PORT: "/dev/ttyC", ESPFLASH_PORT: "/dev/ttyB" });
    context = fresh;
    expect(await runCli(["slots"], fresh, COMMANDS)).toBe(ExitCode.Device);
    expect(fresh.stderr.text).toContain("There is no port /dev/ttyB");
    Object.assign(fresh.env, { WASMQTT_DEVICE: "/dev/ttyA" });
    await runCli(["slots"], fresh, COMMANDS);
    expect(fresh.stderr.text).toContain("There is no port /dev/ttyA");
  });
});
