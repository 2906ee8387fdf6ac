/** `wasmqtt doctor` on good and bad machines, and the question it asks a broker. */

import { beforeEach, describe, expect, test, vi } from "vitest";
import { registerDoctor } from "../../host/src/cli/commands/doctor.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { readModule } from "../../host/src/core/core.ts";
import { startAedes, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { createPki } from "../support/pki.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { scriptedServer } from "../support/scripted-server.ts";

// Whatever is plugged in here: test/host/board-check.test.ts has what is said of it.
vi.mock("../../host/src/board/serial-ports.ts", () => ({ listSerialPorts: async () => [] }));

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
  context.system = { ...context.system, readModule };
  context.files.set("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
});

/** The exit code, and the lines of stdout. */
async function doctor(...args: string[]): Promise<{ exitCode: number; lines: string[] }> {
  const exitCode = await runCli(["doctor", ...args], context, [registerDoctor]);
  return { exitCode, lines: context.stdout.text.split("\n") };
}

/** The line of one check and what to do, without a broker in the way. */
async function check(name: string): Promise<string> {
  const { lines } = await doctor("-p", "1");
  const index = lines.findIndex((line) => line.slice(2).startsWith(name));
  const fix = lines[index + 1]?.startsWith("    ") === true ? lines[index + 1] : "";
  return `${lines[index]}${fix}`;
}

describe("the machine", () => {
  test.each([
    ["24.1.0", /^✓ Node: 24\.1\.0$/],
    ["20.19.0", /^! Node: 20\.19\.0 .*install 22 or 24$/],
    ["20.18.9", /^✗ Node: 20\.18\.9 .*Install Node 22/],
    ["18.20.0", /^✗ Node: 18\.20\.0 /],
  ])("with Node %s", async (nodeVersion, line) => {
    context.system = { ...context.system, nodeVersion };
    expect(await check("Node")).toMatch(line);
  });

  test.each([
    [undefined, /^✓ open files: no limit$/],
    [20_000, /^✓ open files: 20000, room for 19936 devices, or 9968 with the embedded broker$/],
    [
      256,
      /^! open files: 256, room for 192 devices.*sudo prlimit --pid \$\$ --nofile=65536:65536$/,
    ],
    [10, /^! open files: 10, room for 0 devices/],
  ])("with %s open files", async (openFileCountMax, line) => {
    context.system = { ...context.system, openFileCountMax };
    expect(await check("open files")).toMatch(line);
  });

  test("with the usual ports, few ports, and another system", async () => {
    expect(await check("ports")).toBe(
      "✓ ports for connections: 32768 to 60999, 28232 connections to one broker",
    );
    context.stdout.text = "";
    context.files.set("/proc/sys/net/ipv4/ip_local_port_range", "60000\t60099\n");
    expect(await check("ports")).toMatch(/^! .* 100 connections to one broker .*sysctl -w/);
    context.stdout.text = "";
    context.files.clear();
    expect(await check("ports")).toMatch(/^✓ .*: not known on linux/);
  });

  test("with modules that are built, missing, broken or no modules", async () => {
    expect(await check("core.wasm")).toMatch(/^✓ core\.wasm: \d+ bytes, keeps all 8 rules$/);
    expect(context.stdout.text).toMatch(/✓ thermometer\.wasm: \d+ bytes/);
    const withModule = async (module: Promise<Uint8Array>) => {
      context.stdout.text = "";
      context.system = { ...context.system, readModule: () => module };
      return await check("core.wasm");
    };
    const missing = Object.assign(new Error("gone"), { code: "ENOENT" });
    expect(await withModule(Promise.reject(missing))).toBe(
      "✗ core.wasm: not built    Build it: npm run build",
    );
    const empty = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    expect(await withModule(Promise.resolve(empty))).toMatch(/^✗ .*: breaks a rule: one memory/);
    expect(await withModule(Promise.resolve(Buffer.from("text")))).toMatch(/does not start with/);
  });
});

