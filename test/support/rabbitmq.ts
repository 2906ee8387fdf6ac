/** A RabbitMQ of a test's own, with its MQTT plugin: its files, its node and its ports are nobody else's. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { probeBroker } from "../../host/src/cli/probe-broker.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import { realWorld } from "../../host/src/world.ts";
import { freePort } from "./brokers.ts";

const HOST = "127.0.0.1";

/** Debian's `rabbitmq-server` wants to be root or the user rabbitmq; this is the script behind it, which does not. */
const SERVER_PATH = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** It takes 13 s on an idle machine. Give a `beforeAll` that starts it this time, too. */
export const RABBITMQ_START_LIMIT_MS = 120_000;
const END_LIMIT_MS = 10_000;

/** Lines of the log that a failure shows. */
const LOG_LINE_COUNT = 30;

export interface RabbitMqOptions {
  /** Lines for the end of rabbitmq.conf. */
  config?: string[];
}

/**
 * A RabbitMQ that speaks MQTT on `port`. Everybody on this machine may connect, without a user name too. Start one for a
 * whole file, and stop it in `afterAll`: it takes its time and much of the processor.
 */
export async function startRabbitMq(options: RabbitMqOptions = {}): Promise<RabbitMq> {
  if (!existsSync(SERVER_PATH)) throw new Error(`${SERVER_PATH} is missing: is this Debian's?`);
  const rabbitMq = new RabbitMq(await freePort());
  try {
    await rabbitMq.start(options);
  } catch (error) {
    await rabbitMq.stop();
    throw error;
  }
  return rabbitMq;
}

export class RabbitMq {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "wasmqtt-rabbitmq-"));
  /** Tells where Erlang's nodes are; in the foreground, so that it ends with us. */
  #epmd: ChildProcess | undefined;
  /** The leader of a process group: a shell, and the Erlang machine below it. */
  #server: ChildProcess | undefined;
  /** The Erlang machine writes where the shell does: when nobody holds that any more, both are gone. */
  #ends: Promise<unknown>[] = [];
  readonly #killAll = () => this.#kill();
  /** What it wrote, for a test that wonders. */
  log = "";

  constructor(port: number) {
    this.port = port;
  }

  get url(): string {
    return `mqtt://${HOST}:${this.port}`;
  }

  async start({ config = [] }: RabbitMqOptions): Promise<void> {
    process.once("exit", this.#killAll);
    const epmdPort = `${await freePort()}`;
    const env = {
      ...this.#files(config),
      PATH: `${process.env["PATH"] ?? ""}:/usr/sbin`,
      RABBITMQ_NODENAME: `wasmqtt-${this.port}@localhost`,
      RABBITMQ_DIST_PORT: `${await freePort()}`,
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
      ERL_EPMD_ADDRESS: HOST,
      ERL_EPMD_PORT: epmdPort,
    };
    this.#epmd = spawn("epmd", ["-address", HOST, "-port", epmdPort], { stdio: "ignore" });
    this.#server = spawn(SERVER_PATH, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#ends = [once(this.#epmd, "close"), once(this.#server, "close")];
    for (const end of this.#ends) end.catch(() => {}); // where it could not be started
    this.#server.stdout?.setEncoding("utf8").on("data", (text: string) => this.#write(text));
    this.#server.stderr?.setEncoding("utf8").on("data", (text: string) => this.#write(text));
    await Promise.race([failureOf(this.#epmd), failureOf(this.#server), this.#answers()]).catch(
      (error: Error) => {
        const end = this.log.split("\n").slice(-LOG_LINE_COUNT).join("\n");
        throw new Error(`RabbitMQ does not start: ${error.message}\n${end}`);
      },
    );
  }

  /** Ends its processes and removes its files. Harmless a second time. */
  async stop(): Promise<void> {
    this.#kill();
    await Promise.race([Promise.allSettled(this.#ends), tooLate()]);
    process.removeListener("exit", this.#killAll);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Nothing of it is to be kept, and an orderly end takes seconds. */
  #kill(): void {
    if (this.#server !== undefined) killGroup(this.#server);
    this.#epmd?.kill("SIGKILL");
    this.#server = undefined;
    this.#epmd = undefined;
  }

  /** Writes its configuration; the variables that lead it there. Erlang's cookie comes to lie in HOME. */
  #files(config: string[]): Record<string, string> {
    const path = (name: string) => join(this.#folder, name);
    for (const name of ["home", "log", "mnesia"]) mkdirSync(path(name));
    const lines = [
      "listeners.tcp = none", // AMQP, which is not needed here
      `mqtt.listeners.tcp.1 = ${HOST}:${this.port}`,
      "mqtt.allow_anonymous = true",
      "log.console = true",
      "log.console.level = info",
      ...config,
    ];
    writeFileSync(path("rabbitmq.conf"), `${lines.join("\n")}\n`);
    writeFileSync(path("enabled_plugins"), "[rabbitmq_mqtt].\n");
    return {
      HOME: path("home"),
      RABBITMQ_CONF_ENV_FILE: "/dev/null", // not the one of the machine
      RABBITMQ_CONFIG_FILE: path("rabbitmq"),
      RABBITMQ_ADVANCED_CONFIG_FILE: path("advanced"),
      RABBITMQ_ENABLED_PLUGINS_FILE: path("enabled_plugins"),
      RABBITMQ_MNESIA_BASE: path("mnesia"),
      RABBITMQ_LOG_BASE: path("log"),
      RABBITMQ_LOGS: "-",
    };
  }

  #write(text: string): void {
    this.log += text;
  }

  /** Something listens before MQTT answers. */
  async #answers(): Promise<void> {
    const url = { scheme: "mqtt", host: HOST, port: this.port } as const;
    const open = openTransport(url, realWorld);
    const endAtMs = Date.now() + RABBITMQ_START_LIMIT_MS;
    while (Date.now() < endAtMs && this.#server !== undefined) {
      const answer = await probeBroker(open, realWorld);
      if (answer.kind === "answered" && answer.returnCode === 0) return;
      await sleep(100);
    }
    throw new Error(`no answer on port ${this.port} after ${RABBITMQ_START_LIMIT_MS} ms`);
  }
}

/** Rejects when the process ends, or cannot be started. */
function failureOf(child: ChildProcess): Promise<never> {
  const failure = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      reject(new Error(`${child.spawnfile} ended with ${code ?? signal}`));
    });
  });
  failure.catch(() => {}); // after the start an end is in order
  return failure;
}

async function tooLate(): Promise<never> {
  await sleep(END_LIMIT_MS, undefined, { ref: false });
  throw new Error(`RabbitMQ has not ended in ${END_LIMIT_MS} ms`);
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
