/** The reader of WebAssembly files, on modules made by hand and on bytes that are none. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ABI_VERSION } from "../../firmware/core/abi.ts";
import { InvalidModuleError } from "../../host/src/module/byte-reader.ts";
import {
  inspectModule,
  MODULE_LENGTH_MAX,
  type ModuleInspection,
} from "../../host/src/module/inspect-module.ts";

const PREAMBLE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const TYPE = 1;
const IMPORT = 2;
const FUNCTION = 3;
const TABLE = 4;
const MEMORY = 5;
const GLOBAL = 6;
const EXPORT = 7;
const START = 8;
const ELEMENT = 9;
const CODE = 10;
const DATA = 11;
const DATA_COUNT = 12;

const I32 = 0x7f;
const FUNCTION_KIND = 0;
const MEMORY_KIND = 2;
const GLOBAL_KIND = 3;

function leb(value: number): number[] {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}

/** As in `i32.const`: the last byte has room for the sign. */
function signedLeb(value: number): number[] {
  return [...leb(value).slice(0, -1), ...leb(value).slice(-1)].flatMap((byte, index, all) =>
    index === all.length - 1 && byte >= 64 ? [byte + 128, 0] : [byte],
  );
}

function vector(items: number[][]): number[] {
  return [...leb(items.length), ...items.flat()];
}

function sized(bytes: number[]): number[] {
  return [...leb(bytes.length), ...bytes];
}

function text(name: string): number[] {
  return sized([...Buffer.from(name)]);
}

type Sections = Record<number, number[]>;

/** Sections in the order that the format demands: by id, but DataCount before Code. */
function moduleOf(sections: Sections): Uint8Array {
  const order = (id: number) => (id === DATA_COUNT ? CODE - 0.5 : id);
  const ids = Object.keys(sections).map(Number);
  ids.sort((a, b) => order(a) - order(b));
  return Uint8Array.from([...PREAMBLE, ...ids.flatMap((id) => [id, ...sized(sections[id] ?? [])])]);
}

/** A function body: no local variables, the instructions, `end`. */
function body(...instructions: number[]): number[] {
  return sized([0, ...instructions, 0x0b]);
}

function i32Global(value: number, { isMutable = false } = {}): number[] {
  return [I32, isMutable ? 1 : 0, 0x41, ...signedLeb(value), 0x0b];
}

function exported(name: string, kind: number, index: number): number[] {
  return [...text(name), kind, index];
}

/** Keeps every rule: abiVersion, one memory with three bytes of data, __data_end and __heap_base. */
const GOOD: Sections = {
  [TYPE]: vector([[0x60, 0, 1, I32]]),
  [FUNCTION]: vector([[0]]),
  [MEMORY]: vector([[0, 1]]),
  [GLOBAL]: vector([i32Global(19), i32Global(4096), i32Global(0, { isMutable: true })]),
  [EXPORT]: vector([
    exported("memory", MEMORY_KIND, 0),
    exported("abiVersion", FUNCTION_KIND, 0),
    exported("__data_end", GLOBAL_KIND, 0),
    exported("__heap_base", GLOBAL_KIND, 1),
  ]),
  [CODE]: vector([body(0x41, ABI_VERSION)]),
  [DATA]: vector([[0, 0x41, 16, 0x0b, ...sized([1, 2, 3])]]),
};

function inspected(changes: Sections = {}): ModuleInspection {
  return inspectModule(moduleOf({ ...GOOD, ...changes }));
}

/** The rules that are broken, each with what was found. */
function brokenRules(changes: Sections): string[] {
  return inspected(changes)
    .rules.filter(({ isKept }) => !isKept)
    .map(({ rule, found }) => `${rule}: ${found}`);
}

/** A module with a second function that nobody calls. */
function withFunction(...instructions: number[]): Sections {
  return {
    [FUNCTION]: vector([[0], [0]]),
    [CODE]: vector([body(0x41, ABI_VERSION), body(...instructions)]),
  };
}

