/** What the generators under Node share: arguments, the connect window, pacing, and the line of JSON. Run with --expose-gc. */

import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Before the window, or as long as the window if that is shorter: a run of minutes does not pay for compiling. Not
 * unpaced at QoS 0: the socket buffers take seconds' worth of messages, and once they are full the pace is the broker's.
 */
const WARM_UP_SECONDS = 2;

/** So many connections are being made at once, as in generator.h. */
const CONNECTING_COUNT_MAX = 50;

/** What a generator exits with that cannot be measured here; stderr says why. */
export const SKIPPED = 77;

/** At QoS 1 and unpaced, so many messages of one device wait for their PUBACK. */
export const INFLIGHT_COUNT_MAX = 20;

const [port, deviceCount, rate, seconds, qos, payloadLength] = process.argv.slice(2, 8).map(Number);

/** `rate` is messages a second of all devices together; 0: as fast as they can. */
export const settings = { port, deviceCount, rate, seconds, qos, payloadLength };

/** Counted by the devices. */
export const counts = { connected: 0, messages: 0, acknowledged: 0 };

/** Devices are numbered from 1. */
export function clientIdOf(number) {
  return `mote-${String(number).padStart(5, "0")}`;
}

export function topicOf(number) {
  return `motes/${clientIdOf(number)}/telemetry`;
}

/** True when the window is over: an unpaced device stops then. */
export function isOver() {
  return performance.now() >= window.endsAtMs;
}

/**
 * Connects all devices, keeps them busy for the window, prints what it took and ends the process. `connect(number)`
 * starts a connection and gives the device; `publish(device)` sends one message; `begin(device)` starts an unpaced one.
 */
export async function generate({ connect, publish, begin }) {
  const startedAtMs = performance.now();
  const startedCpu = process.cpuUsage();
  const devices = await connectAll(connect);
  window.connectSeconds = (performance.now() - startedAtMs) / 1000;
  window.connectCpuUs = cpuUsSince(startedCpu);
  noteMemory();
  const isPouring = rate === 0 && qos === 0;
  if (isPouring) openWindow();
  if (rate === 0) for (const device of devices) begin(device);
  else if (publish !== undefined) pace(devices, publish);
  if (!isPouring) {
    await sleep(Math.min(seconds, WARM_UP_SECONDS) * 1000);
    openWindow();
  }
  await sleep(seconds * 1000);
  report();
}

const window = { endsAtMs: Number.POSITIVE_INFINITY };

function connectAll(connect) {
  const devices = [];
  return new Promise((resolve) => {
    const timer = setInterval(step, 1);
    function step() {
      while (
        devices.length < deviceCount &&
        devices.length - counts.connected < CONNECTING_COUNT_MAX
      ) {
        devices.push(connect(devices.length + 1));
      }
      if (counts.connected < deviceCount) return;
      clearInterval(timer);
      resolve(devices);
    }
  });
}

/** What the collector finds now belongs to the connections. */
function noteMemory() {
  globalThis.gc?.();
  globalThis.gc?.();
  window.rssBytes = process.memoryUsage.rss();
}

function openWindow() {
  window.messages = counts.messages;
  window.acknowledged = counts.acknowledged;
  window.cpu = process.cpuUsage();
  window.startedAtMs = performance.now();
  window.endsAtMs = window.startedAtMs + seconds * 1000;
}

/** More than so many messages behind, the process stood still, and leaves them out: `pair.mjs` stops it now and then. */
const BEHIND_COUNT_MAX = 1000;

/** Each device has its own clock: one message each `deviceCount / rate` seconds, all at different moments. */
function pace(devices, publish) {
  const paceStartedAtMs = performance.now();
  let sent = 0;
  setInterval(() => {
    const due = Math.floor(((performance.now() - paceStartedAtMs) * rate) / 1000);
    if (due - sent > BEHIND_COUNT_MAX) sent = due;
    for (; sent < due; sent++) publish(devices[sent % deviceCount]);
  }, 1);
}

function report() {
  const result = {
    messages: counts.messages - window.messages,
    acknowledged: counts.acknowledged - window.acknowledged,
    cpuUs: cpuUsSince(window.cpu),
    seconds: (performance.now() - window.startedAtMs) / 1000,
    rssBytes: window.rssBytes,
    connectCpuUs: window.connectCpuUs,
    connectSeconds: window.connectSeconds,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

function cpuUsSince(before) {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
