/** Asks whether somebody speaks MQTT 3.1.1 at the other end, with one CONNECT and one DISCONNECT. */

import type { ConnectionError } from "../errors.ts";
import type { OpenTransport } from "../transport/transport.ts";
import type { World } from "../world.ts";

export type BrokerAnswer =
  /** The Connect Return code of its CONNACK (3.2.2.3). */
  | { readonly kind: "answered"; readonly returnCode: number }
  | { readonly kind: "failed"; readonly problem: string; readonly remedy: string };

/** CONNECT as an anonymous client with a clean session and without an id (3.1). */
const CONNECT = Uint8Array.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0x02, 0, 30, 0, 0]);
const DISCONNECT = Uint8Array.from([0xe0, 0]);

/** Type and length of CONNACK; two more bytes follow (3.2). */
const CONNACK_START = [0x20, 2];
const CONNACK_LENGTH = 4;

/** A broker that has not answered by then is not there for our purposes. */
const ANSWER_TIMEOUT_MS = 5000;

/** Never rejects; the connection has ended, or is cut off, when it resolves. */
export function probeBroker(open: OpenTransport, world: World): Promise<BrokerAnswer> {
  return new Promise((resolve) => {
    const received: number[] = [];
    let answer: BrokerAnswer | undefined;
    const timer = world.setTimer(ANSWER_TIMEOUT_MS, () => {
      answer ??= silence();
      transport.reset();
    });
    const transport = open({
      opened: () => transport.write(CONNECT),
      received: (chunk) => {
        received.push(...chunk.subarray(0, CONNACK_LENGTH - received.length));
        if (received.length < CONNACK_LENGTH || answer !== undefined) return;
        answer = readAnswer(received);
        transport.write(DISCONNECT);
        transport.close();
      },
      drained: () => {},
      closed: (reason) => {
        timer.clear();
        resolve(answer ?? withoutAnswer(reason));
      },
    });
  });
}

function readAnswer(bytes: readonly number[]): BrokerAnswer {
  const [first, second, , returnCode = 0] = bytes;
  if (first === CONNACK_START[0] && second === CONNACK_START[1]) {
    return { kind: "answered", returnCode };
  }
  return {
    kind: "failed",
    problem: "what answers there does not speak MQTT 3.1.1",
    remedy: "Look up the broker's port: mostly 1883, or 8883 with TLS",
  };
}

function silence(): BrokerAnswer {
  return {
    kind: "failed",
    problem: `the connection stands, but nothing answers within ${ANSWER_TIMEOUT_MS / 1000} seconds`,
    remedy: "Look up the broker's port; a TLS port keeps silent without TLS (--cafile)",
  };
}

function withoutAnswer(reason: ConnectionError | undefined): BrokerAnswer {
  if (reason !== undefined) {
    return { kind: "failed", problem: reason.message, remedy: reason.remedy };
  }
  return {
    kind: "failed",
    problem: "the connection was closed without an answer",
    remedy: "Look into the log of the broker",
  };
}