describe("a module that keeps the rules", () => {
  test("is described with its size, hash, memory, exports and ABI", () => {
    const bytes = moduleOf(GOOD);
    const inspection = inspectModule(bytes);
    expect(inspection.byteLength).toBe(bytes.length);
    expect(inspection.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(inspection.imports).toEqual([]);
    expect(inspection.exports.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      "memory memory",
      "function abiVersion",
      "global __data_end",
      "global __heap_base",
    ]);
    expect(inspection.memories).toEqual([{ initialPageCount: 1, maximumPageCount: undefined }]);
    expect(inspection).toMatchObject({ segmentsEnd: 19, dataEnd: 19, heapBase: 4096 });
    expect(inspection.abiVersion).toBe(ABI_VERSION);
    expect(inspection.rules.map(({ isKept }) => isKept)).toEqual(new Array(8).fill(true));
  });

  test("may have custom sections anywhere and blocks, branches, tables and constants of the MVP", () => {
    const instructions = [
      ...[0x02, 0x40, 0x03, I32, 0x41, 0x3f, 0x0c, 1, 0x0b, 0x1a, 0x0b], // 0x3f is a number here
      ...[0x41, 0, 0x04, 0x40, 0x01, 0x05, 0x00, 0x0b],
      ...[0x02, 0x40, 0x41, 0, 0x0e, 1, 0, 0, 0x0b],
      ...[0x42, 0xc0, 0x00, 0x1a, 0x43, 0x40, 0x3f, 0x40, 0x3f, 0x1a],
      ...[0x44, 0x40, 0x40, 0x40, 0x40, 0x3f, 0x3f, 0x3f, 0x3f, 0x1a],
      ...[0x41, 0, 0x28, 2, 0x40, 0x1a, 0x41, 0, 0x11, 0, 0, 0x1a], // offset 0x40
      ...[0x23, 0, 0x24, 2, 0x10, 0, 0x41, 0x40, 0x6a],
    ];
    const changes = {
      ...withFunction(...instructions),
      [TABLE]: vector([[0x70, 0, 1]]),
      [ELEMENT]: vector([[0, 0x41, 0, 0x0b, ...vector([[0]])]]),
      0: [...text("name"), 0x3f, 0x40],
    };
    expect(brokenRules(changes)).toEqual([]);
  });

  test.each(["core", "thermometer", "reporter"])("%s.wasm, as it is built, keeps all", (name) => {
    const bytes = readFileSync(new URL(`../../dist/${name}.wasm`, import.meta.url));
    const inspection = inspectModule(bytes);
    expect(inspection.rules.filter(({ isKept }) => !isKept)).toEqual([]);
    expect(inspection.exports.map(({ name: exportName }) => exportName)).toContain("clientInit");
  });
});

