/** Wrapped modules and the keys that sign them. */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  verify,
} from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import {
  compareVersions,
  isImage,
  isSignedBy,
  parseVersion,
  readImage,
  readModuleFile,
  versionText,
  wrapModule,
} from "../../host/src/board/module-image.ts";
import {
  createKeyFile,
  publicKeyHash,
  publicKeyPem,
  rawPublicKey,
  readPrivateKey,
  readPublicKey,
} from "../../host/src/board/signing-keys.ts";
import { hex } from "../support/bytes.ts";

const folder = mkdtempSync(join(tmpdir(), "wasmqtt-keys-"));
afterAll(() => rmSync(folder, { recursive: true }));

const module = readFileSync(new URL("../../dist/thermometer.wasm", import.meta.url));
const version = { major: 1, minor: 20, revision: 300, build: 40_000 };
/** The second key of RFC 8032, 7.1. */
const privateKey = createPrivateKey({
  key: Buffer.from(
    "302e020100300506032b6570042204204ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "hex",
  ),
  format: "der",
  type: "pkcs8",
});
const publicKey = Buffer.from(
  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  "hex",
);

describe("an image", () => {
  test("is, byte by byte, what docs/wire.md says", () => {
    const { bytes } = wrapModule(Uint8Array.of(1, 2, 3), { version, privateKey });
    const header =
      "3d b8 f3 96 00 00 00 00 20 00 00 00 03 00 00 00 00 00 00 00 01 14 2c 01 40 9c 00 00 00 00 00 00";
    const digest = createHash("sha256").update(bytes.subarray(0, 35)).digest();
    const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), publicKey]);
    const keyHash = createHash("sha256").update(der).digest();
    expect(hex(bytes.subarray(0, 32))).toBe(header);
    expect(hex(bytes.subarray(32, 39))).toBe("01 02 03 07 69 90 00");
    expect(hex(bytes.subarray(39, 75))).toBe(`10 00 20 00 ${hex(digest)}`);
    expect(hex(bytes.subarray(75, 111))).toBe(`01 00 20 00 ${hex(keyHash)}`);
    expect(hex(bytes.subarray(111, 115))).toBe("24 00 40 00");
    expect(bytes.length).toBe(115 + 64);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    expect(verify(null, digest, key, bytes.subarray(115))).toBe(true);
  });

  test("holds the module byte for byte, and names it by the SHA-256 that reports show", () => {
    const image = wrapModule(module, { version });
    expect(Buffer.from(image.module).equals(module)).toBe(true);
    expect(image.moduleSha256).toBe(createHash("sha256").update(module).digest("hex"));
    expect(image.version).toEqual(version);
    expect(image.signature).toBeUndefined();
    expect(isImage(image.bytes)).toBe(true);
    expect(readImage(image.bytes)).toEqual(image);
  });

  test("and the module alone are read alike", () => {
    const image = wrapModule(module, { version, privateKey });
    const wrapped = readModuleFile(image.bytes);
    const bare = readModuleFile(module);
    expect(bare.image).toBeUndefined();
    expect(wrapped.image).toEqual(image);
    expect(wrapped.moduleSha256).toBe(bare.moduleSha256);
    expect(Buffer.from(wrapped.module).equals(bare.module)).toBe(true);
  });

  test("is signed by one key only", () => {
    const image = wrapModule(module, { version, privateKey });
    expect(isSignedBy(image, publicKey)).toBe(true);
    const other = rawPublicKey(generateKeyPairSync("ed25519").publicKey);
    expect(isSignedBy(image, other)).toBe(false);
    expect(isSignedBy(wrapModule(module, { version }), publicKey)).toBe(false);
    expect(isSignedBy({ ...image, keyHash: publicKeyHash(other) }, other)).toBe(false);
  });

  test("that was changed anywhere is refused, or is not signed any more", () => {
    const small = wrapModule(module.subarray(0, 40), { version, privateKey });
    for (let bit = 0; bit < small.bytes.length * 8; bit++) {
      const changed = small.bytes.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(isTaken(changed), `bit ${bit}`).toBe(false);
    }
  });

  test("that is cut or longer is refused", () => {
    const { bytes } = wrapModule(module.subarray(0, 40), { version, privateKey });
    for (let length = 0; length < bytes.length; length++) {
      expect(isTaken(bytes.slice(0, length)), `${length} bytes`).toBe(false);
    }
    expect(isTaken(Buffer.concat([bytes, Uint8Array.of(0)]))).toBe(false);
  });

  test("of any bytes is read or refused with a reason", () => {
    const start = Buffer.from("3db8f396000000002000000000000000", "hex");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (rest) => {
        const file = Buffer.concat([start, rest]);
        expect(() => readImage(file)).toThrow(/no wrapped module/);
      }),
    );
  });

  test("a refusal says what to do", () => {
    const { bytes } = wrapModule(module, { version });
    const changed = bytes.slice();
    changed[100] = 0xff - (changed[100] ?? 0);
    expect(() => readImage(changed)).toThrow(
      expect.objectContaining({
        name: "BoardError",
        failure: "incompatible",
        message: expect.stringContaining("damaged or changed"),
        remedy: expect.stringContaining("wasmqtt sign"),
      }),
    );
  });

  /** As a board with a key takes images. */
  function isTaken(bytes: Uint8Array): boolean {
    try {
      return isSignedBy(readImage(bytes), publicKey);
    } catch (error) {
      expect(error).toHaveProperty("name", "BoardError");
      return false;
    }
  }
});

