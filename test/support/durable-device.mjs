/**
 * The device of the kill rounds, a process of its own: counts up on kill/up at QoS 2, checks the count on kill/down, and keeps
 * how far it is in the note of its session, so that a message and its count are stored together or not at all.
 * Arguments: URL of the broker, directory of the store, QoS of kill/down, and "forgets" for a store that breaks its word.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { MqttClient, openFileStore, StoreError } from "../../dist/host/src/index.js";

const UP_TOPIC = "kill/up";
const DOWN_TOPIC = "kill/down";

const [url, directory, downQos, fault] = process.argv.slice(2);

/** Small enough that an image is written every few hundred messages. */
const BLOCK_LENGTH = 16_384;
const TRANSMIT_LENGTH = 4_096;

/** Brokers without a limit send all at once that has come while the device was away. */
const INCOMING_COUNT = 2_000;

const TURN_MS = 5;
const BURST_COUNT_MAX = 3;
const FILLER_LENGTH_MAX = 500;
const RETRY_MS = 20;

/** The note stays short. */
const DOUBLED_COUNT_MAX = 10;

const fileStore = openFileStore(directory, { blockLength: BLOCK_LENGTH });
const client = new MqttClient({
  url,
  clientId: "mortal",
  cleanSession: false,
  store: fault === "forgets" ? forgetful(fileStore) : fileStore,
  capacities: { transmit: TRANSMIT_LENGTH, incomingCount: INCOMING_COUNT },
  reconnect: { baseMs: 40, maxMs: 40 },
});

/** What the note holds. */
let state = {
  /** The last number that was published. */
  sentNumber: 0,
  /** The highest number that came. */
  takenNumber: 0,
  /** Those below it that have not come so far. */
  missedNumbers: [],
  /** How many of those came behind a higher one. */
  lateCount: 0,
  /** The first few. */
  doubledNumbers: [],
  /** The broker has this device's subscription. */
  isSubscribed: false,
  /** Nothing is published any more. */
  isEnding: false,
};

client.on("restored", ({ note }) => {
  if (note.length > 0) state = JSON.parse(new TextDecoder().decode(note));
});
client.on("message", ({ payload }) => take(new TextDecoder().decode(payload).split(" ", 1)[0]));
client.on("dropped", ({ message }) => process.stderr.write(`${message}\n`));
client.on("disconnected", ({ reason }) => {
  if (reason instanceof StoreError) throw reason;
});
process.on("SIGTERM", end);

setInterval(publishSome, TURN_MS);
await connect();
await client.subscribe(DOWN_TOPIC, { qos: Number(downQos) });
state.isSubscribed = true;
keepState();
process.stdout.write("ready\n");

async function connect() {
  for (;;) {
    try {
      return await client.connect();
    } catch (error) {
      if (error instanceof StoreError) throw error;
      await sleep(RETRY_MS); // the broker is away
    }
  }
}

function publishSome() {
  if (!state.isSubscribed) return; // aedes keeps no session without a subscription
  const count = 1 + Math.floor(Math.random() * BURST_COUNT_MAX);
  for (let index = 0; index < count && !state.isEnding; index++) {
    const number = state.sentNumber + 1;
    const filler = "x".repeat(Math.random() ** 5 * FILLER_LENGTH_MAX);
    if (!client.tryPublish(UP_TOPIC, `${number} ${filler}`, { qos: 2 })) return;
    state.sentNumber = number;
    keepState();
  }
}

function take(text) {
  if (text === "end") {
    state.isEnding = true;
    keepState();
    client.publish(UP_TOPIC, "end of device", { qos: 2 });
    return;
  }
  count(Number(text));
  keepState();
}

function count(number) {
  for (let missed = state.takenNumber + 1; missed < number; missed++) {
    state.missedNumbers.push(missed);
  }
  const missedIndex = state.missedNumbers.indexOf(number);
  if (number > state.takenNumber) {
    state.takenNumber = number;
  } else if (missedIndex >= 0) {
    state.missedNumbers.splice(missedIndex, 1);
    state.lateCount++;
  } else if (state.doubledNumbers.length < DOUBLED_COUNT_MAX) {
    state.doubledNumbers.push(number);
  }
}

function keepState() {
  client.keepNote(new TextEncoder().encode(JSON.stringify(state)));
}

async function end() {
  await client.close();
  fileStore.close();
  process.stdout.write(JSON.stringify(state));
  process.exit(0);
}

/** Says that a batch is stored, and stores images only. */
function forgetful(store) {
  return {
    read: () => store.read(),
    append: () => true,
    get nextGeneration() {
      return store.nextGeneration;
    },
    replace: (image) => store.replace(image),
  };
}
