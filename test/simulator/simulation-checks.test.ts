/** The checks of a simulated world can fail: each notices a fault that is planted for it. */

import { expect, test } from "vitest";
import { NEVER_MS } from "../../firmware/core/abi.ts";
import { JournalStore } from "../../host/src/store/journal.ts";
import type { SessionStore } from "../../host/src/store/session-store.ts";
import type {
  BrokerMessage,
  BrokerSession,
} from "../../simulator/src/simulation/broker-session.ts";
import type { WillMessage } from "../../simulator/src/simulation/client-packets.ts";
import type { CheckName } from "../../simulator/src/simulation/failure.ts";
import type { Flash } from "../../simulator/src/simulation/flash.ts";
import { ModelBroker } from "../../simulator/src/simulation/model-broker.ts";
import type { ServerConnection } from "../../simulator/src/simulation/server-connection.ts";
import type { SimulationOptions } from "../../simulator/src/simulation/simulation.ts";
import { failureOf, type Planted } from "../support/simulated.ts";

type Case = [
  fault: string,
  check: CheckName,
  problem: RegExp,
  planted: Planted,
  options?: Partial<SimulationOptions>,
];

const PUBLISH_DUP = 0x38;
const DUP = 0x08;

const cases: Case[] = [
  [
    "a store that says it has stored and has not",
    "write-ahead",
    /goes, and the flash does not know/u,
    { parts: { makeStore: (flash) => new LyingStore(flash) } },
  ],
  [
    "a store that programs a word twice",
    "flash",
    /programmed a second time/u,
    { parts: { makeStore: (flash) => new OverwritingStore(flash) } },
  ],
  [
    "a flash that loses a bit in the middle of the journal",
    "restore",
    /StoreError/u,
    { parts: { makeStore: (flash) => new JournalStore(withLostBit(flash)) } },
  ],
  [
    "a broker that delivers a QoS 2 message twice",
    "exactly-once",
    /to the device at QoS 2: .* twice/u,
    { parts: { makeBroker: (...made) => new DoublingBroker(2, ...made) } },
  ],
  [
    "a broker that delivers a QoS 0 message twice",
    "at-most-once",
    /to the device at QoS 0: .* twice/u,
    { parts: { makeBroker: (...made) => new DoublingBroker(0, ...made) } },
  ],
  [
    "a broker that loses a QoS 1 message",
    "at-least-once",
    /to the device at QoS 1: .* missing/u,
    { parts: { makeBroker: (...made) => new LosingBroker(7, ...made) } },
  ],
  [
    "a broker that stops to deliver",
    "starvation",
    /was not taken/u,
    { parts: { makeBroker: (...made) => new LosingBroker(1, ...made) } },
  ],
  [
    "a broker that acknowledges what it throws away",
    "acknowledged",
    /was acknowledged and did not arrive/u,
    { parts: { makeBroker: (...made) => new ForgetfulBroker(...made) } },
  ],
  [
    "a broker that publishes no Will",
    "will",
    /was never published/u,
    { parts: { makeBroker: (...made) => new WillBroker("never", ...made) } },
  ],
  [
    "a broker that publishes a Will twice",
    "will",
    /after DISCONNECT, or twice/u,
    { parts: { makeBroker: (...made) => new WillBroker("twice", ...made) } },
  ],
  [
    "a module that leaves the Will out of CONNECT",
    "will",
    /the Will in CONNECT is not what was set/u,
    { exports: ({ exports }) => ({ setWill: (at) => exports.clearWill(at) }) },
  ],
  [
    "a module that writes before its record",
    "memory",
    /outside of the record/u,
    {
      exports: ({ exports, memory }) => ({
        connect: (at, ...rest) => {
          memory.write(at - 1, Uint8Array.of(0));
          return exports.connect(at, ...rest);
        },
      }),
    },
  ],
  [
    "a module that traps",
    "trap",
    /RuntimeError/u,
    {
      exports: () => ({
        disconnect: () => {
          throw new WebAssembly.RuntimeError("unreachable");
        },
      }),
    },
    { kinds: ["volatile"] },
  ],
  [
    "a module that never wants to be woken",
    "deadline",
    /nothing was sent for|waited/u,
    { exports: () => ({ nextDeadlineMs: () => NEVER_MS }) },
    { traffic: [] },
  ],
  [
    "a module that is always due",
    "deadline",
    /something is due all the time/u,
    { exports: () => ({ nextDeadlineMs: () => 0 }) },
  ],
  [
    "a module that sends again without DUP",
    "conversation",
    /goes again without DUP \[MQTT-3\.3\.1-1\]/u,
    {
      exports: ({ exports, memory }) => ({
        transmitAt: (at) => {
          const transmitAt = exports.transmitAt(at);
          const [firstByte = 0] = memory.view(transmitAt, 1);
          if ((firstByte & PUBLISH_DUP) === PUBLISH_DUP) {
            memory.write(transmitAt, Uint8Array.of(firstByte & ~DUP));
          }
          return transmitAt;
        },
      }),
    },
  ],
  [
    "a module that forgets the application's note",
    "exactly-once",
    /twice|missing|two messages/u,
    { exports: () => ({ note: () => 0 }) },
  ],
];

