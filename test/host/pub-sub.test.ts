/** `wasmqtt pub` and `wasmqtt sub`: their flags, what they print, and what they answer. */

import { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { registerPub } from "../../host/src/cli/commands/pub.ts";
import { registerSub } from "../../host/src/cli/commands/sub.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { mosquittoSub, startAedes, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { type CliRun, RecordingContext, startCli } from "../support/run-cli.ts";
import {
  type Conversation,
  type ScriptedServer,
  scriptedServer,
} from "../support/scripted-server.ts";
import { connack, puback, publish, suback } from "../support/server-packets.ts";

let broker: EmbeddedBroker;
let port: string;
let contexts: RecordingContext[];
let runs: CliRun[];
let servers: ScriptedServer[];

beforeAll(async () => {
  broker = await startAedes({
    onEvent: ({ kind }) => {
      if (kind === "subscribed") toldOfSubscription();
    },
  });
  port = `${broker.port}`;
});
afterAll(() => broker.stop());

beforeEach(() => {
  contexts = [];
  runs = [];
  servers = [];
});
afterEach(async () => {
  for (const context of contexts) context.interruptController.abort(ExitCode.Interrupted);
  for (const run of runs) await run.stop();
  for (const server of servers) await server.close();
});

/** One run of a command in this process. */
interface Run {
  readonly context: RecordingContext;
  readonly exitCode: Promise<ExitCode>;
}

function start(args: string[], stdin: (string | Uint8Array)[] = []): Run {
  const context = new RecordingContext();
  contexts.push(context);
  context.files.set("picture", Uint8Array.of(0, 255, 10, 13));
  context.stdin = Readable.from(stdin.map((chunk) => Buffer.from(chunk)));
  return { context, exitCode: runCli(args, context, [registerPub, registerSub]) };
}

/** What a command answered and printed. */
async function finish(args: string[], stdin?: (string | Uint8Array)[]) {
  const { context, exitCode } = start(args, stdin);
  const code = await exitCode;
  return { code, stdout: context.stdout.text, stderr: context.stderr.text };
}

function pub(...args: string[]) {
  return finish(["pub", "-h", "127.0.0.1", "-p", port, ...args]);
}

/** A `sub` whose subscriptions the broker has acknowledged. */
async function subscribed(...args: string[]): Promise<Run> {
  const granted = nextSubscription();
  const run = start(["sub", "-h", "127.0.0.1", "-p", port, ...args]);
  await Promise.race([granted, run.exitCode.then(() => expect.fail(run.context.stderr.text))]);
  return run;
}

let toldOfSubscription: () => void = () => {};

function nextSubscription(): Promise<void> {
  return new Promise((resolve) => {
    toldOfSubscription = resolve;
  });
}

async function serverWith(script: (talk: Conversation) => Promise<void>): Promise<string> {
  const server = await scriptedServer(async (talk) => {
    await talk.expect("CONNECT");
    talk.send(connack());
    await script(talk);
  });
  servers.push(server);
  return server.url;
}

describe("pub and sub", () => {
  for (const qos of ["0", "1", "2"]) {
    test(`a message passes at QoS ${qos}`, async () => {
      const run = await subscribed("-t", `pass/${qos}`, "-q", qos, "-C", "1", "-F", "%t %p %q %r");
      expect(await pub("-t", `pass/${qos}`, "-m", "grüezi", "-q", qos)).toEqual({
        code: 0,
        stdout: "",
        stderr: "",
      });
      expect(await run.exitCode).toBe(0);
      expect(run.context.stdout.text).toBe(`pass/${qos} grüezi ${qos} 0\n`);
    });
  }

  test("files, nothing, stdin and its lines are published as they are", async () => {
    const run = await subscribed("-t", "what/#", "-q", "1", "-C", "7", "-F", "%t %l %x");
    expect((await pub("-t", "what/file", "-f", "picture", "-q", "1")).code).toBe(0);
    expect((await pub("-t", "what/null", "-n", "-q", "1")).code).toBe(0);
    const to = ["pub", "-p", port, "-q", "1"];
    expect((await finish([...to, "-t", "what/stdin", "-s"], ["a\n", "b"])).code).toBe(0);
    const lines = ["on", "e\ntwo\n", "\n\n", "three\r\n", Uint8Array.of(255, 10), "last"];
    expect((await finish([...to, "-t", "what/l", "-l"], lines)).code).toBe(0);
    await expect.poll(() => run.context.stdout.text.split("\n").length).toBe(8);
    expect(run.context.stdout.text).toBe(
      [
        "what/file 4 00ff0a0d",
        "what/null 0 ",
        "what/stdin 3 610a62",
        "what/l 3 6f6e65",
        "what/l 3 74776f",
        "what/l 6 74687265650d",
        "what/l 1 ff",
        "",
      ].join("\n"),
    );
  });

  test("a thousand lines arrive in their order", async () => {
    const numbers = Array.from({ length: 1000 }, (_, number) => `${number}`);
    const run = await subscribed("-t", "many", "-q", "2", "-C", "1000");
    const lines = numbers.map((number) => `${number}\n`);
    const { code } = await finish(["pub", "-p", port, "-t", "many", "-l", "-q", "2"], lines);
    expect(code).toBe(0);
    expect(await run.exitCode).toBe(0);
    expect(run.context.stdout.text).toBe(lines.join(""));
  });

  test("--repeat publishes several times, with a pause in between", async () => {
    const run = await subscribed("-t", "again", "-C", "3");
    const startedAt = performance.now();
    await pub("-t", "again", "-m", "x", "--repeat", "3", "--repeat-delay", "0.05");
    expect(performance.now() - startedAt).toBeGreaterThan(95);
    expect(await run.exitCode).toBe(0);
    expect(run.context.stdout.text).toBe("x\nx\nx\n");
  });

  test("a retained message is there for who comes later, unless it is not wanted", async () => {
    await pub("-t", "kept/a", "-m", "old", "-r", "-q", "1");
    const all = await subscribed("-t", "kept/#", "-v", "-C", "2");
    const fresh = await subscribed("-t", "kept/#", "-v", "-C", "1", "-R");
    const retained = await subscribed("-t", "kept/#", "-v", "--retained-only");
    await expect.poll(() => retained.context.stdout.text).toBe("kept/a old\n");
    await pub("-t", "kept/b", "-m", "new", "-q", "1");
    expect(await Promise.all([all.exitCode, fresh.exitCode, retained.exitCode])).toEqual([0, 0, 0]);
    expect(all.context.stdout.text).toBe("kept/a old\nkept/b new\n");
    expect(fresh.context.stdout.text).toBe("kept/b new\n");
    expect(retained.context.stdout.text).toBe("kept/a old\n");
    await pub("-t", "kept/a", "-n", "-r", "-q", "1");
    const { code, stdout } = await finish(["sub", "-p", port, "-t", "kept/#", "-W", "0.2"]);
    expect([code, stdout]).toEqual([0, ""]);
  });

  test("the URL may hold the topic", async () => {
    const run = await subscribed("-t", "url/topic", "-C", "1");
    const url = `mqtt://127.0.0.1:${port}/url/topic`;
    expect((await finish(["pub", "-L", url, "-m", "here"])).code).toBe(0);
    expect(await run.exitCode).toBe(0);
  });

  test("several subscriptions, JSON, and bytes that are no text", async () => {
    const run = await subscribed("-t", "json/a", "-t", "json/b", "--json", "-C", "2", "-q", "1");
    await pub("-t", "json/a", "-m", 'say "hi"', "-q", "1");
    await pub("-t", "json/b", "-f", "picture", "-q", "1");
    expect(await run.exitCode).toBe(0);
    const lines = run.context.stdout.text.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        topic: "json/a",
        qos: 1,
        retain: false,
        dup: false,
        payload: 'say "hi"',
      },
      {
        time: expect.any(String),
        topic: "json/b",
        qos: 1,
        retain: false,
        dup: false,
        payloadBase64: "AP8KDQ==",
      },
    ]);
  });

  test("a session that the broker keeps brings what came meanwhile", async () => {
    const session = ["-i", "till-7", "-c", "-q", "1", "-t", "orders/#"];
    const first = await subscribed(...session);
    first.context.interruptController.abort(ExitCode.Interrupted);
    expect(await first.exitCode).toBe(130);
    await pub("-t", "orders/1", "-m", "one", "-q", "1");
    const second = await finish(["sub", "-p", port, ...session, "-C", "1"]);
    expect([second.code, second.stdout]).toEqual([0, "one\n"]);
  });
});

