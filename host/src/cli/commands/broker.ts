/** `wasmqtt broker`: an MQTT broker in this terminal, for trying things out. */

import { isIPv6 } from "node:net";
import type { Command } from "commander";
import type { BrokerEvent } from "../../broker/embedded-broker.ts";
import { action, type CliContext, type CommandCall, interrupted } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { readInteger } from "../options.ts";
import { type Output, printable } from "../output.ts";

interface BrokerFlags {
  bind: string;
  port: string;
  /** False after --no-ws. */
  ws: boolean;
  wsPort: string;
  verbose?: boolean;
}

export function registerBroker(program: Command, context: CliContext): void {
  program
    .command("broker")
    .description("Run an MQTT 3.1.1 broker until Ctrl-C; it prints its URLs and keeps nothing.")
    .option("-p, --port <port>", "port for MQTT over TCP, 0 for a free one", "1883")
    .option("--ws-port <port>", "port for MQTT over WebSocket, 0 for a free one", "8083")
    .option("--no-ws", "no MQTT over WebSocket")
    .option("--bind <address>", "address to listen on; 0.0.0.0 lets others in", "127.0.0.1")
    .option("-v, --verbose", "print who connects, subscribes and publishes")
    .action(action(context, runBroker));
}

async function runBroker({ context, output, flags }: CommandCall<BrokerFlags>): Promise<ExitCode> {
  const { bind } = flags;
  const port = readInteger(flags.port, "--port", 0, 65_535);
  const wsPort = flags.ws ? readInteger(flags.wsPort, "--ws-port", 0, 65_535) : undefined;
  // Only here: aedes takes longer to load than the rest of the command line.
  const { startEmbeddedBroker } = await import("../../broker/embedded-broker.ts");
  const log = (event: BrokerEvent) => output.note(`${timeText(context)}  ${eventText(event)}`);
  const broker = await startEmbeddedBroker({
    world: context.world,
    bind,
    port,
    wsPort,
    ...(flags.verbose === true ? { onEvent: log } : {}),
  });

  warnIfOpen(bind, output);
  output.note("This broker speaks MQTT 3.1.1, not MQTT 5. Stop it with Ctrl-C.");
  const host = isIPv6(bind) ? `[${bind}]` : bind;
  output.result(`mqtt://${host}:${broker.port}`);
  if (broker.wsPort !== undefined) output.result(`ws://${host}:${broker.wsPort}`);
  try {
    await interrupted(context);
  } finally {
    await broker.stop();
  }
  return ExitCode.Ok;
}

function warnIfOpen(bind: string, output: Output): void {
  if (bind === "localhost" || bind === "::1" || bind.startsWith("127.")) return;
  output.warn(`the broker listens on ${bind}, with neither login nor encryption:`);
  output.warn("everybody who can reach this machine can read and write every message.");
}

/** Seconds since 1970, as mosquitto writes them. */
function timeText({ world }: CliContext): string {
  return `${Math.floor(world.unixMs() / 1000)}`;
}

function eventText(event: BrokerEvent): string {
  switch (event.kind) {
    case "connected": {
      const session = event.cleanSession ? "clean session" : "persistent session";
      return `${printable(event.clientId)} connected from ${event.address} (${session})`;
    }
    case "disconnected":
      return `${printable(event.clientId)} disconnected`;
    case "failed": {
      const { clientId, address, reason } = event;
      const who = clientId === undefined ? address : `${printable(clientId)} (${address})`;
      return `${who} failed: ${printable(reason)}`;
    }
    case "subscribed": {
      const { clientId, topicFilter, qos } = event;
      return `${printable(clientId)} subscribed to ${printable(topicFilter)} (QoS ${qos})`;
    }
    case "published": {
      const { clientId, topic, qos, retain, payloadLength } = event;
      const flags = `QoS ${qos}${retain ? ", retained" : ""}, ${payloadLength} bytes`;
      return `${printable(clientId)} published on ${printable(topic)} (${flags})`;
    }
  }
}
