/**
 * Prints what takes how much of the board's program memory and RAM, from the linker's map; fails above the limits.
 *
 *   node tools/board-size.mjs firmware/board/build/virt-rv32/board.elf.map
 */

import { readFileSync } from "node:fs";

/** Runtime and interpreter, in bytes of program memory. */
const TEXT_MAX = 110_000;

/** All of it, with the stack and the engine's heap: the RAM of the part. */
const RAM_MAX = 64 * 1024;

/** Beginnings of paths, and what they are to people. */
const GROUPS = [
  ["third-party/wasm3/", "wasm3"],
  ["third-party/tinyssh/", "tinyssh (Ed25519)"],
  ["engine/", "engine/"],
  ["runtime/", "runtime/"],
  ["port/", "port/virt-rv32/"],
];
const REST = "C library and gaps";

const path = process.argv[2] ?? "firmware/board/build/virt-rv32/board.elf.map";
const { outputs, files } = readMap(readFileSync(path, "utf8"));
print();
check();

/** Bytes of each output section, and of it by file. */
function readMap(map) {
  const layout = map.slice(map.indexOf("Linker script and memory map"));
  const found = { outputs: { text: 0, data: 0, bss: 0, stack: 0 }, files: new Map() };
  let current;
  // A long name stands alone, its numbers in the next line.
  for (const line of layout.replace(/^( ?\S+)\n +(?=0x)/gm, "$1 ").split("\n")) {
    const output = /^\.(\w+)\s+0x[\da-f]+\s+0x([\da-f]+)/.exec(line);
    if (/^\.?\w/.test(line)) current = output?.[1] in found.outputs ? output[1] : undefined;
    if (output !== null && current !== undefined) found.outputs[current] = parseInt(output[2], 16);
    const input = /^ \S+\s+0x[\da-f]+\s+0x([\da-f]+)\s+(\S+)$/.exec(line);
    if (input === null || current === undefined) continue;
    const name = /^build\/[^/]+\/(.*)\.o$/.exec(input[2])?.[1] ?? REST;
    const sizes = found.files.get(name) ?? { text: 0, data: 0, bss: 0, stack: 0 };
    sizes[current] += parseInt(input[1], 16);
    found.files.set(name, sizes);
  }
  return found;
}

function print() {
  const rows = [...files].map(([name, { text, data, bss }]) => [name, text, data, bss]);
  for (const [prefix, name] of GROUPS) {
    const members = rows.filter(([file]) => file.startsWith(prefix));
    const isShown = prefix === "runtime/" || prefix === "engine/" || prefix === "port/";
    if (isShown) for (const row of members.sort((a, b) => b[1] - a[1])) printRow(row);
    printRow([
      `= ${name}`,
      ...[1, 2, 3].map((at) => members.reduce((sum, row) => sum + row[at], 0)),
    ]);
  }
  const named = rows.filter(([name]) => name !== REST);
  const sum = (at) => named.reduce((total, row) => total + row[at], 0);
  const { text, data, bss, stack } = outputs;
  printRow([`= ${REST}`, text - sum(1), data - sum(2), bss - sum(3)]);
  printRow(["= all", text, data, bss]);
  process.stdout.write(
    `program memory ${text + data} of ${TEXT_MAX}, RAM ${data + bss + stack} of ${RAM_MAX} (stack ${stack})\n`,
  );
}

function printRow([name, ...sizes]) {
  process.stdout.write(
    `${name.padEnd(32)}${sizes.map((size) => `${size}`.padStart(8)).join("")}\n`,
  );
}

function check() {
  const { text, data, bss, stack } = outputs;
  const tooMuch = [
    ...(text + data > TEXT_MAX ? [`${text + data} bytes of program memory`] : []),
    ...(data + bss + stack > RAM_MAX ? [`${data + bss + stack} bytes of RAM`] : []),
  ];
  if (tooMuch.length === 0) return;
  process.stderr.write(`board-size: ${tooMuch.join(" and ")}: more than the limit\n`);
  process.exitCode = 1;
}
