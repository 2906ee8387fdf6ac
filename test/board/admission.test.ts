/** What a board checks before anything runs: firmware/board/runtime/{sha256,signature,image,wasm-module,admission}.c. */

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { wrapModule } from "../../host/src/board/module-image.ts";
import { readModule } from "../../host/src/core/core.ts";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { BoardProgram } from "../support/board-program.ts";
import { concat } from "../support/bytes.ts";
import { describeWith } from "../support/optional.ts";
import {
  type Container,
  container,
  leb,
  type SmallModule,
  sha256,
  signedLeb,
  smallModule,
  valuesOf,
} from "../support/small-module.ts";

const folder = mkdtempSync(join(tmpdir(), "board-admission-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const rawKey = (pair: KeyPair) =>
  Buffer.from(pair.publicKey.export({ format: "jwk" }).x as string, "base64url");
type KeyPair = NonNullable<Container["signedBy"]>;

const signedBy = generateKeyPairSync("ed25519");
const stranger = generateKeyPairSync("ed25519");

function describeChecks(title: string, body: (checks: Checks) => void): void {
  describeWith(BUILD_PROGRAMS, title, () => {
    const checks = new Checks();
    beforeAll(() => checks.start(), 120_000);
    afterAll(() => checks.end());
    beforeEach(() => checks.ask("anew"));
    body(checks);
  });
}

class Checks {
  #program: BoardProgram | undefined;

  start(): void {
    this.#program = new BoardProgram("admission");
  }

  end(): void {
    this.#program?.end();
  }

  ask(line: string): Promise<string> {
    return (this.#program as BoardProgram).ask(line);
  }

  /** Asks something about these bytes. */
  about(what: string, bytes: Uint8Array, more = ""): Promise<string> {
    const path = join(folder, "file");
    writeFileSync(path, bytes);
    return this.ask(`${what} ${path} ${more}`);
  }

  module(options: SmallModule): Promise<string> {
    return this.about("admit", container(smallModule(options)));
  }
}

describeChecks("SHA-256", (checks) => {
  test("is that of node:crypto for every length up to 300, in pieces too", async () => {
    for (let length = 0; length <= 300; length++) {
      const bytes = randomBytes(length);
      const digest = createHash("sha256").update(bytes).digest("hex");
      expect(await checks.ask(`sha256 ${hex(bytes)}`), hex(bytes)).toBe(digest);
    }
  });
});

/** The order of the group, little endian (RFC 8032, 5.1). */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

const littleEndian = (bytes: Uint8Array) => BigInt(`0x${hex(Buffer.from(bytes).reverse())}`);
const bytesOf = (number: bigint) =>
  Buffer.from(number.toString(16).padStart(64, "0"), "hex").reverse();

describeChecks("Ed25519", (checks) => {
  const ask = (signature: Uint8Array, digest: Uint8Array, key: Uint8Array) =>
    checks.ask(`ed25519 ${hex(signature)} ${hex(digest)} ${hex(key)}`);

  test("a signature of node:crypto is valid, and with any bit changed it is not", async () => {
    for (let round = 0; round < 12; round++) {
      const pair = generateKeyPairSync("ed25519");
      const parts = [Buffer.alloc(64), randomBytes(32), rawKey(pair)] as const;
      sign(null, parts[1], pair.privateKey).copy(parts[0]);
      expect(await ask(...parts)).toBe("valid");
      for (const part of parts) {
        for (let tries = 0; tries < 10; tries++) {
          const bit = randomBytes(2).readUInt16LE() % (8 * part.length);
          flipBit(part, bit);
          expect(await ask(...parts), `bit ${bit} of ${hex(part)}`).toBe("invalid");
          flipBit(part, bit);
        }
      }
    }
  });

  test("an S that is not below the order is refused: signatures cannot be varied [RFC 8032, 5.1.7]", async () => {
    const digest = randomBytes(32);
    const signature = sign(null, digest, signedBy.privateKey);
    const varied = Buffer.from(signature);
    bytesOf(littleEndian(signature.subarray(32)) + ORDER).copy(varied, 32);
    expect(await ask(signature, digest, rawKey(signedBy))).toBe("valid");
    expect(await ask(varied, digest, rawKey(signedBy))).toBe("invalid");
    bytesOf(ORDER).copy(varied, 32);
    expect(await ask(varied, digest, rawKey(signedBy))).toBe("invalid");
  });

  test("it says the same as node:crypto of keys and signatures that are no points", async () => {
    for (let round = 0; round < 200; round++) {
      const key = randomBytes(32);
      const digest = randomBytes(32);
      const signature = round % 2 === 0 ? randomBytes(64) : sign(null, digest, signedBy.privateKey);
      const isValid = verify(null, digest, publicKeyOf(key), signature);
      expect(await ask(signature, digest, key)).toBe(isValid ? "valid" : "invalid");
    }
  });
});

describeChecks("the container", (checks) => {
  const module = smallModule();
  const good = container(module);

  test("one of the host is admitted, signed or not", async () => {
    const version = { major: 1, minor: 2, revision: 345, build: 67890 };
    const image = wrapModule(module, { version }).bytes;
    const said = `ok: 1.2.345+67890, ${module.length} bytes of module in ${image.length}, ABI 2, 4096 bytes of memory`;
    expect(await checks.about("admit", image)).toBe(said);
    const signed = wrapModule(module, { version, privateKey: signedBy.privateKey }).bytes;
    expect(await checks.about("admit", signed)).toContain("ok: ");
    await checks.ask(`key ${hex(rawKey(signedBy))}`);
    expect(await checks.about("admit", signed)).toContain("ok: ");
  });

  test("what lies behind it is somebody else's", async () => {
    expect(await checks.about("admit", concat(good, randomBytes(100)))).toContain("ok: ");
  });

  test("no flipped bit is admitted", async () => {
    expect(await checks.about("flip", good, "1")).toBe(`0 of ${8 * good.length} admitted`);
    await checks.ask(`key ${hex(rawKey(signedBy))}`);
    const signed = container(module, { signedBy });
    expect(await checks.about("flip", signed, "1")).toBe(`0 of ${8 * signed.length} admitted`);
  }, 60_000);

  test("no flipped bit of the thermometer is admitted, and no part of it", async () => {
    const thermometer = container(await readModule("thermometer"));
    expect(await checks.about("admit", thermometer)).toContain("ok: ");
    const { length } = thermometer;
    const count = Math.ceil((8 * length) / 61);
    expect(await checks.about("flip", thermometer, "61")).toBe(`0 of ${count} admitted`);
    expect(await checks.about("truncate", thermometer)).toBe(`0 of ${length} admitted`);
  }, 60_000);

  test.each<[string, Container, string]>([
    ["another magic", { header: { 0: 0x3c } }, "it is no module in an MCUboot container"],
    [
      "a load address",
      { header: { 5: 1 } },
      "the header of its container has fields that a module has not",
    ],
    [
      "another header length",
      { header: { 8: 64 } },
      "the header of its container has fields that a module has not",
    ],
    [
      "protected TLVs",
      { header: { 10: 4 } },
      "the header of its container has fields that a module has not",
    ],
    [
      "flags",
      { header: { 16: 4 } },
      "the header of its container has fields that a module has not",
    ],
    [
      "bytes that pad the header",
      { header: { 31: 1 } },
      "the header of its container has fields that a module has not",
    ],
    ["a length beyond the end", { header: { 13: 0xff } }, "it is shorter than its container says"],
    [
      "a length beyond all numbers",
      { header: { 15: 0xff } },
      "it is shorter than its container says",
    ],
    ["no TLV", { values: [] }, "its container has no SHA-256"],
    [
      "a short SHA-256",
      { values: [[0x10, new Uint8Array(31)]] },
      "what lies behind the module in its container is damaged",
    ],
    [
      "another SHA-256",
      { values: [[0x10, new Uint8Array(32)]] },
      "its SHA-256 is wrong: it is damaged",
    ],
    [
      "a TLV of another kind",
      { values: [[0x20, new Uint8Array(32)]] },
      "what lies behind the module in its container is damaged",
    ],
    [
      "a key without a signature",
      {
        values: [
          [0x10, new Uint8Array(32)],
          [0x01, new Uint8Array(32)],
        ],
      },
      "its container has a signature or a key, and not both",
    ],
    [
      "a signature without a key",
      {
        values: [
          [0x24, new Uint8Array(64)],
          [0x10, new Uint8Array(32)],
        ],
      },
      "its container has a signature or a key, and not both",
    ],
    [
      "two SHA-256",
      {
        values: [
          [0x10, new Uint8Array(32)],
          [0x10, new Uint8Array(32)],
        ],
      },
      "what lies behind the module in its container is damaged",
    ],
  ])("%s is refused", async (_, options, reason) => {
    expect(await checks.about("admit", container(module, options))).toBe(reason);
  });

  test("its first bytes tell whether it can be right", async () => {
    const { length } = good;
    expect(await checks.about("header", good, `31 ${length}`)).toBe("ok");
    expect(await checks.about("header", good, `32 ${length}`)).toBe("ok");
    expect(await checks.about("header", good, `32 ${32 + module.length - 1}`)).toBe(
      "it is shorter than its container says",
    );
    expect(await checks.about("header", module, `32 ${module.length}`)).toBe(
      "it is no module in an MCUboot container",
    );
    await checks.ask("floor 1 0 0 1");
    expect(await checks.about("header", good, `32 ${length}`)).toMatch(
      /^its version 1.0.0 is older/,
    );
  });

  test.each<[NonNullable<Container["version"]>, boolean]>([
    [[2, 3, 400, 70000], true],
    [[2, 3, 400, 70001], true],
    [[2, 3, 401, 0], true],
    [[2, 4, 0, 0], true],
    [[3, 0, 0, 0], true],
    [[255, 255, 65535, 4294967295], true],
    [[2, 3, 400, 69999], false],
    [[2, 3, 399, 70001], false],
    [[2, 2, 500, 80000], false],
    [[1, 255, 65535, 4294967295], false],
  ])("version %j where 2.3.400+70000 was confirmed", async (version, isNewEnough) => {
    await checks.ask("floor 2 3 400 70000");
    const said = await checks.about("admit", container(module, { version }));
    if (isNewEnough) expect(said).toContain("ok: ");
    else expect(said).toMatch(/^its version .* is older than 2\.3\.400\+70000, confirmed here$/);
  });
});

describeChecks("a board with a key", (checks) => {
  const module = smallModule();
  beforeEach(() => checks.ask(`key ${hex(rawKey(signedBy))}`));

  test("takes what is signed with it", async () => {
    expect(await checks.about("admit", container(module, { signedBy }))).toContain("ok: ");
  });

  test("refuses what is not signed, or by somebody else", async () => {
    expect(await checks.about("admit", container(module))).toBe(
      "it is not signed, and this board takes only signed modules",
    );
    expect(await checks.about("admit", container(module, { signedBy: stranger }))).toBe(
      "it is signed with another key than that of this board",
    );
  });

  test("refuses the signature of another module, under the right key", async () => {
    const other = container(smallModule({ filling: 1 }), { signedBy });
    const [, , signature] = valuesOf(other.subarray(0, other.length - 144), signedBy);
    const [hash, key] = valuesOf(container(module).subarray(0, 32 + module.length), signedBy);
    expect(other.subarray(-64)).toEqual(new Uint8Array(signature?.[1] as Uint8Array));
    const values = [hash, key, signature] as [number, Uint8Array][];
    expect(await checks.about("admit", container(module, { values }))).toBe(
      "its signature is wrong",
    );
  });

  test("refuses a stranger's signature under the hash of its key", async () => {
    const content = container(module).subarray(0, 32 + module.length);
    const der = signedBy.publicKey.export({ type: "spki", format: "der" });
    const values: [number, Uint8Array][] = [
      [0x10, sha256(content)],
      [0x01, sha256(der)],
      [0x24, sign(null, sha256(content), stranger.privateKey)],
    ];
    expect(await checks.about("admit", container(module, { values }))).toBe(
      "its signature is wrong",
    );
  });
});

const I32 = 0x7f;
const constant = { type: I32, isMutable: false, constant: [0x41, ...signedLeb(4096)] };

describeChecks("the module", (checks) => {
  test.each<[string, SmallModule, string]>([
    ["imports", { imports: true }, "it imports something"],
    ["a start function", { starts: true }, "it runs a function at the start"],
    ["another ABI", { abi: 3 }, "it has another ABI version than this board: 3 instead of 2"],
    [
      "an abiVersion with locals",
      { abiBody: [1, 1, I32, 0x41, 2, 0x0b] },
      "it does not export an abiVersion() that is one constant",
    ],
    [
      "an abiVersion that calls",
      { abiBody: [0, 0x10, 0, 0x0b] },
      "it does not export an abiVersion() that is one constant",
    ],
    [
      "an abiVersion that goes on",
      { abiBody: [0, 0x41, 2, 0x0b, 0x0b] },
      "it does not export an abiVersion() that is one constant",
    ],
    [
      "an abiVersion with parameters",
      { functions: { abiVersion: 1 } },
      "it does not export an abiVersion() that is one constant",
    ],
    ["no memory", { memoryCount: 0 }, "it does not export its one memory as memory"],
    ["two memories", { memoryCount: 2 }, "it does not export its one memory as memory"],
    [
      "a memory of another name",
      { memoryName: "mem" },
      "it does not export its one memory as memory",
    ],
    [
      "an odd __heap_base",
      { heapBase: 4100 },
      "its __heap_base is no multiple of 4096 inside its memory",
    ],
    [
      "a __heap_base of 0",
      { heapBase: 0 },
      "its __heap_base is no multiple of 4096 inside its memory",
    ],
    [
      "a __heap_base above its memory",
      { heapBase: 131072 },
      "its __heap_base is no multiple of 4096 inside its memory",
    ],
    [
      "a negative __heap_base",
      { heapBase: -4096 },
      "its __heap_base is no multiple of 4096 inside its memory",
    ],
    [
      "a mutable __heap_base",
      { globals: [{ ...constant, isMutable: true }] },
      "it does not export a constant __heap_base",
    ],
    [
      "an i64 __heap_base",
      { globals: [{ type: 0x7e, isMutable: false, constant: [0x42, 0] }] },
      "it does not export a constant __heap_base",
    ],
    ["no such global", { heapBaseIndex: 1 }, "it does not export a constant __heap_base"],
    [
      "data behind __heap_base",
      { data: [{ at: 4090, bytes: [1, 2, 3, 4, 5, 6, 7] }] },
      "it has data behind its __heap_base",
    ],
    [
      "data at a negative address",
      { data: [{ at: -1, bytes: [1] }] },
      "it has data behind its __heap_base",
    ],
    [
      "too much memory",
      { heapBase: 61440 },
      "it needs 61440 bytes of memory, and this board has 4096 for it",
    ],
    ["a section twice", { behind: [[10, [0]]] }, "the WebAssembly module is damaged"],
    [
      "a section that is newer",
      { behind: [[12, [0]]] },
      "it uses more than the first version of WebAssembly",
    ],
    [
      "a section beyond the end",
      { behind: [[11, [...leb(5000)]]] },
      "the WebAssembly module is damaged",
    ],
  ])("%s: refused, and said why", async (_, options, reason) => {
    expect(await checks.module(options)).toBe(reason);
  });

  test("globals of every kind before __heap_base, data up to it", async () => {
    const globals = [
      { type: 0x7e, isMutable: true, constant: [0x42, ...Array(9).fill(0xff), 0x7f] },
      { type: 0x7d, isMutable: true, constant: [0x43, 1, 2, 3, 4] },
      { type: 0x7c, isMutable: true, constant: [0x44, 1, 2, 3, 4, 5, 6, 7, 8] },
      { type: I32, isMutable: true, constant: [0x41, ...signedLeb(-1)] },
      constant,
    ];
    const data = [
      { at: 0, bytes: [1] },
      { at: 4090, bytes: [1, 2, 3, 4, 5, 6] },
    ];
    expect(await checks.module({ globals, heapBaseIndex: 4, data })).toContain(
      "4096 bytes of memory",
    );
  });

  test("as much memory as there is", async () => {
    await checks.ask("room 61440");
    expect(await checks.module({ heapBase: 61440 })).toContain("61440 bytes of memory");
  });

  test("a function that the board calls is missing, or takes other parameters", async () => {
    await checks.ask("need poll 2");
    await checks.ask("need reading 3");
    const missing = "it does not export, or with other parameters, reading";
    expect(await checks.module({ functions: { poll: 2, reading: 3 } })).toContain("ok: ");
    expect(await checks.module({ functions: { poll: 2 } })).toBe(missing);
    expect(await checks.module({ functions: { poll: 2, reading: 2 } })).toBe(missing);
    expect(await checks.module({ functions: { poll: 2, readings: 3, readin: 3 } })).toBe(missing);
  });

  test.each(["thermometer", "reporter"] as const)(
    "%s.wasm of the build is admitted",
    async (name) => {
      await checks.ask("need blockAt 0");
      await checks.ask("need reading 3");
      expect(await checks.about("admit", container(await readModule(name)))).toContain(
        "ABI 2, 4096 bytes of memory",
      );
    },
  );

  test("the core alone is not: it takes no readings", async () => {
    await checks.ask("need reading 3");
    expect(await checks.about("admit", container(await readModule("core")))).toMatch(
      /^(it does not export, or with other parameters, reading|it needs|its __heap_base)/,
    );
  });

  test("no cut or changed module makes the reader leave its bytes, or not end", async () => {
    for (const name of ["abiVersion 0", "reading 3", "poll 2"]) await checks.ask(`need ${name}`);
    const thermometer = await readModule("thermometer");
    expect(await checks.about("torment", thermometer, "1")).toMatch(/modules read$/);
    const small = smallModule({
      functions: { reading: 3, poll: 2 },
      data: [{ at: 0, bytes: [1] }],
    });
    expect(await checks.about("torment", small, "2")).toMatch(/modules read$/);
  }, 60_000);
});

function flipBit(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
}

function publicKeyOf(raw: Uint8Array) {
  const x = Buffer.from(raw).toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}