describe("a fleet", () => {
  const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";

  /** The line of one check, what to do, and the exit code without the broker's. */
  async function checkFor(name: string, ...args: string[]): Promise<string> {
    context.stdout.text = "";
    const { lines } = await doctor(...args);
    const index = lines.findIndex((line) => line.slice(2).startsWith(`${name}:`));
    const fix = lines[index + 1]?.startsWith("    ") === true ? lines[index + 1] : "";
    return `${lines[index]}${fix}`;
  }

  test("that needs more open files than there are fails, and says how to have them", async () => {
    context.system = { ...context.system, openFileCountMax: 12_000 };
    const remote = ["-p", "1", "-c"];
    expect(await checkFor("open files", ...remote, "11936")).toBe(
      "✓ open files: this process may open 12000, and 11936 devices need 12000",
    );
    expect(await checkFor("open files", ...remote, "11937")).toBe(
      "✗ open files: this process may open 12000, and 11937 devices need 12001    Raise the hard limit, then start again from the same shell: sudo prlimit --pid $$ --nofile=65536:65536",
    );
    expect(await checkFor("open files", "-c", "10000")).toMatch(
      /^✗ .* 10000 devices and the embedded broker need 20064 /u,
    );
    context.system = { ...context.system, platform: "darwin" };
    expect(await checkFor("open files", "-c", "100000")).toMatch(/Raise it: ulimit -n 262144$/u);
    context.system = { ...context.system, openFileCountMax: undefined };
    expect(await checkFor("open files", "-c", "100000")).toBe("✓ open files: no limit");
  });

  test("that needs more ports than one address has fails, and says how many addresses it takes", async () => {
    const place = ["-h", "127.0.0.1", "-p", "1"];
    expect(await checkFor("ports for connections", ...place, "-c", "28231")).toMatch(/^✓/u);
    expect(await checkFor("ports for connections", ...place, "-c", "28232")).toBe(
      `✗ ports for connections: 32768 to 60999, 28232 connections to one broker from one address, and 28233 connections (28232 devices and the run's own) come from 1    Widen them: sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or connect from 2 addresses of this machine (--ifaddr, once for each)`,
    );
    expect(await checkFor("ports for connections", ...place, "-c", "100000")).toMatch(
      / {4}Connect from 4 addresses of this machine \(--ifaddr, once for each\)$/u,
    );
    const addresses = ["127.0.0.2", "127.0.0.3"].flatMap((address) => ["--ifaddr", address]);
    const spread = await checkFor("ports for connections", ...place, ...addresses, "-c", "50000");
    expect(spread).toMatch(/^✓ .* and 50001 connections .* come from 2$/u);
    context.files.delete(RANGE);
    expect(await checkFor("ports for connections", ...place, "-c", "50000")).toMatch(/^✓/u);
  });

  test.each([
    ["1", "broker.invalid", "20000", /^✓ ports used before: are free again at once$/u],
    ["2", "127.0.0.1", "20000", /^✓ .*at once$/u],
    ["2", "broker.invalid", "20000", /^! .*for a minute.*tcp_tw_reuse=1$/u],
    ["0", "127.0.0.1", "20000", /^! /u],
    ["0", "127.0.0.1", "14000", /^✓ .*for a minute/u],
  ])("with tcp_tw_reuse %s at %s and %s devices", async (reuse, host, count, line) => {
    context.files.set("/proc/sys/net/ipv4/tcp_tw_reuse", `${reuse}\n`);
    expect(await checkFor("ports used before", "-h", host, "-p", "1", "-c", count)).toMatch(line);
  });

  test("knows how many connections may wait at a broker on this machine", async () => {
    const name = "connections that may wait";
    context.files.set("/proc/sys/net/core/somaxconn", "128\n");
    expect(await checkFor(name, "-c", "10")).toMatch(/^! .*: 128, .*somaxconn=4096$/u);
    context.files.set("/proc/sys/net/core/somaxconn", "4096\n");
    expect(await checkFor(name, "-c", "10")).toMatch(/^✓ .*: 4096, /u);
    expect(await checkFor(name, "-h", "broker.invalid", "-c", "10")).toBe("undefined");
  });

  test("that needs more memory than the system or the container has left fails", async () => {
    const place = ["-h", "127.0.0.1", "-p", "1"];
    context.files.set("/proc/meminfo", "MemTotal:  9999999 kB\nMemAvailable:     512000 kB\n");
    expect(await checkFor("memory", ...place, "-c", "10000")).toBe(
      "✓ memory: 500 MiB free, and 10000 devices need about 330 MiB",
    );
    expect(await checkFor("memory", "-c", "10000")).toMatch(/^✗ .* need about 721 MiB .*fewer/u);
    context.files.set("/sys/fs/cgroup/memory.max", "max\n");
    expect(await checkFor("memory", ...place, "-c", "10000")).toMatch(/^✓ memory: 500 MiB/u);
    context.files.set("/sys/fs/cgroup/memory.max", `${400 * 2 ** 20}\n`);
    context.files.set("/sys/fs/cgroup/memory.current", `${200 * 2 ** 20}\n`);
    expect(await checkFor("memory", ...place, "-c", "10000")).toMatch(/^✗ memory: 200 MiB free/u);
    context.files.set("/sys/fs/cgroup/memory.stat", `anon 1\ninactive_file ${150 * 2 ** 20}\n`);
    expect(await checkFor("memory", ...place, "-c", "10000")).toMatch(/^✓ memory: 350 MiB free/u);
    context.stdout.text = "";
    expect(await check("memory")).toBe("✓ memory: 350 MiB free, room for 10837 devices");
  });

  test("shares a single processor with a broker on this machine", async () => {
    context.system = { ...context.system, cpuCount: 1 };
    expect(await checkFor("processors", "-c", "10")).toMatch(/^! processors: 1; /u);
    expect(await checkFor("processors", "-h", "broker.invalid", "-c", "10")).toMatch(/^✓/u);
  });

  test("that does not fit makes the exit code 99, and a number that cannot be is a mistake", async () => {
    const broker = await startAedes();
    const place = ["-h", "127.0.0.1", "-p", `${broker.port}`];
    try {
      expect((await doctor(...place, "-c", "1000")).exitCode).toBe(0);
      context.system = { ...context.system, openFileCountMax: 1_000 };
      expect((await doctor(...place, "-c", "1000")).exitCode).toBe(99);
    } finally {
      await broker.stop();
    }
    expect((await doctor("-c", "none")).exitCode).toBe(2);
    expect((await doctor("-c", "100001")).exitCode).toBe(2);
    expect((await doctor("-c", "10", "--ifaddr", "eth0")).exitCode).toBe(2);
  });
});

