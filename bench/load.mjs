/**
 * What a message, a connected device and a connection cost a load generator: ours beside the floors in C and under Node,
 * libmosquitto and MQTT.js, against one mosquitto on a loopback port, in turn. bench/README.md has what came of it.
 * Run: node bench/load.mjs [--rounds 3] [--seconds 5] [--rows floor,fleet,...] [--json]
 */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { startMosquitto } from "./load/mosquitto.mjs";

/** What a generator exits with that cannot be measured here: see bench/load/generator.mjs. */
const SKIPPED = 77;
const PAYLOAD_LENGTH = 100;
const RUN_MS_MAX = 120_000;

/** Between two runs, for the broker to close what the last one has left. */
const SETTLE_MS = 300;

const FLOOR = "node floor";
const run = promisify(execFile);

/** `prepare` gives the command, once: a program in C is compiled when its turn comes. */
const ROWS = [
  { key: "floor", name: "C floor", prepare: () => compile("floor.c", []) },
  {
    key: "libmosquitto",
    name: "libmosquitto",
    prepare: () => compile("libmosquitto.c", ["-lmosquitto"]),
  },
  { key: "node", name: FLOOR, prepare: () => node("node-floor.mjs") },
  {
    key: "onread",
    name: "node floor, onread",
    prepare: () => node("node-floor.mjs"),
    suffix: ["onread"],
  },
  { key: "record", name: "ours: record", prepare: () => node("record.mjs") },
  { key: "driver", name: "ours: driver", prepare: () => node("driver.mjs") },
  { key: "fleet", name: "ours: fleet", prepare: () => node("fleet.mjs") },
  { key: "mqttjs", name: "MQTT.js", prepare: () => node("mqttjs.mjs") },
];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "5" },
    rows: { type: "string", default: ROWS.map(({ key }) => key).join(",") },
    json: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const wanted = values.rows.split(",");
const rows = ROWS.filter(({ key }) => wanted.includes(key));
if (rows.length !== wanted.length) {
  throw new Error(`--rows takes ${ROWS.map(({ key }) => key).join(", ")}, with commas between`);
}

const folder = mkdtempSync(join(tmpdir(), "wasmqtt-load-"));

/** `deviceCount`, `rate` (0: as fast as they can), `seconds` and `qos` of each measurement. */
const SCENES = {
  paced0: { deviceCount: 1000, rate: 10_000, seconds, qos: 0 },
  paced1: { deviceCount: 1000, rate: 10_000, seconds, qos: 1 },
  unpaced0: { deviceCount: 50, rate: 0, seconds, qos: 0 },
  unpaced1: { deviceCount: 50, rate: 0, seconds, qos: 1 },
  few: { deviceCount: 1000, rate: 100, seconds: 0, qos: 1 },
  many: { deviceCount: 10_000, rate: 1000, seconds: 0, qos: 1 },
};

/** Of a round: by row and scene what the generator printed. */
const rounds = [];
const notes = new Set();

