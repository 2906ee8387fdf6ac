/** Time through core.wasm: one publish, as a ratio to mqtt-packet doing the same; what a journal costs. Run: npm run bench */

import { readFileSync } from "node:fs";
import mqttPacket from "mqtt-packet";

const ROUND_COUNT = 15;
const CYCLE_COUNT = 50_000;
const TOPIC = "motes/mote-00001/telemetry";
const PAYLOAD = '{"temperature":21.47,"seq":17,"ts":1795388880123}';

const parser = mqttPacket.parser();
let messageId = 0;
const core = loadCore(0);
const durable = loadCore(1024);
const cases = [
  ["QoS 0: publish, take the bytes", () => coreCycle(0), () => peerCycle(0)],
  ["QoS 1: publish, take the bytes, read PUBACK", () => coreCycle(1), () => peerCycle(1)],
];

process.stdout.write(
  "CPU time of one cycle, the least of several rounds, core.wasm and mqtt-packet in turn\n\n",
);
for (const [name, ours, theirs] of cases) {
  const { oursNs, theirsNs } = compare(ours, theirs);
  const ratio = (oursNs / theirsNs).toFixed(2);
  process.stdout.write(
    `${name}\n  core.wasm ${oursNs.toFixed(0)} ns   mqtt-packet ${theirsNs.toFixed(0)} ns   ratio ${ratio}\n`,
  );
}

const { oursNs: durableNs, theirsNs: volatileNs } = compare(
  () => exchange(durable),
  () => exchange(core),
);
process.stdout.write(
  `QoS 2: a whole exchange, with and without a journal (the time to store it not included)
  durable ${durableNs.toFixed(0)} ns   volatile ${volatileNs.toFixed(0)} ns   ratio ${(durableNs / volatileNs).toFixed(2)}
  bytes to store for each message: QoS 1 ${storedLength(1)}, QoS 2 ${storedLength(2)}, of which PUBLISH ${publishLength()}
`,
);
const { imageLength, restoreNs } = restoreCost();
process.stdout.write(
  `Restore of an image of ${imageLength} bytes (10 messages): ${restoreNs.toFixed(0)} ns\n`,
);

/** Both in turn, so that a slower machine is slower for both. */
function compare(ours, theirs) {
  let oursNs = Number.POSITIVE_INFINITY;
  let theirsNs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUND_COUNT; round++) {
    oursNs = Math.min(oursNs, cpuNs(ours));
    theirsNs = Math.min(theirsNs, cpuNs(theirs));
  }
  return { oursNs, theirsNs };
}

function cpuNs(cycle) {
  const before = process.cpuUsage();
  for (let count = 0; count < CYCLE_COUNT; count++) cycle();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / CYCLE_COUNT;
}

/** A connected client, and its topic and payload in the module's memory. */
function loadCore(journalCapacity) {
  const module = new WebAssembly.Module(
    readFileSync(new URL("../dist/core.wasm", import.meta.url)),
  );
  const { exports } = new WebAssembly.Instance(module);
  exports.memoryGrown(exports.memory.buffer.byteLength);
  const at = exports.__heap_base.value;
  exports.clientInit(at, 512, 2048, 256, 16, journalCapacity);
  const textAt = at + exports.clientSize(512, 2048, 256, 16, journalCapacity);
  const bytes = new Uint8Array(exports.memory.buffer);
  bytes.set(Buffer.from(TOPIC + PAYLOAD), textAt);
  bytes[textAt + 200] = 0x61;
  exports.setClientId(at, textAt + 200, 1);
  exports.connect(at, 1, 0, 0, 0);
  exports.transmitted(at, exports.transmitLength(at), 0);
  receive(exports, bytes, at, [0x20, 2, 0, 0]);
  exports.poll(at, 0);
  store({ exports, at });
  return { exports, bytes, at, textAt };
}

/** What an embedder does with what must be stored, but for storing it; returns how many bytes that were. */
function store({ exports, at }) {
  const length = exports.storeLength(at);
  if (length > 0) exports.stored(at, exports.storeAt(at));
  return length;
}

function publish({ exports, at, textAt }, qos) {
  const id = exports.publish(at, textAt, TOPIC.length, textAt + TOPIC.length, PAYLOAD.length, qos);
  if (id < 0) throw new Error(`publish answered ${id}`);
  return id;
}

/** PUBLISH, PUBREC, PUBREL, PUBCOMP; returns how many bytes had to be stored. */
function exchange(instance, qos = 2) {
  const { exports, bytes, at } = instance;
  const id = publish(instance, qos);
  let length = store(instance);
  exports.transmitted(at, exports.transmitLength(at), 0);
  if (qos === 2) {
    receive(exports, bytes, at, [0x50, 2, id >> 8, id & 0xff]);
    exports.poll(at, 0);
    length += store(instance);
    exports.transmitted(at, exports.transmitLength(at), 0);
  }
  receive(exports, bytes, at, [qos === 2 ? 0x70 : 0x40, 2, id >> 8, id & 0xff]);
  if (exports.poll(at, 0) !== 3) throw new Error("no Published");
  exports.poll(at, 0);
  return length;
}

/** In the long run, what is stored with the next batch included. */
function storedLength(qos) {
  exchange(durable, qos);
  return exchange(durable, qos);
}

function publishLength() {
  return 2 + 2 + TOPIC.length + 2 + PAYLOAD.length;
}

function restoreCost() {
  const { exports, at, textAt } = durable;
  exports.connectionLost(at);
  for (let count = 0; count < 10; count++) {
    publish(durable, 2);
    store(durable);
  }
  const imageAt = textAt + 1024;
  const imageLength = exports.saveImage(at, 1, imageAt, 4096, 0, 0);
  const restoreNs = cpuNs(() => {
    if (exports.restore(at, imageAt, imageLength) !== 0) throw new Error("the image was refused");
  });
  return { imageLength, restoreNs };
}

function coreCycle(qos) {
  const { exports, bytes, at } = core;
  const id = publish(core, qos);
  exports.transmitted(at, exports.transmitLength(at), 0);
  if (qos === 0) return;
  receive(exports, bytes, at, [0x40, 2, id >> 8, id & 0xff]);
  if (exports.poll(at, 0) !== 3) throw new Error("no Published");
  exports.poll(at, 0);
}

function receive(exports, bytes, at, packet) {
  bytes.set(packet, exports.receiveAt(at));
  exports.received(at, packet.length);
}

function peerCycle(qos) {
  messageId = (messageId % 65_535) + 1;
  mqttPacket.generate({
    cmd: "publish",
    topic: TOPIC,
    payload: PAYLOAD,
    qos,
    messageId,
    retain: false,
    dup: false,
  });
  if (qos === 1) parser.parse(Buffer.from([0x40, 2, messageId >> 8, messageId & 0xff]));
}