describe("the broker", () => {
  test("that takes anonymous clients is well, and exit code 0 says so", async () => {
    const broker = await startAedes();
    try {
      const { exitCode, lines } = await doctor("-h", "127.0.0.1", "-p", `${broker.port}`);
      expect(exitCode).toBe(0);
      expect(lines).toContain(`✓ broker: mqtt://127.0.0.1:${broker.port} takes anonymous clients`);
      context.stdout.text = "";
      const viaWebSocket = await doctor("-L", `ws://127.0.0.1:${broker.wsPort}`);
      expect(viaWebSocket.exitCode).toBe(0);
    } finally {
      await broker.stop();
    }
  });

  test("that wants a login is well", async () => {
    const broker = await startAedes({ authenticate: () => false });
    try {
      const { exitCode, lines } = await doctor("-h", "127.0.0.1", "-p", `${broker.port}`);
      expect(exitCode).toBe(0);
      expect(lines).toContain(
        `✓ broker: mqtt://127.0.0.1:${broker.port} answers and wants a login`,
      );
    } finally {
      await broker.stop();
    }
  });

  test("gets one CONNECT and one DISCONNECT, and the connection ends", async () => {
    let isOver = false;
    const server = await scriptedServer(async (conversation) => {
      await conversation.expect("CONNECT");
      conversation.send(Uint8Array.of(0x20), Uint8Array.of(2, 0, 0));
      await conversation.expect("DISCONNECT");
      await conversation.expectEnd();
      isOver = true;
    });
    const { exitCode } = await doctor("-L", server.url);
    await server.close();
    expect([exitCode, isOver]).toEqual([0, true]);
  });

  test.each([
    ["refuses MQTT 3.1.1", [0x20, 2, 0, 1], "with return code 1"],
    ["speaks something else", [...Buffer.from("SSH-2.0-x\r\n")], "does not speak MQTT 3.1.1"],
  ])("that %s fails, and exit code 99 says so", async (_what, answer, found) => {
    const server = await scriptedServer(async (conversation) => {
      await conversation.expect("CONNECT");
      conversation.send(Uint8Array.from(answer));
    });
    const { exitCode, lines } = await doctor("-L", server.url);
    await server.close();
    expect(exitCode).toBe(99);
    expect(lines.find((line) => line.startsWith("✗ broker"))).toContain(found);
  });

  test("that closes without an answer fails", async () => {
    const server = await scriptedServer(async (conversation) => {
      await conversation.expect("CONNECT");
      conversation.end();
    });
    const { exitCode, lines } = await doctor("-L", server.url);
    await server.close();
    expect(exitCode).toBe(99);
    expect(lines.find((line) => line.startsWith("✗ broker"))).toContain("without an answer");
  });

  test("that says nothing fails after five seconds of the world's time", async () => {
    const { world } = context;
    context.world = {
      ...world,
      setTimer: (delayMs, callback) => world.setTimer(delayMs / 50, callback),
    };
    const server = await scriptedServer(async (conversation) => {
      await conversation.expect("CONNECT");
    });
    const { exitCode, lines } = await doctor("-L", server.url);
    await server.close();
    expect(exitCode).toBe(99);
    expect(lines.find((line) => line.startsWith("✗ broker"))).toContain("within 5 seconds");
  });

  test("that is not there fails if it was named, and is a warning if it was not", async () => {
    expect((await doctor("-h", "127.0.0.1", "-p", "1")).exitCode).toBe(99);
    context.env["WASMQTT_URL"] = "mqtt://127.0.0.1:1";
    expect((await doctor()).exitCode).toBe(99);
  });
});

