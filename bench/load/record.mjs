/**
 * What ours could reach: the records of core.wasm, driven by the least code there can be. One shared buffer to read into,
 * one clock for the pace, one look a second at what is due; no objects, closures or promises for a message.
 */

import { connect as connectSocket } from "node:net";
import { performance } from "node:perf_hooks";
import { importFromDist, readFromDist } from "./dist.mjs";
import {
  clientIdOf,
  counts,
  generate,
  INFLIGHT_COUNT_MAX,
  isOver,
  settings,
  topicOf,
} from "./generator.mjs";

const { loadCore } = await importFromDist("host/src/core/core.js");
const { Event } = await importFromDist("firmware/core/abi.js");

const KEEP_ALIVE_SECONDS = 60;
const RESPONSE_TIMEOUT_MS = 10_000;
const LOOK_MS = 1000;

/** Unpaced, a larger outbox makes fewer and longer writes. */
const TRANSMIT_CAPACITY = settings.rate === 0 ? 16_384 : 2048;
const CAPACITIES = [512, TRANSMIT_CAPACITY, 64, 16, 0];

const { exports, arena } = await loadCore(readFromDist("core.wasm"));
const payloadAt = arena.take(settings.payloadLength);
const received = Buffer.alloc(65_536);
const devices = [];
let memory = Buffer.alloc(0);
bytes().fill("x", payloadAt, payloadAt + settings.payloadLength);

class Device {
  #at;
  #topicAt;
  #topicLength;
  #socket;
  #isBlocked = false;
  #hasBegun = false;

  constructor(number) {
    this.#at = arena.take(exports.clientSize(...CAPACITIES));
    exports.clientInit(this.#at, ...CAPACITIES);
    exports.setLimits(this.#at, INFLIGHT_COUNT_MAX, 0);
    const topic = topicOf(number);
    this.#topicAt = arena.take(topic.length);
    this.#topicLength = bytes().write(clientIdOf(number), this.#topicAt);
    exports.setClientId(this.#at, this.#topicAt, this.#topicLength);
    this.#topicLength = bytes().write(topic, this.#topicAt);
    const onread = { buffer: received, callback: (length) => this.#receive(length) };
    const { port } = settings;
    this.#socket = connectSocket({ port, host: "127.0.0.1", noDelay: true, onread });
    this.#socket.on("connect", () => this.#open());
    this.#socket.on("drain", () => this.#unblock());
  }

  publish() {
    if (this.#put() < 0) return;
    counts.messages++;
    this.#transmit();
  }

  /** Publishes until the outbox is full or the socket takes no more, and again when there is room. */
  fill() {
    this.#hasBegun = true;
    while (!this.#isBlocked && !isOver()) {
      let count = 0;
      while (this.#put() >= 0) count++;
      counts.messages += count;
      if (!this.#transmit()) return;
    }
  }

  look(nowMs) {
    if (exports.nextDeadlineMs(this.#at, nowMs) !== 0) return;
    exports.tick(this.#at, nowMs);
    this.#transmit();
  }

  #put() {
    const { payloadLength, qos } = settings;
    return exports.publish(
      this.#at,
      this.#topicAt,
      this.#topicLength,
      payloadAt,
      payloadLength,
      qos,
    );
  }

  #open() {
    exports.connect(this.#at, 1, KEEP_ALIVE_SECONDS, RESPONSE_TIMEOUT_MS, performance.now());
    this.#transmit();
  }

  #unblock() {
    this.#isBlocked = false;
    this.#transmit();
    if (this.#hasBegun) this.fill();
  }

  #receive(length) {
    received.copy(bytes(), exports.receiveAt(this.#at), 0, length);
    exports.received(this.#at, length);
    const nowMs = performance.now();
    for (
      let event = exports.poll(this.#at, nowMs);
      event !== Event.None;
      event = exports.poll(this.#at, nowMs)
    ) {
      if (event < 0) throw new Error(`status ${event}`);
      if (event === Event.Connected) counts.connected++;
      else if (event === Event.Published) counts.acknowledged++;
    }
    if (this.#hasBegun) this.fill();
    return true;
  }

  /** One write of a copy: the socket may keep it for longer than the record does. */
  #transmit() {
    const length = exports.transmitLength(this.#at);
    if (length === 0 || this.#isBlocked) return false;
    const at = exports.transmitAt(this.#at);
    this.#isBlocked = !this.#socket.write(Buffer.from(bytes().subarray(at, at + length)));
    exports.transmitted(this.#at, length, performance.now());
    return true;
  }
}

setInterval(() => {
  const nowMs = performance.now();
  for (const device of devices) device.look(nowMs);
}, LOOK_MS);

await generate({
  connect,
  publish: (device) => device.publish(),
  begin: (device) => device.fill(),
});

function connect(number) {
  const device = new Device(number);
  devices.push(device);
  return device;
}

/** All of the memory. Made anew after a growth, which detaches the old one. */
function bytes() {
  if (memory.length === 0) memory = Buffer.from(exports.memory.buffer);
  return memory;
}
