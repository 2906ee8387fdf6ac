/** What a module is wrapped in for a board: an MCUboot image with a hash, and a signature if there is a key (docs/wire.md). */

import { createHash, type KeyObject, sign, verify } from "node:crypto";
import { UsageError } from "../errors.ts";
import { BoardError } from "./board-error.ts";
import { publicKeyHash, publicKeyObject, rawPublicKey } from "./signing-keys.ts";

export interface ModuleVersion {
  /** 0 to 255. */
  readonly major: number;
  /** 0 to 255. */
  readonly minor: number;
  /** 0 to 65,535. */
  readonly revision: number;
  /** 0 to 4,294,967,295. */
  readonly build: number;
}

/** A wrapped module. */
export interface ModuleImage {
  /** All of it, as it goes to the board. */
  readonly bytes: Uint8Array;
  /** Byte for byte as the compiler made it. */
  readonly module: Uint8Array;
  /** Of the module alone, in hexadecimal: the number that reports and consoles show. */
  readonly moduleSha256: string;
  /** SHA-256 of header and module: what the board calls the module by. */
  readonly hash: Uint8Array;
  readonly version: ModuleVersion;
  /** SHA-256 of the public key that belongs to the signature, as DER SubjectPublicKeyInfo. */
  readonly keyHash: Uint8Array | undefined;
  /** Ed25519, of `hash`. */
  readonly signature: Uint8Array | undefined;
}

/** A file that holds a module: the module alone, or wrapped. */
export interface ModuleFile {
  readonly module: Uint8Array;
  readonly moduleSha256: string;
  readonly image: ModuleImage | undefined;
}

const IMAGE_MAGIC = 0x96f3b83d;
const TLV_MAGIC = 0x6907;
const HEADER_LENGTH = 32;
const TLV_HEADER_LENGTH = 4;

/** Types of the values behind the module. */
const TLV_KEY_HASH = 0x01;
const TLV_SHA256 = 0x10;
const TLV_ED25519 = 0x24;

const TLV_LENGTHS: ReadonlyMap<number, number> = new Map([
  [TLV_KEY_HASH, 32],
  [TLV_SHA256, 32],
  [TLV_ED25519, 64],
]);

/** With a private key (Ed25519) it is signed. */
export function wrapModule(
  module: Uint8Array,
  { version, privateKey }: { version: ModuleVersion; privateKey?: KeyObject | undefined },
): ModuleImage {
  const header = Buffer.alloc(HEADER_LENGTH);
  header.writeUInt32LE(IMAGE_MAGIC, 0);
  header.writeUInt16LE(HEADER_LENGTH, 8);
  header.writeUInt32LE(module.length, 12);
  header.writeUInt8(version.major, 20);
  header.writeUInt8(version.minor, 21);
  header.writeUInt16LE(version.revision, 22);
  header.writeUInt32LE(version.build, 24);
  const hash = sha256(header, module);
  const values = [tlv(TLV_SHA256, hash)];
  if (privateKey !== undefined) {
    values.push(
      tlv(TLV_KEY_HASH, publicKeyHash(rawPublicKey(privateKey))),
      tlv(TLV_ED25519, sign(null, hash, privateKey)),
    );
  }
  const area = Buffer.concat(values);
  const areaHeader = Buffer.alloc(TLV_HEADER_LENGTH);
  areaHeader.writeUInt16LE(TLV_MAGIC, 0);
  areaHeader.writeUInt16LE(TLV_HEADER_LENGTH + area.length, 2);
  return readImage(Buffer.concat([header, module, areaHeader, area]));
}

/** True if the file begins as an image does. */
export function isImage(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && view(bytes).getUint32(0, true) === IMAGE_MAGIC;
}

/**
 * Reads an image and checks all that can be checked without a key. Throws a BoardError ("incompatible") that says what is
 * wrong with it.
 */
export function readImage(bytes: Uint8Array): ModuleImage {
  const { module, version } = readHeader(bytes);
  const areaAt = HEADER_LENGTH + module.length;
  const values = readValues(bytes.subarray(areaAt));
  const hash = values.get(TLV_SHA256);
  if (hash === undefined) throw broken("it has no hash");
  if (!Buffer.from(hash).equals(sha256(bytes.subarray(0, areaAt)))) {
    throw broken("its hash is not that of its content: it was damaged or changed");
  }
  const keyHash = values.get(TLV_KEY_HASH);
  const signature = values.get(TLV_ED25519);
  if ((keyHash === undefined) !== (signature === undefined)) {
    throw broken("it has a signature without a key, or the reverse");
  }
  const moduleSha256 = sha256(module).toString("hex");
  return { bytes, module, moduleSha256, hash, version, keyHash, signature };
}

