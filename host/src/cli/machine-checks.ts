/** What a machine allows one process, and whether a fleet fits: open files, ports, memory, processors. */

import type { CliContext } from "./command.ts";

type Verdict = "ok" | "warning" | "failed";

export interface Check {
  readonly name: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What to do; empty where all is well. */
  readonly fix: string;
}

/** A fleet that somebody wants to run. */
export interface WantedFleet {
  readonly deviceCount: number;
  /** Addresses of this machine that it connects from. */
  readonly addressCount: number;
  /** Where the broker runs: within this process, elsewhere on this machine, or on another one. */
  readonly broker: "embedded" | "local" | "remote";
}

/** What the checks look at. Files that a system does not have throw. */
export interface Machine {
  readonly platform: string;
  readonly cpuCount: number;
  readonly openFileCountMax: number | undefined;
  readonly readFile: CliContext["readFile"];
}

/** What concerns devices. Without a fleet nothing fails; a fleet of 1,000 is ordinary. */
export function machineChecks(machine: Machine, fleet: WantedFleet | undefined): Check[] {
  return [
    checkOpenFiles(machine, fleet),
    checkPorts(machine, fleet),
    ...checkUsedPorts(machine, fleet),
    ...checkQueue(machine, fleet),
    ...checkMemory(machine, fleet),
    checkProcessors(machine, fleet),
  ];
}

/** True for a host that is this machine, by name or address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

const USUAL_DEVICE_COUNT = 1000;

/** Files, pipes and listeners that a process has open besides its devices. */
const OTHER_FILE_COUNT = 64;

function checkOpenFiles({ openFileCountMax, platform }: Machine, fleet?: WantedFleet): Check {
  const name = "open files";
  if (openFileCountMax === undefined) return ok(name, "no limit");
  const roomCount = Math.max(0, openFileCountMax - OTHER_FILE_COUNT);
  if (fleet === undefined) {
    const found =
      `${openFileCountMax}, room for ${roomCount} devices, ` +
      `or ${Math.floor(roomCount / 2)} with the embedded broker`;
    if (roomCount >= USUAL_DEVICE_COUNT) return ok(name, found);
    return { name, verdict: "warning", found, fix: raiseOpenFiles(platform, 65_536) };
  }
  const isEmbedded = fleet.broker === "embedded";
  const neededCount = OTHER_FILE_COUNT + fleet.deviceCount * (isEmbedded ? 2 : 1);
  const who = `${fleet.deviceCount} devices${isEmbedded ? " and the embedded broker" : ""}`;
  const found = `this process may open ${openFileCountMax}, and ${who} need ${neededCount}`;
  if (neededCount <= openFileCountMax) return ok(name, found);
  return { name, verdict: "failed", found, fix: raiseOpenFiles(platform, neededCount) };
}

/** Node raises its own limit as far as it may: what is left is the hard limit. */
function raiseOpenFiles(platform: string, neededCount: number): string {
  const count = Math.max(65_536, 2 ** Math.ceil(Math.log2(neededCount)));
  return platform === "linux"
    ? `Raise the hard limit, then start again from the same shell: sudo prlimit --pid $$ --nofile=${count}:${count}`
    : `Raise it: ulimit -n ${count}`;
}

const PORT_RANGE_PATH = "/proc/sys/net/ipv4/ip_local_port_range";
const WIDE_RANGE = "1024 65535";
const WIDE_PORT_COUNT = 64_512;
/** The run's own subscriber. */
const OBSERVER_COUNT = 1;

/** Each connection from one address to one broker takes one of these ports (RFC 6056). */
function checkPorts(machine: Machine, fleet?: WantedFleet): Check {
  const name = "ports for connections";
  const range = portRange(machine);
  if (range === undefined) {
    return ok(name, `not known on ${machine.platform}; usually at least 16000`);
  }
  const { firstPort, lastPort, portCount } = range;
  const place = `${firstPort} to ${lastPort}, ${portCount} connections to one broker`;
  const widen = `sudo sysctl -w net.ipv4.ip_local_port_range="${WIDE_RANGE}"`;
  if (fleet === undefined) {
    if (portCount >= USUAL_DEVICE_COUNT) return ok(name, place);
    return { name, verdict: "warning", found: place, fix: `Widen them: ${widen}` };
  }
  const { deviceCount, addressCount } = fleet;
  const connectionCount = deviceCount + OBSERVER_COUNT;
  const found = `${place} from one address, and ${connectionCount} connections (${deviceCount} devices and the run's own) come from ${addressCount}`;
  if (connectionCount <= portCount * addressCount) return ok(name, found);
  const neededCount = Math.ceil(connectionCount / portCount);
  const spread = `connect from ${neededCount} addresses of this machine (--ifaddr, once for each)`;
  const isWideEnough = connectionCount <= WIDE_PORT_COUNT * addressCount;
  const fix = isWideEnough ? `Widen them: ${widen}; or ${spread}` : capitalized(spread);
  return { name, verdict: "failed", found, fix };
}