describe("a module that breaks a rule", () => {
  test("by an import, and then abiVersion is not asked", () => {
    const importSection = vector([[...text("env"), ...text("abort"), FUNCTION_KIND, 0]]);
    const [first, second] = brokenRules({ [IMPORT]: importSection });
    expect(first).toBe("imports nothing: imports env.abort");
    expect(second).toContain(`abiVersion() answers ${ABI_VERSION}: no such function`);
  });

  test("by a start function", () => {
    const changes = {
      [TYPE]: vector([
        [0x60, 0, 1, I32],
        [0x60, 0, 0],
      ]),
      [FUNCTION]: vector([[0], [1]]),
      [START]: [1],
      [CODE]: vector([body(0x41, ABI_VERSION), body()]),
    };
    expect(brokenRules(changes)[0]).toBe("no start function: function 1 runs at the start");
  });

  test.each([
    ["memory.grow", [0x41, 1, 0x40, 0]],
    ["memory.size", [0x3f, 0]],
    ["memory.grow", [0x02, 0x40, 0x41, 1, 0x40, 0, 0x1a, 0x0b, 0x41, 0]],
  ])("by %s, wherever it stands", (name, instructions) => {
    const [found, ...others] = brokenRules(withFunction(...instructions));
    expect(found).toMatch(new RegExp(`^no memory.grow, no memory.size: ${name} at byte \\d+$`));
    expect(others).toEqual([]);
  });

  test("by the place it tells of memory.grow", () => {
    const bytes = moduleOf({ ...GOOD, ...withFunction(0x41, 1, 0x40, 0) });
    const { found = "" } = inspectModule(bytes).rules[2] ?? {};
    expect(bytes[Number(found.replace("memory.grow at byte ", ""))]).toBe(0x40);
  });

  test.each([
    ["a maximum", { [MEMORY]: vector([[1, 1, 2]]) }, "a maximum of 2 pages"],
    [
      "a memory that is not exported",
      { [EXPORT]: vector([exported("abiVersion", FUNCTION_KIND, 0)]) },
      "not exported",
    ],
    [
      "no memory",
      { [MEMORY]: vector([]), [DATA]: vector([]), [EXPORT]: vector([]) },
      "0 memories of its own",
    ],
  ])("by %s", (_what, changes: Sections, found) => {
    expect(brokenRules(changes)).toContain(
      `one memory, exported as memory, without a maximum: ${found}`,
    );
  });

  const heapRule = "__heap_base a multiple of 4096, behind all data, inside the memory";
  test.each([
    ["no multiple of 4096", [i32Global(19), i32Global(4100)], "__data_end 19, __heap_base 4100"],
    [
      "before the data's end",
      [i32Global(5000), i32Global(4096)],
      "__data_end 5000, __heap_base 4096",
    ],
    ["outside the memory", [i32Global(19), i32Global(69_632)], "__data_end 19, __heap_base 69632"],
    [
      "a false __data_end",
      [i32Global(18), i32Global(4096)],
      "__data_end 18, __heap_base 4096, and data up to 19",
    ],
    [
      "a __heap_base that may change",
      [i32Global(19), i32Global(4096, { isMutable: true })],
      "__heap_base and __data_end are not both exported as constants",
    ],
  ])("by a heap base with %s", (_what, globals, found) => {
    expect(brokenRules({ [GLOBAL]: vector(globals) })).toContain(`${heapRule}: ${found}`);
  });

  test.each([
    ["i32", i32Global(7, { isMutable: true }), "global 2 starts as 7"],
    ["-1 as i64", [0x7e, 1, 0x42, 0x7f, 0x0b], "global 2 starts as 18446744073709551615"],
    ["f32 of -0", [0x7d, 1, 0x43, 0, 0, 0, 0x80, 0x0b], "global 2 starts as 2147483648"],
  ])("by a mutable global that starts as %s", (_what, global, found) => {
    const globals = vector([i32Global(19), i32Global(4096), global]);
    const rule = "no mutable global that starts as anything but 0";
    expect(brokenRules({ [GLOBAL]: globals })).toEqual([`${rule}: ${found}`]);
  });

  test.each([
    ["sign extension", withFunction(0x41, 0, 0xc0)],
    ["saturating conversion", withFunction(0x43, 0, 0, 0, 0, 0xfc, 0)],
    ["bulk memory", withFunction(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 0, 0x41, 0)],
    ["reference types", withFunction(0xd0, 0x70, 0xd1)],
    [
      "multiple values",
      {
        [TYPE]: vector([
          [0x60, 0, 1, I32],
          [0x60, 0, 2, I32, I32],
        ]),
      },
    ],
    [
      "SIMD",
      {
        [TYPE]: vector([
          [0x60, 0, 1, I32],
          [0x60, 1, 0x7b, 0],
        ]),
      },
    ],
    ["shared or 64-bit memory", { [MEMORY]: vector([[3, 1, 2]]) }],
    ["passive data segments", { [DATA_COUNT]: [1], [DATA]: vector([[1, ...sized([1])]]) }],
    [
      "exported mutable globals",
      {
        [EXPORT]: vector([
          exported("memory", MEMORY_KIND, 0),
          exported("abiVersion", FUNCTION_KIND, 0),
          exported("__data_end", GLOBAL_KIND, 0),
          exported("__heap_base", GLOBAL_KIND, 1),
          exported("state", GLOBAL_KIND, 2),
        ]),
      },
    ],
  ])("by %s", (feature, changes: Sections) => {
    const broken = brokenRules(changes).filter((line) => line.includes("(the MVP)"));
    expect(broken).toHaveLength(1);
    expect(broken[0]).toContain(feature);
  });

  test("by an instruction that this reader does not know, behind which memory.grow may hide", () => {
    const v128Const = [0xfd, 12, ...new Array(16).fill(0), 0x1a, 0x41, 0];
    expect(brokenRules(withFunction(...v128Const))).toEqual([
      "no memory.grow, no memory.size: not known: a function has instructions newer than this",
      "only what every WebAssembly engine knows (the MVP): uses opcode 0xfd",
    ]);
  });

  test("by another ABI version", () => {
    expect(brokenRules({ [CODE]: vector([body(0x41, 9)]) })).toEqual([
      `abiVersion() answers ${ABI_VERSION}: 9`,
    ]);
  });

  test("by an abiVersion that traps", () => {
    const [found] = brokenRules({ [CODE]: vector([body(0x00)]) });
    expect(found).toContain(
      `abiVersion() answers ${ABI_VERSION}: no such function, or it cannot be asked`,
    );
  });

  test("by an abiVersion that might never end, which is not run", () => {
    const endless = body(0x03, 0x40, 0x0c, 0, 0x0b, 0x41, ABI_VERSION);
    expect(brokenRules({ [CODE]: vector([endless]) })).toHaveLength(1);
    const callsItself = body(0x10, 0);
    expect(brokenRules({ [CODE]: vector([callsItself]) })).toHaveLength(1);
  });
});

