/** Brokers for tests: the embedded aedes, and mosquitto with a configuration of its own; both on loopback only. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
  startEmbeddedBroker,
} from "../../host/src/broker/embedded-broker.ts";
import { realWorld } from "../../host/src/world.ts";

const HOST = "127.0.0.1";

/** For everything that a broker or a client of it must do. */
const TIMEOUT_MS = 10_000;

/** The embedded broker on free ports, with a WebSocket listener. Stop it in `afterEach` or `afterAll`. */
export function startAedes(options: Partial<EmbeddedBrokerOptions> = {}): Promise<EmbeddedBroker> {
  return startEmbeddedBroker({ world: realWorld, bind: HOST, port: 0, wsPort: 0, ...options });
}

export interface MosquittoOptions {
  /** Lines for the end of mosquitto.conf. */
  config?: string[];
  /** Paths of PEM files; the listener then speaks TLS only. */
  tls?: { caFile: string; certFile: string; keyFile: string; requireCertificate?: boolean };
  /** User names and passwords; without it everybody may connect. */
  users?: Record<string, string>;
  /** Sessions and retained messages outlive `restart`. */
  persistence?: boolean;
  /** A second listener, for MQTT over WebSocket. */
  webSocket?: boolean;
}

/** A mosquitto that listens. Stop it in `afterEach` or `afterAll`. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-mosquitto-"));
  const port = await freePort();
  const wsPort = options.webSocket === true ? await freePort() : undefined;
  const configPath = join(folder, "mosquitto.conf");
  writeFileSync(configPath, configText(folder, port, wsPort, options));
  const mosquitto = new Mosquitto(folder, configPath, port, wsPort);
  try {
    await mosquitto.start();
  } catch (error) {
    await mosquitto.stop();
    throw error;
  }
  return mosquitto;
}

export class Mosquitto {
  readonly port: number;
  readonly wsPort: number | undefined;
  readonly #folder: string;
  readonly #configPath: string;
  #child: ChildProcess | undefined;
  /** What mosquitto wrote, for a test that wonders. */
  log = "";

  constructor(folder: string, configPath: string, port: number, wsPort: number | undefined) {
    this.#folder = folder;
    this.#configPath = configPath;
    this.port = port;
    this.wsPort = wsPort;
  }

  async start(): Promise<void> {
    const child = spawn("mosquitto", ["-c", this.#configPath], {
      env: sbinEnv(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
    });
    const failed = once(child, "exit").then(([code]) => {
      throw new Error(`mosquitto ended with ${code}:\n${this.log}`);
    });
    failed.catch(() => {}); // after the start an end is in order
    await Promise.race([failed, this.#listens()]);
  }

  /** The process stands still: its connections stand, and nothing is answered. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** Ends the process and waits for it: SIGTERM saves what persists, SIGKILL does not. */
  async halt(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined) await endProcess(child, signal);
  }

  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.halt(signal);
    await this.start();
  }

  /** Ends the process and removes its files. Harmless a second time. */
  async stop(): Promise<void> {
    await this.halt("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #listens(): Promise<void> {
    for (const port of [this.port, this.wsPort]) {
      if (port !== undefined) await untilListening(port);
    }
  }
}

function configText(
  folder: string,
  port: number,
  wsPort: number | undefined,
  { config = [], tls, users, persistence = false }: MosquittoOptions,
): string {
  const lines = [
    `user ${userInfo().username}`, // as root it would become "mosquitto", who cannot read our folder
    "log_dest stderr",
    "log_type all",
    `persistence ${persistence}`,
    `persistence_location ${folder}/`,
    ...loginLines(folder, users),
    `listener ${port} ${HOST}`,
  ];
  if (tls !== undefined) {
    lines.push(`cafile ${tls.caFile}`, `certfile ${tls.certFile}`, `keyfile ${tls.keyFile}`);
    lines.push(`require_certificate ${tls.requireCertificate === true}`);
  }
  if (wsPort !== undefined) lines.push(`listener ${wsPort} ${HOST}`, "protocol websockets");
  return `${[...lines, ...config].join("\n")}\n`;
}

function loginLines(folder: string, users: Record<string, string> | undefined): string[] {
  if (users === undefined) return ["allow_anonymous true"];
  const path = join(folder, "passwords");
  writeFileSync(path, "", { mode: 0o600 });
  for (const [name, password] of Object.entries(users)) {
    execFileSync("mosquitto_passwd", ["-b", path, name, password]);
  }
  return ["allow_anonymous false", `password_file ${path}`];
}

/** Debian has mosquitto in /usr/sbin, which is not on every PATH. */
function sbinEnv(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin` };
}

/** A port that is free now. Nothing keeps it free: who takes it soon is right nearly always. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function untilListening(port: number): Promise<void> {
  const endAtMs = Date.now() + TIMEOUT_MS;
  while (Date.now() < endAtMs) {
    if (await accepts(port)) return;
    await sleep(20);
  }
  throw new Error(`nobody listens on port ${port} after ${TIMEOUT_MS} ms`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Waits for the end, too. Harmless for a process that has ended or never started. */
async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const isOver = child.exitCode !== null || child.signalCode !== null;
  if (isOver || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

export interface ReceivedMessage {
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
}

/**
 * Starts `mosquitto_sub` on `port` with `args` (as in `-t`, `motes/#`, `-q`, `1`) and resolves when the broker has
 * acknowledged the subscription. Stop it in a `finally` or an `afterEach`.
 */
export async function mosquittoSub(port: number, args: string[]): Promise<MosquittoSub> {
  // -d tells when it has subscribed; -F marks our lines among what -d prints.
  const format = ["-F", `${MESSAGE_MARK}%q %r %m %x %t`];
  // Into a pipe it would write when its buffer is full; stdbuf makes it a line at a time.
  const command = ["mosquitto_sub", "-h", HOST, "-p", `${port}`, "-d", ...format, ...args];
  const child = spawn("stdbuf", ["-oL", ...command]);
  const subscriber = new MosquittoSub(child);
  try {
    await subscriber.waitFor(({ isSubscribed }) => isSubscribed);
  } catch (error) {
    await subscriber.stop();
    throw error;
  }
  return subscriber;
}

const MESSAGE_MARK = "message ";

export class MosquittoSub {
  readonly #child: ChildProcess;
  readonly messages: ReceivedMessage[] = [];
  /**
   * The messages at QoS 2, once for each Packet Identifier. libmosquitto 2.0.11 keeps each PUBLISH it gets, a repeated one
   * too, and hands out one of them at each PUBREL: where a connection breaks before PUBREC and another before PUBCOMP,
   * mosquitto_sub doubles what its broker has once. What the broker has twice comes with two identifiers,
   * unless a restart made it forget those it has used.
   */
  readonly exchangedMessages: ReceivedMessage[] = [];
  readonly #exchanges = new Set<string>();
  isSubscribed = false;
  #log = "";
  /** Called with each line. */
  #look: () => void = () => {};

  constructor(child: ChildProcess) {
    this.#child = child;
    let rest = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#read(line);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#log += text;
    });
  }

  /** Resolves as soon as `isEnough`; fails after `timeoutMs`, or when the process has ended. */
  waitFor(isEnough: (subscriber: this) => boolean, timeoutMs = TIMEOUT_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        clearTimeout(timer);
        const count = this.messages.length;
        reject(new Error(`mosquitto_sub: ${why}, after ${count} messages\n${this.#log}`));
      };
      const timer = setTimeout(() => fail(`not enough in ${timeoutMs} ms`), timeoutMs);
      this.#child.once("close", () => fail("it ended"));
      this.#child.once("error", (error) => fail(error.message));
      this.#look = () => {
        if (!isEnough(this)) return;
        clearTimeout(timer);
        resolve();
      };
      this.#look();
    });
  }

  /** Harmless a second time. */
  async stop(): Promise<void> {
    await endProcess(this.#child, "SIGKILL");
  }

  #read(line: string): void {
    this.#log += `${line}\n`;
    const match = /^message (\d) (\d) (\d+) ([0-9a-f]*) (.*)$/.exec(line);
    if (match !== null) {
      const [, qos, retain, packetId, payloadHex = "", topic = ""] = match;
      const payload = Buffer.from(payloadHex, "hex").toString();
      const message = { topic, payload, qos: Number(qos), retain: retain === "1" };
      this.messages.push(message);
      const exchange = `${packetId} ${topic} ${payload}`;
      if (qos === "2" && !this.#exchanges.has(exchange)) {
        this.#exchanges.add(exchange);
        this.exchangedMessages.push(message);
      }
    } else if (line.startsWith("Subscribed (mid: ")) this.isSubscribed = true;
    this.#look();
  }
}