describeWith(["mosquitto", "mosquitto_passwd"], "mosquitto", () => {
  test("answers over TCP and WebSocket", async () => {
    const mosquitto = await startMosquitto({ webSocket: true });
    try {
      const { exitCode, lines } = await doctor("-h", "127.0.0.1", "-p", `${mosquitto.port}`);
      expect(exitCode).toBe(0);
      expect(lines).toContain(
        `✓ broker: mqtt://127.0.0.1:${mosquitto.port} takes anonymous clients`,
      );
      expect((await doctor("-L", `ws://127.0.0.1:${mosquitto.wsPort}`)).exitCode).toBe(0);
      await mosquitto.restart();
      expect((await doctor("-L", `mqtt://127.0.0.1:${mosquitto.port}`)).exitCode).toBe(0);
    } finally {
      await mosquitto.stop();
    }
    expect((await doctor("-L", `mqtt://127.0.0.1:${mosquitto.port}`)).exitCode).toBe(99);
  });

  test("with users wants a login", async () => {
    const mosquitto = await startMosquitto({ users: { anna: "secret" } });
    try {
      const { lines } = await doctor("-h", "127.0.0.1", "-p", `${mosquitto.port}`);
      expect(lines).toContain(
        `✓ broker: mqtt://127.0.0.1:${mosquitto.port} answers and wants a login`,
      );
    } finally {
      await mosquitto.stop();
    }
  });
});

describeWith(["mosquitto", "openssl"], "mosquitto over TLS", () => {
  test("answers to whom trusts its CA, and to nobody who does not", async () => {
    const pki = createPki();
    const server = pki.issue("server", "DNS:localhost,IP:127.0.0.1");
    const { certFile, keyFile } = server;
    const mosquitto = await startMosquitto({
      tls: { caFile: pki.ca.certFile, certFile, keyFile },
    });
    try {
      context.files.set("ca.pem", pki.ca.cert);
      const place = ["-h", "127.0.0.1", "-p", `${mosquitto.port}`];
      expect((await doctor(...place, "--cafile", "ca.pem")).exitCode).toBe(0);
      expect((await doctor(...place, "--insecure")).exitCode).toBe(0);
      context.stdout.text = "";
      const untrusted = await doctor("-L", `mqtts://127.0.0.1:${mosquitto.port}`);
      expect(untrusted.exitCode).toBe(99);
      expect(untrusted.lines.join("\n")).toMatch(/✗ broker: .*\n {4}Give the broker's CA/);
    } finally {
      await mosquitto.stop();
      pki.remove();
    }
  });
});

test("--json is one document with a verdict for each check", async () => {
  const { exitCode } = await doctor("--json", "-h", "127.0.0.1", "-p", "1");
  const document = JSON.parse(context.stdout.text);
  expect(exitCode).toBe(99);
  expect(document).toMatchObject({ schema: "wasmqtt/doctor.v1", isHealthy: false });
  expect(document.checks.map(({ name }: { name: string }) => name)).toEqual([
    "Node",
    "open files",
    "ports for connections",
    "processors",
    "core.wasm",
    "thermometer.wasm",
    "reporter.wasm",
    "boards",
    "broker",
  ]);
  expect(document.checks.at(-1)).toMatchObject({ verdict: "failed", fix: expect.any(String) });
});
