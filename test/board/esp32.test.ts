/** The ESP-IDF project cannot be built here: its C is checked against stubs of ESP-IDF's headers, and its tables against the runtime. */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { describeWith } from "../support/optional.ts";

const BOARD = fileURLToPath(new URL("../../firmware/board/", import.meta.url));
const STUBS = fileURLToPath(new URL("esp32-stubs/", import.meta.url));
const PROJECT = `${BOARD}port/esp32/`;

const SECTOR_LENGTH = 0x1000;
/** The MMU of these chips maps the flash in pages of this length, and an application begins with one. */
const APPLICATION_ALIGNMENT = 0x1_0000;
const FLASH_LENGTH = 0x40_0000;
/** Behind the bootloader and the partition table. */
const FIRST_OFFSET = 0x9000;

describeWith(["gcc"], "the C of the ESP-IDF project", () => {
  const chips = {
    esp32c3: ['-DCONFIG_IDF_TARGET="esp32c3"', "-DCONFIG_ESP_CONSOLE_USB_SERIAL_JTAG=1"],
    esp32: ['-DCONFIG_IDF_TARGET="esp32"'],
  };
  const sources = [...filesIn(`${PROJECT}main/`, ".c"), `${BOARD}engine/wamr.c`];
  const cases = Object.entries(chips).flatMap(([chip, flags]) =>
    sources.map((source) => ({ chip, flags, source, name: source.slice(BOARD.length) })),
  );

  test.each(cases)("$name agrees with the documented headers for $chip", ({ flags, source }) => {
    const warnings = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"];
    const includes = ["engine", "port", "runtime"].map((folder) => `-I${BOARD}${folder}`);
    const { status, stderr } = spawnSync(
      "gcc",
      ["-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", ...warnings, ...flags].concat([
        "-isystem",
        STUBS,
        ...includes,
        source,
      ]),
      { encoding: "utf8" },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});

describe("partitions.csv", () => {
  const partitions = textOf("partitions.csv")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(readPartition);

  test("is in order, without overlaps, within the flash of the smallest module", () => {
    let end = FIRST_OFFSET;
    for (const { name, offset, length } of partitions) {
      expect(offset, name).toBeGreaterThanOrEqual(end);
      end = offset + length;
    }
    expect(end).toBeLessThanOrEqual(FLASH_LENGTH);
  });

  test("begins and ends each partition where the flash can be erased", () => {
    for (const { name, type, offset, length } of partitions) {
      expect(offset % (type === "app" ? APPLICATION_ALIGNMENT : SECTOR_LENGTH), name).toBe(0);
      expect(length % SECTOR_LENGTH, name).toBe(0);
    }
  });

  test("has the areas of port.h, in their order, with the subtypes that flash.c counts", () => {
    const names = [...textOf("../port.h").matchAll(/^ {2}PORT_AREA_(\w+),$/gmu)].map(([, name]) =>
      name?.toLowerCase().replace("_", ""),
    );
    const first = Number(/FIRST_SUBTYPE (0x\w+)/u.exec(textOf("main/flash.c"))?.[1]);
    const areas = partitions.filter(({ subtype }) => subtype.startsWith("0x"));
    expect(areas.map(({ name }) => name)).toEqual(names);
    expect(areas.map(({ subtype }) => Number(subtype))).toEqual(
      areas.map((_area, index) => first + index),
    );
  });

  test("gives each area what the runtime needs", () => {
    const lengthOf = (wanted: string) => partitions.find(({ name }) => name === wanted)?.length;
    // 64 KiB is what a module of ours takes four times over.
    for (const slot of ["slot0", "slot1"]) expect(lengthOf(slot)).toBeGreaterThanOrEqual(0x1_0000);
    for (const area of ["state", "config", "journal"]) {
      expect(lengthOf(area), area).toBeGreaterThanOrEqual(2 * SECTOR_LENGTH);
    }
    expect(lengthOf("slot0")).toBe(lengthOf("slot1"));
  });
});

describe("the build", () => {
  const cmake = textOf("main/CMakeLists.txt");

  test("has every file of the runtime", () => {
    const files = filesIn(`${BOARD}runtime/`, ".c").map((path) => path.slice(BOARD.length));
    expect(listOf(cmake, "runtime")).toEqual(files.map((path) => /\/(.+)\.c$/u.exec(path)?.[1]));
  });

  test("has every file of the port", () => {
    const files = filesIn(`${PROJECT}main/`, ".c").map((path) => /([^/]+)$/u.exec(path)?.[1]);
    expect(/SRCS ((?:\w+\.c )+)/u.exec(cmake)?.[1]?.trim().split(" ").sort()).toEqual(files);
  });

  test("has the arithmetic of Ed25519 that the other ports have", () => {
    const wanted = /TINYSSH_FILES := \$\(patsubst [^,]+,[^,]+,([^)]+)\)/u.exec(
      readFileSync(`${BOARD}Makefile`, "utf8"),
    )?.[1];
    expect(listOf(cmake, "tinyssh")).toEqual(wanted?.match(/\w+/gu)?.sort());
  });

  test("pins the version of WAMR that engine/wamr.c names", () => {
    const engine = readFileSync(`${BOARD}engine/wamr.c`, "utf8");
    const version = /"WAMR ([\d.]+)"/u.exec(engine)?.[1];
    expect(textOf("main/idf_component.yml")).toContain(`wasm-micro-runtime: "==${version}~`);
  });

  test("has WAMR take the linear memory from the heap, too", () => {
    const project = textOf("CMakeLists.txt");
    const at = project.indexOf("set(WAMR_BUILD_ALLOC_WITH_USAGE 1)");
    expect(at).toBeGreaterThan(0);
    expect(at).toBeLessThan(project.indexOf("project.cmake"));
  });

  test("leaves the heap room for a module's memory beside the engine", () => {
    const [, heapLength, engineLength] =
      /RUNTIME_HEAP_LENGTH=(\d+)u RUNTIME_ENGINE_LENGTH=(\d+)u/u.exec(cmake) ?? [];
    expect(Number(heapLength) - Number(engineLength)).toBeGreaterThanOrEqual(4096);
  });
});

interface Partition {
  readonly name: string;
  readonly type: string;
  readonly subtype: string;
  readonly offset: number;
  readonly length: number;
}

function readPartition(line: string): Partition {
  const [name = "", type = "", subtype = "", offset = "", length = ""] = line.split(/,\s*/u);
  return { name, type, subtype, offset: Number(offset), length: Number(length) };
}

function listOf(cmake: string, name: string): string[] | undefined {
  return new RegExp(`set\\(${name}\\s+([^)]+)\\)`, "u").exec(cmake)?.[1]?.trim().split(/\s+/u);
}

function filesIn(folder: string, end: string): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(end));
  return names.sort().map((name) => folder + name);
}

function textOf(path: string): string {
  return readFileSync(PROJECT + path, "utf8");
}