test.each(cases)("%s is noticed by %s", async (_fault, check, problem, planted, options = {}) => {
  const failure = await failureOf({ seed: 7, hours: 2, ...options }, planted);
  expect(failure?.check).toBe(check);
  expect(failure?.message).toMatch(problem);
});

test("without a planted fault the same worlds hold", async () => {
  expect(await failureOf({ seed: 7, hours: 2 }, {})).toBeUndefined();
});

type BrokerArguments = ConstructorParameters<typeof ModelBroker>;

/** Doubles each seventh message to a device at one QoS. */
class DoublingBroker extends ModelBroker {
  readonly #qos: number;
  #count = 0;

  constructor(qos: number, ...made: BrokerArguments) {
    super(...made);
    this.#qos = qos;
  }

  override deliver(session: BrokerSession, message: BrokerMessage, qos: number): void {
    super.deliver(session, message, qos);
    if (qos === this.#qos && ++this.#count % 7 === 0) super.deliver(session, message, qos);
  }
}

/** Loses each n-th QoS 1 message to a device. */
class LosingBroker extends ModelBroker {
  readonly #each: number;
  #count = 0;

  constructor(each: number, ...made: BrokerArguments) {
    super(...made);
    this.#each = each;
  }

  override deliver(session: BrokerSession, message: BrokerMessage, qos: number): void {
    if (qos !== 1 || ++this.#count % this.#each !== 0) super.deliver(session, message, qos);
  }
}

/** Throws each seventh QoS 1 message of a device away, and acknowledges it. */
class ForgetfulBroker extends ModelBroker {
  #count = 0;

  override publish(message: BrokerMessage, from: string, isWill = false): void {
    const isLost = message.topic.startsWith("up/") && message.qos === 1 && ++this.#count % 7 === 0;
    if (!isLost) super.publish(message, from, isWill);
  }
}

class WillBroker extends ModelBroker {
  readonly #how: "never" | "twice";

  constructor(how: "never" | "twice", ...made: BrokerArguments) {
    super(...made);
    this.#how = how;
  }

  override leave(client: ServerConnection, will: WillMessage | undefined): void {
    super.leave(client, this.#how === "never" ? undefined : will);
    if (will === undefined || client.session === undefined) return;
    if (this.#how === "twice") this.publish(will, client.session.clientId, true);
  }
}

/** Keeps images, and pretends to keep the rest. */
class LyingStore implements SessionStore {
  readonly #store: JournalStore;

  constructor(flash: Flash) {
    this.#store = new JournalStore(flash);
  }

  get nextGeneration(): number {
    return this.#store.nextGeneration;
  }

  read(): Uint8Array[] {
    return this.#store.read();
  }

  append(): boolean {
    return true;
  }

  replace(image: Uint8Array): void {
    this.#store.replace(image);
  }
}

/** Begins each block without erasing it. */
class OverwritingStore extends JournalStore {
  constructor(flash: Flash) {
    super({
      blockCount: flash.blockCount,
      blockLength: flash.blockLength,
      wordLength: flash.wordLength,
      read: (blockIndex) => flash.read(blockIndex),
      erase: () => {},
      program: (blockIndex, offset, bytes) => flash.program(blockIndex, offset, bytes),
    });
  }
}

/** A bit in the middle of what was written reads as 0. */
function withLostBit(flash: Flash) {
  return {
    blockCount: flash.blockCount,
    blockLength: flash.blockLength,
    wordLength: flash.wordLength,
    read: (blockIndex: number) => {
      const bytes = flash.read(blockIndex);
      const at = bytes.findIndex((byte, index) => index > 60 && byte !== 0xff && byte !== 0);
      if (at >= 0) bytes[at] = 0;
      return bytes;
    },
    erase: (blockIndex: number) => flash.erase(blockIndex),
    program: (blockIndex: number, offset: number, bytes: Uint8Array) =>
      flash.program(blockIndex, offset, bytes),
  };
}