describe("bytes that are no module", () => {
  const good = [...moduleOf(GOOD)];

  test.each([
    ["nothing", [], "it is empty"],
    ["a text", [...Buffer.from("\u007fELF and more")], "it does not start with 00 61 73 6d"],
    ["a component", [...PREAMBLE.slice(0, 4), 0x0d, 0, 1, 0], "it is not version 1"],
    ["a section longer than the file", [...PREAMBLE, 1, 0xff, 0x7f], "16383 bytes should follow"],
    [
      "a number without end",
      [...PREAMBLE, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
      "more than 5 bytes",
    ],
    ["a number too large", [...PREAMBLE, 1, 0xff, 0xff, 0xff, 0xff, 0x7f], "more than 32 bits"],
    [
      "a count that lies",
      [...PREAMBLE, 3, 5, 0xff, 0xff, 0xff, 0xff, 0x0f],
      "1 bytes should follow",
    ],
    ["a section with a rest", [...PREAMBLE, 5, 4, 1, 0, 1, 0], "section 5 is too long"],
    ["a name that is not UTF-8", [...PREAMBLE, 7, 5, 1, 1, 0xff, 0, 0], "a name is not UTF-8"],
    ["an export of unknown kind", [...PREAMBLE, 7, 4, 1, 0, 9, 0], "of unknown kind"],
    [
      "types that do not fit",
      [...moduleOf({ ...GOOD, [CODE]: vector([body()]) })],
      "the engine refuses it",
    ],
  ])("%s", (_what, bytes, problem) => {
    expect(() => inspectModule(Uint8Array.from(bytes))).toThrow(InvalidModuleError);
    expect(() => inspectModule(Uint8Array.from(bytes))).toThrow(problem);
  });

  test("a file larger than any board holds", () => {
    expect(() => inspectModule(new Uint8Array(MODULE_LENGTH_MAX + 1))).toThrow(/more than 4194304/);
  });

  test("a module cut off anywhere", () => {
    for (let length = 0; length < good.length; length++) {
      const cut = Uint8Array.from(good.slice(0, length));
      const isWholeSections = [...sectionEnds(good)].includes(length);
      if (!isWholeSections) expect(() => inspectModule(cut)).toThrow(InvalidModuleError);
    }
  });

  test("any bytes behind the preamble, and any change of a good module: an answer or InvalidModuleError", () => {
    const random = fc.uint8Array({ maxLength: 200 }).map((rest) => [...PREAMBLE, ...rest]);
    const changed = fc
      .tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }), fc.nat({ max: 255 }))
      .map(([at, first, second]) => [...good.slice(0, at), first, second, ...good.slice(at + 2)]);
    fc.assert(
      fc.property(fc.oneof(random, changed), (bytes) => {
        try {
          inspectModule(Uint8Array.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidModuleError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

/** Where the sections of a good module end: cut there, it may be another good module. */
function* sectionEnds(bytes: number[]): Generator<number> {
  let at = PREAMBLE.length;
  yield at;
  while (at < bytes.length) {
    at += 2 + (bytes[at + 1] ?? 0); // all sections here are shorter than 128 bytes
    yield at;
  }
}
