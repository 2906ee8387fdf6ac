/** The keys that modules are signed with: Ed25519, private ones as PKCS#8 in PEM files. */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { writeFileSync } from "node:fs";
import { UsageError } from "../errors.ts";

/** What stands before the 32 bytes of an Ed25519 key in DER SubjectPublicKeyInfo (RFC 8410, 4). */
const DER_START = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Makes a new private key in a new file that only this user may read. Answers the public key. Throws a UsageError if there
 * is such a file already: a key that boards know cannot be made anew.
 */
export function createKeyFile(path: string): { publicKey: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  try {
    writeFileSync(path, pem, { flag: "wx", mode: 0o600 });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const problem = code === "EEXIST" ? "there is such a file, which is left as it is" : message;
    throw new UsageError(
      `The key cannot be written to ${JSON.stringify(path)}: ${problem}`,
      "Give the path of a new file in a folder that this user may write to",
      { cause },
    );
  }
  return { publicKey: rawPublicKey(publicKey) };
}

/** From a PEM file. Throws a UsageError. */
export function readPrivateKey(pem: Uint8Array): KeyObject {
  try {
    return ofEd25519(createPrivateKey(Buffer.from(pem)));
  } catch (cause) {
    throw new UsageError(
      `The file holds no private key for modules: ${keyProblem(pem, cause)}`,
      "Give the file that `wasmqtt keygen` has made: an Ed25519 key as PKCS#8 in PEM, not encrypted",
      { cause },
    );
  }
}

/**
 * 32 bytes, from a file of text: a public or a private key in PEM, or 64 hexadecimal digits. Throws a UsageError. The bytes
 * themselves are not taken: any file of that length would do, and what a board is given is final.
 */
export function readPublicKey(file: Uint8Array): Uint8Array {
  const text = Buffer.from(file).toString("latin1").trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Uint8Array.from(Buffer.from(text, "hex"));
  try {
    return rawPublicKey(ofEd25519(createPublicKey(text)));
  } catch (cause) {
    throw new UsageError(
      `The file holds no public key for modules: ${keyProblem(file, cause)}`,
      "Give a file of `wasmqtt keygen`, which begins with -----BEGIN PRIVATE KEY-----, or an Ed25519 key that begins with -----BEGIN PUBLIC KEY-----, or is written as 64 hexadecimal digits",
      { cause },
    );
  }
}

/** The 32 bytes of an Ed25519 public key, or of that which belongs to a private one. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const der = publicKey.export({ type: "spki", format: "der" });
  return Uint8Array.from(der.subarray(DER_START.length));
}

export function publicKeyObject(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: derOf(raw), type: "spki", format: "der" });
}

/** For files and people. */
export function publicKeyPem(raw: Uint8Array): string {
  return publicKeyObject(raw).export({ type: "spki", format: "pem" }).toString();
}

/** SHA-256 of the key as DER SubjectPublicKeyInfo: how an image names the key it was signed with. */
export function publicKeyHash(raw: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(derOf(raw)).digest());
}

function derOf(raw: Uint8Array): Buffer {
  return Buffer.concat([DER_START, raw]);
}

function ofEd25519(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType === "ed25519") return key;
  throw new KindError(`it is of the kind ${key.asymmetricKeyType ?? "unknown"}, not Ed25519`);
}

class KindError extends Error {}

/** What OpenSSL says about a file that it cannot read tells people nothing. */
function keyProblem(file: Uint8Array, error: unknown): string {
  if (error instanceof KindError) return error.message;
  const label = /-----BEGIN ([A-Z0-9 ]+)-----/u.exec(Buffer.from(file).toString("latin1"))?.[1];
  if (label === undefined) return "it is no text that begins with -----BEGIN";
  if (label.startsWith("ENCRYPTED")) return "it is encrypted";
  return `what follows -----BEGIN ${label}----- is no whole key of that kind`;
}