describe("a format", () => {
  test("has all that a message has", async () => {
    const format = "%%|%t|%p|%x|%l|%q|%r|%d|%j|%I|%U|\\t\\\\";
    const run = await subscribed("-t", "form", "-C", "1", "-F", format);
    await pub("-t", "form", "-m", "5%");
    expect(await run.exitCode).toBe(0);
    expect(run.context.stdout.text).toMatch(
      /^%\|form\|5%\|3525\|2\|0\|0\|0\|\{"time":.*"payload":"5%"\}\|\d{4}-\d\d-\d\dT[\d:.]+Z\|\d+\.\d{3}\|\t\\\n$/,
    );
  });

  test.each(["%", "%z", "\\y"])("%o is no format", async (format) => {
    const { code, stderr } = await finish(["sub", "-p", port, "-t", "a", "-F", format]);
    expect(code).toBe(2);
    expect(stderr).toContain("wasmqtt sub --help");
  });
});

describe("the answer", () => {
  test.each([
    ["nothing to publish", ["pub", "-t", "a"]],
    ["two things to publish", ["pub", "-t", "a", "-m", "x", "-n"]],
    ["no topic", ["pub", "-m", "x"]],
    ["a topic with a wildcard", ["pub", "-t", "a/#", "-m", "x"]],
    ["QoS 3", ["pub", "-t", "a", "-m", "x", "-q", "3"]],
    ["repeated lines", ["pub", "-t", "a", "-l", "--repeat", "2"]],
    ["no repetition", ["pub", "-t", "a", "-m", "x", "--repeat", "0"]],
    ["a file that is not there", ["pub", "-t", "a", "-f", "nowhere"]],
    ["nothing to subscribe to", ["sub"]],
    ["a filter with a wildcard in a level", ["sub", "-t", "a+"]],
    ["a filter with # in the middle", ["sub", "-t", "a/#/b"]],
    ["nothing to print", ["sub", "-t", "a", "-R", "--retained-only"]],
    ["a count of 0", ["sub", "-t", "a", "-C", "0"]],
    ["a time that is none", ["sub", "-t", "a", "-W", "soon"]],
    ["two formats", ["sub", "-t", "a", "--json", "-F", "%p"]],
    ["a session without a name", ["sub", "-t", "a", "-c"]],
  ])("is 2 for %s", async (_, args) => {
    const { code, stdout, stderr } = await finish(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: .+\n {2}.+\n$/);
  });

  test("is 2 for a line or a message that is too long", async () => {
    const line = ["pub", "-p", port, "-t", "a", "-l"];
    expect((await finish(line, ["x".repeat(600_000), "y".repeat(600_000)])).code).toBe(2);
    const whole = ["pub", "-p", port, "-t", "a", "-s"];
    const chunks = Array.from({ length: 17 }, () => "x".repeat(1024 * 1024));
    expect((await finish(whole, chunks)).code).toBe(2);
  });

  test("is 3 where nobody listens", async () => {
    for (const args of [
      ["pub", "-t", "a", "-m", "x"],
      ["sub", "-t", "a"],
    ]) {
      const { code, stderr } = await finish([...args, "-p", "1"]);
      expect(code).toBe(3);
      expect(stderr).toContain("nobody listens there\n  Start the broker");
    }
  });

  test("is 3 for a refused login, and says what to check", async () => {
    const server = await scriptedServer(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack(false, 4));
    });
    servers.push(server);
    const { code, stderr } = await finish(["pub", "-L", server.url, "-t", "a", "-m", "x"]);
    expect(code).toBe(3);
    expect(stderr).toContain("--username");
  });

  test("is 3 if the broker leaves without an acknowledgement, and tells how far it came", async () => {
    const url = await serverWith(async (talk) => {
      talk.send(puback((await talk.expect("PUBLISH")).packetId));
      await talk.expect("PUBLISH");
      talk.reset();
    });
    const args = ["pub", "-L", url, "-t", "a", "-q", "1", "-m", "x", "--repeat", "3"];
    const { code, stderr } = await finish(args);
    expect(code).toBe(3);
    expect(stderr).toMatch(/1 of \d messages are done/);
    expect(stderr).toMatch(/^error: .+ connection/m);
  });

  test("is 3 at once if the broker leaves while lines are awaited", async () => {
    const url = await serverWith(async (talk) => talk.reset());
    const context = new RecordingContext();
    context.stdin = new Readable({ read() {} });
    const args = ["pub", "-L", url, "-t", "a", "-l"];
    expect(await runCli(args, context, [registerPub])).toBe(3);
  });

  test("is 3 if the broker refuses the subscription", async () => {
    const url = await serverWith(async (talk) => {
      talk.send(suback((await talk.expect("SUBSCRIBE")).packetId, 0, 0x80));
    });
    const { code, stderr } = await finish(["sub", "-L", url, "-t", "open", "-t", "secret"]);
    expect(code).toBe(3);
    expect(stderr).toContain("refused the subscription to secret");
  });

  test("is 5 if the time is up before all messages came", async () => {
    const { code } = await finish(["sub", "-p", port, "-t", "rare", "-C", "1", "-W", "0.1"]);
    expect(code).toBe(5);
  });

  test("is 130 when Ctrl-C ends a publication that waits, and the broker hears DISCONNECT", async () => {
    const url = await serverWith(async (talk) => {
      const { packetId } = await talk.expect("PUBLISH");
      context.interruptController.abort(ExitCode.Interrupted);
      talk.send(puback(packetId));
      await talk.expect("DISCONNECT");
    });
    const context = new RecordingContext();
    context.stdin = Readable.from(
      (async function* () {
        yield Buffer.from("one\n");
        await new Promise(() => {});
      })(),
    );
    const args = ["pub", "-L", url, "-t", "a", "-l", "-q", "1"];
    expect(await runCli(args, context, [registerPub])).toBe(130);
  });
});