/** A .wasm file, or an image. Whether the module is one is for `inspectModule` to say. Throws as `readImage` does. */
export function readModuleFile(bytes: Uint8Array): ModuleFile {
  if (!isImage(bytes)) {
    return { module: bytes, moduleSha256: sha256(bytes).toString("hex"), image: undefined };
  }
  const image = readImage(bytes);
  return { module: image.module, moduleSha256: image.moduleSha256, image };
}

/** True if the image is signed with the private key that belongs to `publicKey` (32 bytes). */
export function isSignedBy(
  { hash, keyHash, signature }: ModuleImage,
  publicKey: Uint8Array,
): boolean {
  if (keyHash === undefined || signature === undefined) return false;
  if (!Buffer.from(keyHash).equals(publicKeyHash(publicKey))) return false;
  return verify(null, hash, publicKeyObject(publicKey), signature);
}

/** As in "1.2.3" or "1.2.3+4", which boards write "1.2.3.4". Throws a UsageError. */
export function parseVersion(text: string): ModuleVersion {
  const [, ...parts] = /^(\d{1,3})\.(\d{1,3})\.(\d{1,5})(?:[.+](\d{1,10}))?$/.exec(text) ?? [];
  const [major = 256, minor = 256, revision = 0, build = 0] = parts.map((part) =>
    Number(part ?? 0),
  );
  if (major < 2 ** 8 && minor < 2 ** 8 && revision < 2 ** 16 && build < 2 ** 32) {
    return { major, minor, revision, build };
  }
  throw new UsageError(
    `${JSON.stringify(text)} is no version of a module`,
    "Write three numbers, and a build number if you like, as in 1.2.3 or 1.2.3+4: the first two up to 255, the third up to 65535",
  );
}

export function versionText({ major, minor, revision, build }: ModuleVersion): string {
  return `${major}.${minor}.${revision}${build === 0 ? "" : `+${build}`}`;
}

/** Below 0 if `a` is older than `b`, above 0 if it is newer. */
export function compareVersions(a: ModuleVersion, b: ModuleVersion): number {
  return a.major - b.major || a.minor - b.minor || a.revision - b.revision || a.build - b.build;
}

function readHeader(bytes: Uint8Array): { module: Uint8Array; version: ModuleVersion } {
  if (!isImage(bytes)) throw broken("it does not begin as one");
  if (bytes.length < HEADER_LENGTH) throw broken("its end is missing");
  const header = view(bytes);
  const length = header.getUint32(12, true);
  const isOurs =
    header.getUint32(4, true) === 0 &&
    header.getUint16(8, true) === HEADER_LENGTH &&
    header.getUint16(10, true) === 0 &&
    header.getUint32(16, true) === 0 &&
    header.getUint32(28, true) === 0;
  if (!isOurs) throw broken("its header has values that no module of ours has");
  if (length > bytes.length - HEADER_LENGTH) throw broken("its end is missing");
  const version = {
    major: header.getUint8(20),
    minor: header.getUint8(21),
    revision: header.getUint16(22, true),
    build: header.getUint32(24, true),
  };
  return { module: bytes.subarray(HEADER_LENGTH, HEADER_LENGTH + length), version };
}

/** The values behind the module, by their types. */
function readValues(area: Uint8Array): Map<number, Uint8Array> {
  if (area.length < TLV_HEADER_LENGTH) throw broken("its end is missing");
  const values = new Map<number, Uint8Array>();
  const numbers = view(area);
  if (numbers.getUint16(0, true) !== TLV_MAGIC) throw broken("nothing we know follows the module");
  if (numbers.getUint16(2, true) !== area.length)
    throw broken("it is shorter or longer than it says");
  for (let at = TLV_HEADER_LENGTH; at < area.length; ) {
    if (area.length - at < TLV_HEADER_LENGTH) throw broken("its end is missing");
    const type = numbers.getUint16(at, true);
    const length = numbers.getUint16(at + 2, true);
    const valueAt = at + TLV_HEADER_LENGTH;
    if (TLV_LENGTHS.get(type) !== length || values.has(type) || length > area.length - valueAt) {
      throw broken(`behind the module is a value of type ${type} that does not belong there`);
    }
    values.set(type, area.subarray(valueAt, valueAt + length));
    at = valueAt + length;
  }
  return values;
}

function tlv(type: number, value: Uint8Array): Buffer {
  const header = Buffer.alloc(TLV_HEADER_LENGTH);
  header.writeUInt16LE(type, 0);
  header.writeUInt16LE(value.length, 2);
  return Buffer.concat([header, value]);
}

function sha256(...pieces: Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function broken(problem: string): BoardError {
  return new BoardError(
    "incompatible",
    `The file is no wrapped module that a board takes: ${problem}`,
    "Wrap the .wasm file anew with `wasmqtt sign`, or flash the .wasm file itself",
  );
}