describe("a version", () => {
  test.each(["0.0.0", "1.2.3", "255.255.65535", "1.2.3+4", "0.1.0+4294967295"])("%s", (text) => {
    expect(versionText(parseVersion(text))).toBe(text);
  });

  test.each([
    "",
    "1",
    "1.2",
    "1.2.3.4.5",
    "256.0.0",
    "0.256.0",
    "0.0.65536",
    "1.2.3+4294967296",
    "v1.2.3",
    "1.2.-3",
  ])("%j is none", (text) => {
    expect(() => parseVersion(text)).toThrow(/is no version/);
  });

  test("is read as boards write it", () => {
    expect(versionText(parseVersion("1.2.3.4"))).toBe("1.2.3+4");
  });

  test("is compared number by number", () => {
    const sorted = ["0.0.1", "0.1.0", "0.2.0", "0.10.0", "1.0.0", "1.0.0+1", "1.0.0+10", "1.0.1"];
    const shuffled = [...sorted].reverse().map(parseVersion).sort(compareVersions);
    expect(shuffled.map(versionText)).toEqual(sorted);
  });
});

describe("keys", () => {
  test("a new one is for this user alone, and is never overwritten", () => {
    const path = join(folder, "new.pem");
    const created = createKeyFile(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const file = readFileSync(path);
    expect(rawPublicKey(readPrivateKey(file))).toEqual(created.publicKey);
    expect(() => createKeyFile(path)).toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringContaining("left as") }),
    );
    expect(readFileSync(path).equals(file)).toBe(true);
    expect(() => createKeyFile(join(folder, "nowhere", "key.pem"))).toThrow(/cannot be written/);
  });

  test("a public one is read in each of its forms", () => {
    const forms = [
      Buffer.from(`${publicKey.toString("hex")}\n`),
      Buffer.from(publicKeyPem(publicKey)),
      Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })),
    ];
    for (const form of forms) expect(hex(readPublicKey(form))).toBe(hex(publicKey));
  });

  test("others are refused, and their content is not repeated", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1_024 });
    const path = join(folder, "rsa.pem");
    writeFileSync(path, rsa.privateKey.export({ format: "pem", type: "pkcs8" }));
    expect(() => readPrivateKey(readFileSync(path))).toThrow(/rsa, not Ed25519/);
    expect(() => readPublicKey(readFileSync(path))).toThrow(/rsa, not Ed25519/);
    expect(() => readPrivateKey(Buffer.from("secret"))).toThrow(/^(?!.*secret).*no private key/);
    expect(() => readPrivateKey(Buffer.from(publicKeyPem(publicKey)))).toThrow(/no private key/);
  });
});