try {
  for (let index = 0; index < Number(values.rounds); index++)
    rounds.push(await measureRound(index));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(values.json ? `${JSON.stringify(rounds)}\n` : tables());

/** The rows take turns at being the first. */
async function measureRound(index) {
  const results = Object.fromEntries(rows.map(({ key }) => [key, {}]));
  for (const [scene, settings] of Object.entries(SCENES)) {
    for (let turn = 0; turn < rows.length; turn++) {
      const row = rows[(index + turn) % rows.length];
      results[row.key][scene] = await measureAlone(row, settings);
    }
    process.stderr.write(`round ${index + 1}: ${scene}\n`);
  }
  return results;
}

/**
 * With a broker of its own: connections to a port that thousands have just left cost the kernel more, since it must
 * look for a pair of ports that is not in TIME_WAIT.
 */
async function measureAlone(row, settings) {
  const broker = await startMosquitto(folder, ["max_inflight_messages 0"]);
  try {
    return await measure(row, settings, broker.port);
  } finally {
    await broker.stop();
    await sleep(SETTLE_MS);
  }
}

/** Undefined where the row is skipped. */
async function measure(row, { deviceCount, rate, seconds: windowSeconds, qos }, port) {
  row.command ??= await row.prepare();
  if (row.command.length === 0) return undefined;
  const [file, ...first] = row.command;
  const parts = [
    ...first,
    port,
    deviceCount,
    rate,
    windowSeconds,
    qos,
    PAYLOAD_LENGTH,
    ...(row.suffix ?? []),
  ];
  try {
    const { stdout } = await run(file, parts.map(String), { timeout: RUN_MS_MAX });
    return JSON.parse(stdout);
  } catch (error) {
    if (error.code !== SKIPPED) throw error;
    notes.add(`${row.name}: ${error.stderr.trim()}`);
    return undefined;
  }
}

/** The command of a program in C, empty where it cannot be compiled. */
async function compile(source, libraries) {
  const path = join(folder, source.replace(/\.c$/u, ""));
  try {
    await run("cc", ["-O2", "-Wall", "-Wextra", "-o", path, programPath(source), ...libraries]);
    return [path];
  } catch (error) {
    const firstLine = String(error.stderr || error.message).split("\n")[0];
    notes.add(
      `${source} is left out: it does not compile here (${firstLine}); Debian: gcc, libmosquitto-dev`,
    );
    return [];
  }
}

function node(program) {
  return [process.execPath, "--expose-gc", programPath(program)];
}

function programPath(name) {
  return fileURLToPath(new URL(`load/${name}`, import.meta.url));
}

function tables() {
  const blocks = [
    ["1,000 devices, 10,000 msg/s: us of CPU per message", cpuTable(["paced0", "paced1"])],
    ["50 devices as fast as they can: us of CPU per message", cpuTable(["unpaced0", "unpaced1"])],
    ["50 devices as fast as they can at QoS 1: messages a second", rateTable()],
    ["Each further device, from 1,000 to 10,000", deviceTable()],
  ];
  const text = blocks.map(([title, lines]) => `${title}\n\n${lines.join("\n")}\n`).join("\n");
  const remarks = [...notes].map((note) => `\n${note}`).join("");
  return `Medians of ${rounds.length}; ratios are to "${FLOOR}" in the same round.\n\n${text}${remarks}\n`;
}

function cpuTable(scenes) {
  const cost = (result) => {
    // At QoS 1 a message that is not acknowledged has not yet cost all it will.
    const count =
      result && (result.acknowledged > result.messages / 2 ? result.acknowledged : result.messages);
    return result && result.cpuUs / count;
  };
  return table(["QoS 0", "ratio", "QoS 1", "ratio"], (key) =>
    scenes.flatMap((scene) => costAndRatio(key, (round, row) => cost(round[row]?.[scene]))),
  );
}

/** Not at QoS 0, where most messages of a short run end in the buffers of the sockets. */
function rateTable() {
  return table(["msg/s"], (key) => {
    const rate = median(rounds.map((round) => perSecond(round[key].unpaced1)));
    return [rate === undefined ? "-" : `${Math.round(rate)}`];
  });
}

function perSecond(result) {
  return result && result.acknowledged / result.seconds;
}

function deviceTable() {
  const further = (field) => (round, row) => {
    const { few, many } = round[row] ?? {};
    return (
      few && many && (many[field] - few[field]) / (SCENES.many.deviceCount - SCENES.few.deviceCount)
    );
  };
  return table(["KiB", "ratio", "us per connect", "ratio", "connects/s"], (key) => {
    const kib = (round, row) => further("rssBytes")(round, row) / 1024;
    const speed = median(
      rounds.map(({ [key]: { many } }) => many && SCENES.many.deviceCount / many.connectSeconds),
    );
    const cells = [...costAndRatio(key, kib), ...costAndRatio(key, further("connectCpuUs"))];
    return [...cells, speed === undefined ? "-" : `${Math.round(speed)}`];
  });
}

/** The median of a cost, and of its ratio to Node's floor round by round. */
function costAndRatio(key, costOf) {
  const cost = median(rounds.map((round) => costOf(round, key)));
  const ratio = median(rounds.map((round) => costOf(round, key) / costOf(round, "node")));
  return [cost, ratio].map((value) => (value === undefined ? "-" : value.toFixed(2)));
}

function table(columns, cellsOf) {
  const header = ["", ...columns];
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const rule = header.map((_, index) => (index === 0 ? "---" : "--:"));
  return [line(header), line(rule), ...rows.map(({ key, name }) => line([name, ...cellsOf(key)]))];
}

/** Of the numbers among `numbers`; undefined if there is none. */
function median(numbers) {
  const sorted = numbers.filter(Number.isFinite).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