/** A port rests for a minute after its connection, unless the system may take it again sooner (tcp_tw_reuse). */
function checkUsedPorts(machine: Machine, fleet?: WantedFleet): Check[] {
  const name = "ports used before";
  const reuse = numberIn(machine, "/proc/sys/net/ipv4/tcp_tw_reuse");
  const range = portRange(machine);
  if (reuse === undefined || range === undefined) return [];
  const { deviceCount, addressCount, broker } = fleet ?? {
    deviceCount: 0,
    addressCount: 1,
    broker: "remote",
  };
  // 2: on loopback only.
  const isReused = reuse === 1 || (reuse === 2 && broker !== "remote");
  if (isReused) return [ok(name, "are free again at once")];
  const found = "rest for a minute after each run";
  if (2 * deviceCount <= range.portCount * addressCount) return [ok(name, found)];
  const fix = `Runs that follow each other need more: sudo sysctl -w net.ipv4.tcp_tw_reuse=1`;
  return [{ name, verdict: "warning", found, fix }];
}

/** Connections that wait until their broker takes them, one for each of a burst. */
const QUEUE_COUNT_MIN = 511;

function checkQueue(machine: Machine, fleet?: WantedFleet): Check[] {
  const name = "connections that may wait";
  const count = numberIn(machine, "/proc/sys/net/core/somaxconn");
  if (count === undefined || fleet?.broker === "remote") return [];
  const found = `${count}, at a broker on this machine`;
  if (count >= QUEUE_COUNT_MIN) return [ok(name, found)];
  return [{ name, verdict: "warning", found, fix: "sudo sysctl -w net.core.somaxconn=4096" }];
}

/** As measured, with what the system keeps for each connection. */
const PROCESS_LENGTH = 96 * 1024 * 1024;
const DEVICE_LENGTH = 24 * 1024;
const EMBEDDED_DEVICE_LENGTH = 64 * 1024;

function checkMemory(machine: Machine, fleet?: WantedFleet): Check[] {
  const name = "memory";
  const freeLength = freeMemoryLength(machine);
  if (freeLength === undefined) return [];
  const free = `${mebibytes(freeLength)} free`;
  if (fleet === undefined) {
    const count = Math.max(0, Math.floor((freeLength - PROCESS_LENGTH) / DEVICE_LENGTH));
    return [ok(name, `${free}, room for ${count} devices`)];
  }
  const { deviceCount, broker } = fleet;
  const each = broker === "embedded" ? EMBEDDED_DEVICE_LENGTH : DEVICE_LENGTH;
  const neededLength = PROCESS_LENGTH + deviceCount * each;
  const found = `${free}, and ${deviceCount} devices need about ${mebibytes(neededLength)}`;
  if (neededLength <= freeLength) return [ok(name, found)];
  const fix = "Connect fewer devices, or spread them over machines (wasmqtt report merges results)";
  return [{ name, verdict: "failed", found, fix }];
}

function checkProcessors({ cpuCount }: Machine, fleet?: WantedFleet): Check {
  const name = "processors";
  const found = `${cpuCount}; a run takes a thread for each 1,000 devices, ${cpuCount} at most (-j)`;
  if (cpuCount > 1 || fleet === undefined || fleet.broker === "remote") return ok(name, found);
  const fix = "The broker runs on it too: what a run measures is both of them together";
  return { name, verdict: "warning", found, fix };
}

function portRange(
  machine: Machine,
): { firstPort: number; lastPort: number; portCount: number } | undefined {
  const [firstPort, lastPort] = numbersIn(machine, PORT_RANGE_PATH);
  if (firstPort === undefined || lastPort === undefined) return undefined;
  return { firstPort, lastPort, portCount: lastPort - firstPort + 1 };
}

/** What the system or the container still has, whichever is less. */
function freeMemoryLength(machine: Machine): number | undefined {
  const availableKib = /^MemAvailable: +(\d+) kB$/mu.exec(textOf(machine, "/proc/meminfo"))?.[1];
  const limitLength = numberIn(machine, "/sys/fs/cgroup/memory.max");
  const currentLength = numberIn(machine, "/sys/fs/cgroup/memory.current") ?? 0;
  // Files that were read count as used, but make room.
  const cacheText = /^inactive_file (\d+)$/mu.exec(
    textOf(machine, "/sys/fs/cgroup/memory.stat"),
  )?.[1];
  const usedLength = currentLength - Number(cacheText ?? 0);
  const lengths = [
    ...(availableKib === undefined ? [] : [1024 * Number(availableKib)]),
    ...(limitLength === undefined ? [] : [Math.max(0, limitLength - usedLength)]),
  ];
  return lengths.length === 0 ? undefined : Math.min(...lengths);
}

function numberIn(machine: Machine, path: string): number | undefined {
  return numbersIn(machine, path)[0];
}

/** Empty where a system has no such file, or no numbers in it. */
function numbersIn(machine: Machine, path: string): number[] {
  const words = textOf(machine, path).trim().split(/\s+/u);
  return words.every((word) => /^\d+$/u.test(word)) ? words.map(Number) : [];
}

function textOf({ readFile }: Machine, path: string): string {
  try {
    return readFile(path).toString();
  } catch {
    return "";
  }
}

function mebibytes(length: number): string {
  return `${Math.floor(length / 1024 / 1024)} MiB`;
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function ok(name: string, found: string): Check {
  return { name, verdict: "ok", found, fix: "" };
}