test("sub survives a broker that goes away, and subscribes again", async () => {
  const url = await serverWith(async (talk) => {
    talk.send(suback((await talk.expect("SUBSCRIBE")).packetId, 0));
    talk.send(publish({ topic: "t", payload: `${talk.index}` }));
    if (talk.index === 0) talk.end();
  });
  const { code, stdout, stderr } = await finish(["sub", "-L", url, "-t", "t", "-C", "2"]);
  expect([code, stdout]).toEqual([0, "0\n1\n"]);
  expect(stderr).toMatch(/warning: The broker closed the connection; next attempt in [01] s/);
  expect(stderr).toContain("Connected again.");
});

test("sub tells of messages that are larger than its buffer", async () => {
  const args = ["-t", "big", "-C", "1", "--receive-buffer", "128"];
  const run = await subscribed(...args);
  await pub("-t", "big", "-m", "x".repeat(200));
  await pub("-t", "big", "-m", "small");
  expect(await run.exitCode).toBe(0);
  expect(run.context.stdout.text).toBe("small\n");
  expect(run.context.stderr.text).toContain("skipped 200 bytes on big");
});

describe("the built program", () => {
  function startBuilt(args: string[], options = {}): CliRun {
    const run = startCli(args, options);
    runs.push(run);
    return run;
  }

  test("reads its stdin, prints bytes as they came, and ends by itself", async () => {
    const granted = nextSubscription();
    const subscriber = startBuilt(["sub", "-p", port, "-t", "built", "-C", "2"]);
    await granted;
    const publisher = startBuilt(["pub", "-p", port, "-t", "built", "-l"], {
      input: "a\n\u{1f321}",
    });
    expect(await publisher.ended).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    expect(await subscriber.ended).toMatchObject({ exitCode: 0, stdout: "a\n\u{1f321}\n" });
  });

  test("answers 130 to Ctrl-C", async () => {
    const granted = nextSubscription();
    const subscriber = startBuilt(["sub", "-p", port, "-t", "built"]);
    await granted;
    subscriber.signal("SIGINT");
    expect(await subscriber.ended).toMatchObject({ exitCode: 130, signal: null });
  });

  test("ends without a word when nobody reads its output any more", async () => {
    const granted = nextSubscription();
    const subscriber = startBuilt(["sub", "-p", port, "-t", "built"]);
    await granted;
    subscriber.closeStdout();
    await pub("-t", "built", "-m", "x", "--repeat", "20", "--repeat-delay", "0.02");
    expect(await subscriber.ended).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

describeWith(["mosquitto", "mosquitto_sub"], "pub, sub and mosquitto", () => {
  test("mosquitto_sub sees what pub says, with QoS and retain", async () => {
    const mosquitto = await startMosquitto();
    try {
      const watcher = await mosquittoSub(mosquitto.port, ["-t", "to/#", "-q", "2"]);
      const to = ["pub", "-p", `${mosquitto.port}`, "-t"];
      for (const qos of ["0", "1", "2"]) {
        expect((await finish([...to, `to/${qos}`, "-m", qos, "-q", qos])).code).toBe(0);
      }
      await watcher.waitFor(({ messages }) => messages.length === 3);
      expect(watcher.messages.map(({ qos }) => qos)).toEqual([0, 1, 2]);
      await watcher.stop();
      await finish([...to, "kept", "-m", "yes", "-r", "-q", "1"]);
      const from = ["sub", "-p", `${mosquitto.port}`, "-t", "kept", "-C", "1", "-F", "%p %r"];
      expect(await finish(from)).toMatchObject({ code: 0, stdout: "yes 1\n" });
    } finally {
      await mosquitto.stop();
    }
  });
});
